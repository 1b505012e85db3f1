"""The number of boxes and their overlap are told in numbers, in memory that does not grow with their square."""

import torch

from tests.data.check.checking import check_parts
from tests.data.coco_files import annotation
from uncrowd.boxes import pairwise_iou
from uncrowd.data.check import crowding
from uncrowd.data.check.crowding import overlap


def test_crowding_is_told_in_numbers(tmp_path):
    """Image 1 holds two boxes of IoU 2/3 and a lone one; image 2 one box and a crowd box, which does not count."""
    annotations = [
        annotation(1, 1, (0, 0, 10, 10)),
        annotation(2, 1, (0, 2, 10, 10)),
        annotation(3, 1, (40, 30, 9, 9)),
        annotation(4, 2, category_id=7),
        annotation(5, 2, iscrowd=1),
    ]
    found = check_parts(tmp_path, annotations=annotations)
    told = next(finding for finding in found if finding.kind == "crowding")
    assert (told.split, told.count) == ("train", 4)
    assert "boxes per image: 2, at most 3 (in 1.png)" in told.message
    assert f"closest neighbour: {(2 / 3 + 2 / 3 + 0 + 0) / 4:.2f};" in told.message
    assert "pairs per image above IoU 0.5: 0.5" in told.message


def test_blocks_give_what_all_pairs_at_once_give():
    corners = torch.rand(700, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 100
    boxes = torch.cat([corners, corners + 30], dim=1)
    pairs = pairwise_iou(boxes, boxes).fill_diagonal_(0)
    nearest, crowded = overlap(boxes)
    assert torch.equal(nearest, pairs.amax(dim=1))
    assert crowded == int((pairs > 0.5).sum()) // 2


def test_twice_the_boxes_take_no_four_times_the_memory(monkeypatch):
    """No comparison is of more pairs than a block has."""
    sizes = []

    def counting(boxes1: torch.Tensor, boxes2: torch.Tensor) -> torch.Tensor:
        sizes.append(len(boxes1) * len(boxes2))
        return torch.zeros(len(boxes1), len(boxes2))

    monkeypatch.setattr(crowding, "pairwise_iou", counting)
    for count in (2000, 4000):
        overlap(torch.zeros(count, 4))
    assert max(sizes) <= crowding.PAIRS_AT_A_TIME
