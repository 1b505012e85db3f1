import numpy as np
import torch
from benchmarks.tiles_at_scale import SIDE, _in_overlaps, _placed, _score


def test_boxes_of_scenes_move_to_their_places() -> None:
    scenes = [torch.tensor([[0.0, 1.0, 2.0, 3.0]]), torch.tensor([[4.0, 5.0, 6.0, 7.0]])]
    placed = _placed(scenes, np.array([[0, 1], [1, 0]]))
    assert placed.tolist() == [
        [0, 1, 2, 3],
        [4 + SIDE, 5, 6 + SIDE, 7],
        [4, 5 + SIDE, 6, 7 + SIDE],
        [SIDE, 1 + SIDE, 2 + SIDE, 3 + SIDE],
    ]


def test_objects_in_what_two_tiles_share_are_told() -> None:
    boxes = torch.tensor([[10.0, 10.0, 40.0, 40.0], [395.0, 10.0, 405.0, 40.0], [10.0, 495.0, 40.0, 505.0]])
    assert _in_overlaps(boxes, 900).tolist() == [False, True, True]


def test_a_second_detection_of_an_object_is_told_from_that_of_its_neighbour() -> None:
    truth = torch.tensor([[0.0, 0.0, 10.0, 10.0], [4.0, 0.0, 14.0, 10.0], [50.0, 0.0, 60.0, 10.0]])
    once = _score(truth, truth[:2])
    again = _score(truth, torch.cat([truth[:2], truth[:1] + 0.5]))
    assert (once.hit.tolist(), once.twice.tolist()) == ([True, True, False], [False] * 3)
    assert (again.hit.tolist(), again.twice.tolist()) == ([True, True, False], [True, False, False])
