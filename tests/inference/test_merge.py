"""Every object of an image that is cut into tiles comes out once, and no neighbour is lost."""

import numpy as np
import pytest
import torch

from tests.inference.perfect import scene, views_of
from tests.plain import tiles as plain
from uncrowd.inference.merge import Grid, Views, merge
from uncrowd.inference.tiles import TilesConfig, grid_of

# Two tiles of 100 pixels that share 32, at x = 68 to 100.
TWO = Grid(rows=[(0, 100)], columns=[(0, 100), (68, 168)])


def views(*found: tuple[int, float, list[float]], labels: list[int] | None = None) -> Views:
    """Of (tile, score, box); tile -1 is the coarse pass."""
    tile, scores, boxes = zip(*found, strict=True)
    return Views(
        torch.tensor(boxes, dtype=torch.float32),
        torch.tensor(scores),
        torch.tensor(labels or [0] * len(found)),
        torch.tensor(tile),
    )


def kept(*found: tuple[int, float, list[float]], labels: list[int] | None = None) -> list[int]:
    return merge(views(*found, labels=labels), TWO, 32).tolist()


@pytest.mark.parametrize("seed", range(30))
def test_with_a_perfect_detector_every_object_comes_out_once(seed: int) -> None:
    """In crowds of objects from 3 pixels to several tiles; parts of which too little is visible are not found."""
    rng = np.random.default_rng(seed)
    side, size = int(rng.integers(40, 200)), (int(rng.integers(40, 600)), int(rng.integers(200, 600)))
    overlap = int(rng.integers(8, side // 2 + 1))
    boxes = scene(rng, size, objects=int(rng.integers(1, 150)), sides=(3, rng.uniform(10, 400)))
    labels = torch.from_numpy(rng.integers(0, 2, len(boxes)))
    grid = grid_of(size, TilesConfig(side=side, overlap=overlap))
    found, which = views_of(boxes, labels, grid, least=rng.choice([0.0, 0.1, 0.3]))
    chosen = merge(found, grid, overlap)
    assert which[chosen].sort().values.tolist() == list(range(len(boxes)))
    assert torch.equal(found.boxes[chosen], boxes[which[chosen]])  # whole, not a part


@pytest.mark.parametrize("seed", range(8))
def test_it_merges_as_the_plain_twin(seed: int) -> None:
    """With boxes and scores that differ between the tiles, and objects that some of them miss."""
    rng = np.random.default_rng(seed)
    size, config = (130, 220), TilesConfig(side=80, overlap=32)
    boxes = scene(rng, size, objects=40, sides=(4, 90))
    grid = grid_of(size, config)
    found, _ = views_of(boxes, torch.from_numpy(rng.integers(0, 2, len(boxes))), grid, least=0.2)
    some = torch.from_numpy(rng.random(len(found.boxes)) < 0.8)
    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    noise = torch.from_numpy(rng.normal(0, 0.08, found.boxes.shape)).float()
    noisy = Views(
        (found.boxes + noise * sides.repeat(1, 2))[some],
        torch.from_numpy(rng.random(len(some))).float()[some],
        found.labels[some],
        found.tile[some],
    )
    rows = [plain.Found(*row) for row in zip(*(values.tolist() for values in noisy), strict=True)]
    assert merge(noisy, grid, config.overlap).tolist() == plain.merge(
        rows, [*grid.rows], [*grid.columns], config.overlap
    )


def test_neighbours_that_both_tiles_see_stay_two() -> None:
    one, other = [75.0, 10, 90, 40], [78.0, 10, 93, 40]  # IoU 0.67
    assert kept((0, 0.9, one), (0, 0.8, other), (1, 0.8, other), (1, 0.9, one)) == [0, 2]
    assert kept((0, 0.9, one), (0, 0.9, one)) == [0, 1]  # even the same box twice in one tile


def test_the_one_farther_from_the_cut_is_kept() -> None:
    assert kept((0, 0.9, [70.0, 10, 80, 40]), (1, 0.9, [70.5, 10, 80.5, 40])) == [0]  # 20 and 2.5 pixels from it
    assert kept((0, 0.9, [85.0, 10, 95, 40]), (1, 0.9, [85.5, 10, 95.5, 40])) == [1]


def test_other_classes_are_other_objects() -> None:
    box = [75.0, 10, 90, 40]
    assert kept((0, 0.9, box), (1, 0.9, box), labels=[0, 1]) == [0, 1]


def test_a_part_loses_against_the_whole_at_any_iou() -> None:
    whole, sliver = [95.0, 10, 125, 40], [96.0, 12, 100, 30]  # IoU 0.08
    assert kept((0, 0.99, sliver), (1, 0.2, whole)) == [1]
    whole, sliver = [40.0, 10, 73, 40], [68.0, 12, 72, 30]
    assert kept((0, 0.2, whole), (1, 0.99, sliver)) == [0]


def test_a_part_without_the_whole_is_kept_only_if_no_tile_would_hold_it() -> None:
    assert kept((0, 0.9, [80.0, 10, 100, 40])) == []  # tile 1 would hold it
    assert kept((0, 0.9, [20.0, 10, 100, 40])) == [0]  # longer than the overlap, and the coarse pass missed it


def test_poor_detections_do_not_take_the_partners_of_good_ones() -> None:
    """By IoU alone, each good one would be matched with a poor one, and both be kept."""
    good_a, poor_a = (0, 0.9, [75.0, 10, 90, 40]), (0, 0.05, [74.0, 12, 88, 42])
    good_b, poor_b = (1, 0.9, [74.0, 12, 88.5, 42]), (1, 0.05, [75.0, 10, 90.0, 40])
    assert sum(number in (0, 2) for number in kept(good_a, poor_a, good_b, poor_b)) == 1


def test_what_no_tile_holds_whole_comes_from_the_coarse_pass() -> None:
    whole, left, right = [30.0, 10, 140, 60], [30.0, 10, 100, 60], [68.0, 10, 140, 60]
    assert kept((0, 0.9, left), (1, 0.9, right), (-1, 0.8, whole)) == [2]
    assert kept((0, 0.9, left), (1, 0.9, right), (-1, 0.1, whole)) == [1]  # its score is too low, so the larger part


@pytest.mark.parametrize("coarse", [14.0, 18.0])
@pytest.mark.parametrize("fine", [14.0, 18.0])
def test_an_object_near_the_limit_is_found_once(fine: float, coarse: float) -> None:
    """The limit is 16 pixels, half of the overlap; either pass may measure an object below or above it."""
    assert kept((0, 0.9, [20.0, 10, 20 + fine, 20]), (-1, 0.8, [20.0, 10, 20 + coarse, 20])) == [0]


def test_the_coarse_pass_is_not_asked_about_small_objects() -> None:
    assert kept((-1, 0.9, [20.0, 10, 34, 20]), (-1, 0.9, [50.0, 10, 68, 20])) == [1]


def test_a_higher_score_decides_between_a_tile_and_the_coarse_pass() -> None:
    assert kept((0, 0.3, [20.0, 10, 60, 60]), (-1, 0.9, [20.0, 10, 61, 60])) == [1]


def test_no_detections_are_merged_into_none() -> None:
    nothing = Views(torch.zeros(0, 4), torch.zeros(0), *(torch.zeros(0, dtype=torch.int64) for _ in range(2)))
    assert merge(nothing, TWO, 32).tolist() == []
