"""The dense head predicts at every cell, the same whatever lies around the image, and its queries start the stages."""

from dataclasses import replace
from typing import Literal

import pytest
import torch

from tests.tiny import TINY_MODEL
from uncrowd.errors import InputError
from uncrowd.losses.dense import DenseLossConfig
from uncrowd.losses.dense_criterion import DenseCriterion
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.cost import measure
from uncrowd.models.dense_head import DenseHead, DenseHeadConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.structures import Target

DENSE = replace(TINY_MODEL, queries="dense")
HEIGHT, WIDTH = 64, 96
POINTS = 8 * 12 + 4 * 6 + 2 * 3  # of strides 8, 16 and 32


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def images(number: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randint(255, (number, 3, HEIGHT, WIDTH), dtype=torch.uint8), torch.tensor([[HEIGHT, WIDTH]] * number)


def pyramid(width: int = 16) -> list[torch.Tensor]:
    return [torch.randn(1, width, HEIGHT // stride, WIDTH // stride) for stride in (4, 8, 16, 32)]


@pytest.mark.parametrize("stride", [8, 4])
def test_boxes_start_at_four_strides_around_the_centres_of_the_cells(stride: Literal[4, 8]) -> None:
    head = DenseHead(DenseHeadConfig(finest_stride=stride), 16, 3).eval()
    torch.nn.init.zeros_(head.main.sides.weight)
    boxes = head(pyramid()).main.boxes[0]
    cells = {each: (HEIGHT // each) * (WIDTH // each) for each in (4, 8, 16, 32) if each >= stride}
    assert len(boxes) == sum(cells.values())
    sides = torch.cat([torch.full((count,), 4.0 * each) for each, count in cells.items()])
    assert torch.equal(boxes[:, 2:] - boxes[:, :2], sides[:, None].expand(-1, 2))
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert centres[:2].tolist() == [[stride / 2, stride / 2], [stride * 1.5, stride / 2]]
    assert centres[-1].tolist() == [WIDTH - 16, HEIGHT - 16]


def test_scores_start_at_the_prior_of_the_focal_loss() -> None:
    scores = DenseHead(DenseHeadConfig(), 16, 3).eval()(pyramid()).main.logits.sigmoid()
    torch.testing.assert_close(scores, torch.full_like(scores, 0.01), atol=0.002, rtol=0)


def test_only_training_has_an_auxiliary_branch_and_two_more_outputs() -> None:
    model = SparseRCNN(DENSE)
    auxiliary, main, *stages = model(*images(2))
    assert auxiliary.boxes.shape == main.boxes.shape == (2, POINTS, 4)
    assert len(stages) == len(model.layers) == 2
    assert not torch.equal(auxiliary.boxes, main.boxes)
    in_evaluation = model.eval()(*images(2))
    assert [output.boxes.shape for output in in_evaluation] == [(2, 10, 4)] * 2


def test_training_draws_the_number_of_queries_from_the_seed() -> None:
    model = SparseRCNN(DENSE)
    drawn = [model(*images())[-1].boxes.shape[1] for _ in range(30)]
    assert min(drawn) >= 5
    assert max(drawn) <= 20
    assert len(set(drawn)) > 8
    torch.manual_seed(7)
    first = model(*images())[-1].boxes.shape
    torch.manual_seed(7)
    assert model(*images())[-1].boxes.shape == first


def test_another_number_of_proposals_needs_no_other_weights() -> None:
    few = SparseRCNN(DENSE).eval()
    many = SparseRCNN(replace(DENSE, proposals=50)).eval()
    many.load_state_dict(few.state_dict())
    assert many.detect(*images()).boxes.shape == (1, 50, 4)
    everything = SparseRCNN(replace(DENSE, proposals=1000)).eval()
    everything.load_state_dict(few.state_dict())
    assert everything.detect(*images()).boxes.shape == (1, POINTS, 4), "an image has no more points"


def test_without_stages_the_points_that_were_selected_are_the_detections() -> None:
    model = SparseRCNN(replace(DENSE, stages=0))
    assert len(model(*images())) == 2
    (selected,) = model.eval()(*images())
    assert selected.boxes.shape == (1, 10, 4)
    assert (selected.boxes[..., 2:] > selected.boxes[..., :2]).all()
    with pytest.raises(InputError, match="stages is 0; give 1 or more"):
        replace(TINY_MODEL, stages=0)


@pytest.mark.parametrize(
    ("config", "frozen"),
    [
        (DENSE, set()),
        (replace(DENSE, query_groups=2), set()),
        (replace(TINY_MODEL, queries="learned_beside_dense", query_groups=2), set()),
        (replace(DENSE, stages=0), {"selection", "pyramid"}),
        (replace(DENSE, stages=0, dense_head=DenseHeadConfig(finest_stride=4)), {"selection"}),
    ],
    ids=["dense", "dense-in-groups", "beside", "alone", "alone-from-4"],
)
def test_all_that_learns_gets_a_gradient_even_from_images_without_objects(
    config: SparseRCNNConfig, frozen: set[str]
) -> None:
    """A distributed run waits for all of them. What stages alone use does not learn where there are none."""
    model = SparseRCNN(config)
    nothing = Target(boxes=torch.zeros(0, 4), labels=torch.zeros(0).long(), ignored=torch.zeros(0, 4), size=(64, 96))
    DenseCriterion(LossConfig(), DenseLossConfig())(model(*images(2)), [nothing] * 2, 1).total.backward()
    assert [name for name, each in model.named_parameters() if each.requires_grad and each.grad is None] == []
    assert {name.split(".")[0] for name, each in model.named_parameters() if not each.requires_grad} == frozen


@pytest.mark.parametrize("through", ["nothing", "queries", "boxes"])
def test_what_the_stages_teach_the_dense_head(through: str) -> None:
    head = DenseHeadConfig(detach_queries=through != "queries", detach_boxes=through != "boxes")
    model = SparseRCNN(replace(DENSE, dense_head=head))
    _, _, *stages = model(*images(2))
    torch.stack([stage.boxes.sum() + stage.logits.sum() for stage in stages]).sum().backward()
    assert model.dense_head is not None
    tower, sides = (model.dense_head.get_parameter(f"{name}.weight") for name in ("tower.0.pointwise", "main.sides"))
    assert (tower.grad is None) == (through == "nothing")
    assert (sides.grad is None) == (through != "boxes")
    grads = [each.grad for each in model.parameters() if each.grad is not None]
    assert all(grad.isfinite().all() for grad in grads)


def test_beside_a_dense_head_learned_queries_find_the_same_in_evaluation() -> None:
    beside = SparseRCNN(replace(TINY_MODEL, queries="learned_beside_dense"))
    alone = SparseRCNN(TINY_MODEL)
    alone.load_state_dict({k: v for k, v in beside.state_dict().items() if not k.startswith("dense_head.")})
    given = images()
    assert len(beside(*given)) == 4
    for ours, expected in zip(beside.eval().detect(*given), alone.eval().detect(*given), strict=True):
        assert torch.equal(ours, expected)


def test_the_head_costs_little_and_what_runs_in_training_alone_is_not_counted() -> None:
    with torch.device("meta"):
        stage = measure(SparseRCNN(SparseRCNNConfig(proposals=500, stages=1)), 800, 1088).macs["head"]
        dense = measure(SparseRCNN(SparseRCNNConfig(proposals=500, queries="dense", stages=2)), 800, 1088)
    assert dense.parameters == 62_378_128
    billions = {part: round(count / 1e9, 1) for part, count in dense.macs.items()}
    assert billions == {"backbone": 70.9, "pyramid": 49.3, "dense_head": 2.9, "selection": 0.0, "head": 19.7}
    behind_pyramid = sum(count for part, count in dense.macs.items() if part not in ("backbone", "pyramid"))
    assert behind_pyramid < 0.45 * 6 * stage
    assert dense.macs["dense_head"] < 0.05 * 6 * stage
