"""Selection takes the best points, ranks boxes that overlap better ones behind, and never deletes one."""

from itertools import combinations

import pytest
import torch
from torch import Tensor

from tests.losses.cases import random_boxes
from uncrowd.boxes import pairwise_iou
from uncrowd.models.dense_head import DenseHeadConfig
from uncrowd.models.query_selection import QuerySelection, best_points, lowered_by_overlap
from uncrowd.structures import StageOutput


def plain_lowered(scores: list[float], boxes: Tensor) -> list[float]:
    """Matrix NMS with a linear decay, box by box (arXiv:2003.10152, Sec. 3.3)."""
    overlap = pairwise_iou(boxes, boxes).tolist()
    lowered = []
    for j, score in enumerate(scores):
        factors = [1.0]
        for i in range(j):
            with_better = max((overlap[k][i] for k in range(i)), default=0.0)
            factors.append((1 - overlap[i][j]) / max(1 - with_better, 1e-6))
        lowered.append(score * min(factors))
    return lowered


def test_the_lowered_scores_are_those_of_matrix_nms() -> None:
    torch.manual_seed(0)
    boxes = random_boxes(2, 20).float()
    boxes[1, 5] = boxes[1, 2]  # an exact duplicate
    scores = torch.rand(2, 20).sort(dim=1, descending=True).values
    expected = torch.tensor(
        [plain_lowered(row.tolist(), of_image) for row, of_image in zip(scores, boxes, strict=True)]
    )
    torch.testing.assert_close(lowered_by_overlap(scores, boxes), expected, atol=1e-5, rtol=0)


def test_a_hidden_neighbour_stays_ahead_of_a_duplicate_and_of_the_background() -> None:
    best, duplicate, neighbour, background = [0.0, 0, 10, 20], [0.5, 0, 10.5, 20], [3.0, 0, 13, 20], [50.0, 50, 60, 60]
    scores, boxes = torch.tensor([[0.9, 0.8, 0.6, 0.05]]), torch.tensor([[best, duplicate, neighbour, background]])
    assert best_points(scores, boxes, 4, candidates=4).tolist() == [[0, 2, 1, 3]]
    assert best_points(scores, boxes, 2, candidates=4).tolist() == [[0, 2]]


def test_only_candidates_are_selected_and_there_are_at_least_as_many_as_queries() -> None:
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.6]])
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]])
    assert best_points(scores, boxes, 2, candidates=2).tolist() == [[0, 1]]  # the third is no candidate
    assert best_points(scores, boxes, 2, candidates=3).tolist() == [[0, 2]]
    assert best_points(scores, boxes, 4, candidates=1).tolist() == [[0, 2, 3, 1]]
    assert best_points(scores, boxes, 9, candidates=1).shape == (1, 4), "there are no more points"


@pytest.mark.parametrize(
    ("per_query", "most", "chosen"), [(1, 2000, [0, 1]), (2, 2000, [0, 2]), (2, 3, [0, 2]), (2, 2, [0, 1])]
)
def test_so_many_points_compete_for_each_query(per_query: int, most: int, chosen: list[int]) -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]])
    logits = torch.tensor([[[0.9], [0.8], [0.7], [0.6]]])
    points = StageOutput(logits=logits, boxes=boxes, queries=torch.zeros(1, 4, 8))
    selection = QuerySelection(DenseHeadConfig(candidates_per_query=per_query, candidates=most), 8)
    assert torch.equal(selection(points, 2).selected.boxes, boxes[:, chosen])


def random_points() -> StageOutput:
    torch.manual_seed(0)
    return StageOutput(
        logits=torch.randn(2, 12, 3, requires_grad=True),
        boxes=random_boxes(2, 12).float().requires_grad_(),
        queries=torch.randn(2, 12, 8, requires_grad=True),
    )


def test_queries_carry_boxes_and_classes_of_their_points() -> None:
    points, selection = random_points(), QuerySelection(DenseHeadConfig(candidates=12), 8)
    selected, queries = selection(points, 5)
    indices = best_points(points.logits.detach().amax(-1).sigmoid(), points.boxes, 5, 12)
    for image, chosen in enumerate(indices):
        assert torch.equal(selected.boxes[image], points.boxes[image, chosen])
        assert torch.equal(selected.logits[image], points.logits[image, chosen])
        torch.testing.assert_close(queries[image], selection.to_query(points.queries[image, chosen]))


def test_other_groups_of_an_image_start_at_other_points() -> None:
    points, selection = random_points(), QuerySelection(DenseHeadConfig(candidates=12), 8)
    groups = selection(points, 5, groups=3)
    assert torch.equal(groups.selected.boxes[::3], selection(points, 5).selected.boxes), "the first has the best points"
    chosen = [{tuple(box) for box in boxes.tolist()} for boxes in groups.selected.boxes]
    assert all(len(boxes) == 5 for boxes in chosen)
    assert all(a != b for of_image in (chosen[:3], chosen[3:]) for a, b in combinations(of_image, 2))
    for number, boxes in enumerate(chosen):
        assert boxes <= {tuple(box) for box in points.boxes[number // 3].tolist()}, "of its own image"


@pytest.mark.parametrize("detach_boxes", [True, False], ids=["boxes detached", "boxes not"])
@pytest.mark.parametrize("detach_queries", [True, False], ids=["queries detached", "queries not"])
def test_a_gradient_goes_back_to_the_points_where_it_is_not_stopped(detach_queries: bool, detach_boxes: bool) -> None:
    points = random_points()
    selection = QuerySelection(DenseHeadConfig(detach_queries=detach_queries, detach_boxes=detach_boxes), 8)
    selected, queries = selection(points, 5)
    (queries.square().sum() + selected.boxes.sum() + selected.logits.sum()).backward()
    assert points.logits.grad is None
    assert (points.boxes.grad is None) == detach_boxes
    assert (points.queries.grad is None) == detach_queries
    assert all(parameter.grad is not None for parameter in selection.parameters())
    if points.boxes.grad is not None:
        assert points.boxes.grad.any(dim=-1).sum(dim=-1).tolist() == [5, 5]
