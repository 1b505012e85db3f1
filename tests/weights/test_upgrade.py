"""A Sparse R-CNN with IoU-ESA and DCW added: what is exact, how close the rest is, and what is refused."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import TINY_MODEL
from uncrowd.errors import InputError
from uncrowd.models.interaction import ChannelWeighted, Entangled
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import Stage, StageConfig
from uncrowd.structures import StageOutput
from uncrowd.weights.upgrade import norm_moments, relu_norm_moments, upgrade

BASELINE = StageConfig(
    attention="content", interaction="entangled", width=64, heads=4, dynamic_width=16, feedforward_width=128
)


def config(**stage: int) -> SparseRCNNConfig:
    return replace(TINY_MODEL, proposals=20, stages=3, stage=replace(BASELINE, **stage))


def worn(model: SparseRCNN) -> SparseRCNN:
    """Returns a model whose norms and boxes differ from their initial values."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.bias, 0.0, 0.2)
    nn.init.normal_(model.proposal_boxes_cxcywh_norm[:, :2], 0.5, 0.05)
    return model.eval()


@pytest.fixture(scope="module")
def old() -> SparseRCNN:
    torch.manual_seed(0)
    with torch.no_grad():
        return worn(SparseRCNN(config()))


@torch.no_grad()
def outputs(model: SparseRCNN) -> list[StageOutput]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (2, 3, 64, 96), generator=generator)
    return model(images, torch.tensor([[64, 96], [60, 90]]))


def error(result: Tensor, expected: Tensor) -> float:
    """Returns the error relative to the standard deviation: 1 is as bad as predicting the mean."""
    return ((result - expected).norm() / (expected - expected.mean()).norm()).item()


def attending_as_before(upgraded: SparseRCNN, old: SparseRCNN) -> SparseRCNN:
    """The attention has no IoU here, so that only the interaction differs."""
    upgraded = copy.deepcopy(upgraded)
    for after, before in zip(upgraded.head.stages, old.head.stages, strict=True):
        after.attention = before.attention
    return upgraded


@pytest.mark.parametrize("name", ["logits", "boxes", "queries"])
def test_outputs_are_near_the_old_ones_and_a_fresh_head_is_not(old: SparseRCNN, name: str) -> None:
    upgraded = upgrade(old)
    torch.manual_seed(1)
    fresh = SparseRCNN(upgraded.config)
    fresh.load_state_dict({k: v for k, v in old.state_dict().items() if not k.startswith("head.")}, strict=False)
    alone = attending_as_before(upgraded, old)
    expected, *others = (outputs(model) for model in (old, upgraded, alone, fresh.eval()))
    errors = [[error(getattr(o, name), getattr(e, name)) for o, e in zip(run, expected, strict=True)] for run in others]
    of_upgraded, of_interaction, of_fresh = errors
    assert of_interaction[0] < 0.08
    assert max(of_interaction) < 0.3, "it grows from stage to stage"
    assert max(of_upgraded) < 0.5
    assert min(of_fresh) > 0.9


def test_attention_is_the_old_one_where_all_boxes_coincide(old: SparseRCNN) -> None:
    """Before training moves the boxes, only the interaction of the first stage differs."""
    together = copy.deepcopy(old)
    nn.init.constant_(together.proposal_boxes_cxcywh_norm, 0.5)
    upgraded = upgrade(together)
    with_iou, without = outputs(upgraded)[0], outputs(attending_as_before(upgraded, together))[0]
    torch.testing.assert_close(with_iou.logits, without.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("towers", [{}, {"class_tower": 0, "box_tower": 0}], ids=["towers", "no towers"])
def test_two_halves_are_the_whole_to_the_last_bit(towers: dict[str, int]) -> None:
    """After the feed-forward of the branches, halving and doubling are exact, and two halves sum to the query."""
    torch.manual_seed(0)
    old = worn(SparseRCNN(config(**towers)))
    x = torch.randn(30, 64)
    for before, after in zip(old.head.stages, upgrade(old).head.stages, strict=True):
        assert isinstance(before, Stage)
        assert isinstance(after, Stage)
        assert isinstance(before.interaction, Entangled)
        assert isinstance(after.interaction, ChannelWeighted)
        whole = before.interaction.feedforward(x)
        class_half, box_half = (
            after.interaction.class_branch.feedforward(x),
            after.interaction.box_branch.feedforward(x),
        )
        assert torch.equal(class_half + box_half, whole)
        assert torch.equal(
            after.class_logits(after.class_tower(class_half)), before.class_logits(before.class_tower(whole))
        )
        assert torch.equal(after.box_deltas(after.box_tower(box_half)), before.box_deltas(before.box_tower(whole)))


def test_every_old_tensor_is_in_the_new_model(old: SparseRCNN) -> None:
    """Every old tensor is copied unchanged, halved or doubled."""
    new = [tensor for tensor in upgrade(old).state_dict().values() if tensor.is_floating_point()]
    for name, tensor in old.state_dict().items():
        alike = [other for other in new if other.shape == tensor.shape]
        assert any(torch.equal(other, factor * tensor) for other in alike for factor in (1, 0.5, 2)), name


def test_all_new_parts_learn(old: SparseRCNN) -> None:
    """The last layer of a mask is zero, so in the first step only the layer before it has no gradient."""
    model = upgrade(old).train()
    images, sizes = torch.randint(256, (1, 3, 64, 64)), torch.tensor([[64, 64]])
    torch.stack([out.logits.square().sum() + out.boxes.sum() for out in model(images, sizes)]).sum().backward()
    still = {name for name, p in model.head.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    assert still == {
        f"stages.{i}.interaction.{branch}.mask.reduce.{kind}"
        for i in range(3)
        for branch in ("class_branch", "box_branch")
        for kind in ("weight", "bias")
    }


def test_the_old_model_does_not_change(old: SparseRCNN) -> None:
    before = {name: tensor.clone() for name, tensor in old.state_dict().items()}
    upgraded = upgrade(old)
    assert upgraded.config.stage == replace(BASELINE, attention="iou", interaction="dcw")
    assert not upgraded.training
    assert all(torch.equal(before[name], tensor) for name, tensor in old.state_dict().items())


@pytest.mark.parametrize(
    ("moments", "activation"), [(norm_moments, nn.Identity()), (relu_norm_moments, nn.ReLU())], ids=["norm", "relu"]
)
def test_moments_are_those_of_samples(
    moments: Callable[[nn.LayerNorm], tuple[float, float]], activation: nn.Module
) -> None:
    torch.manual_seed(0)
    norm = nn.LayerNorm(256)
    nn.init.normal_(norm.weight, 1.0, 0.5)
    nn.init.normal_(norm.bias, 0.3, 0.5)
    with torch.no_grad():
        norm.weight[0] = 0.0
        samples = activation(norm(torch.randn(2000, 256)))
    assert moments(norm) == pytest.approx((samples.mean().item(), samples.std().item()), rel=0.01)


@pytest.mark.parametrize("stage", [{"attention": "iou"}, {"interaction": "dcw"}, {"attention": "none"}])
def test_only_a_plain_sparse_rcnn_is_upgraded(stage: dict[str, str]) -> None:
    model = SparseRCNN(replace(config(), stages=1, stage=replace(BASELINE, **stage)))
    with pytest.raises(
        InputError, match=r"w\.safetensors has attention .* only a Sparse R-CNN as it was first published"
    ):
        upgrade(model, "w.safetensors")
