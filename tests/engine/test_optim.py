"""The learning rate of each step, and which parameters the optimiser trains at which rate."""

from typing import Any

import pytest
import torch
from torch import nn

from uncrowd.engine.optim import OptimConfig, build_optimizer, learning_rate
from uncrowd.errors import InputError

WARM = OptimConfig(learning_rate=1.0, warmup_steps=10, warmup_factor=0.1, milestones=(2.0, 3.5), decay=0.1)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.1),  # the warm-up begins with its factor
        (1, 0.19),  # 0.1 * 0.9 + 0.1
        (5, 0.55),  # half way between 0.1 and 1
        (9, 0.91),
        (10, 1.0),  # and ends after `warmup_steps`
        (199, 1.0),
        (200, 0.1),  # epoch 2 of 100 steps begins
        (349, 0.1),
        (350, 0.01),  # half of epoch 3 is done
        (10_000, 0.01),
    ],
)
def test_rate_rises_linearly_then_falls_at_milestones(step: int, rate: float) -> None:
    assert learning_rate(WARM, step, steps_per_epoch=100, batch_size=16) == pytest.approx(rate)


def test_a_milestone_within_the_warm_up_counts() -> None:
    config = OptimConfig(learning_rate=1.0, warmup_steps=10, warmup_factor=0.0, milestones=(1.0,), decay=0.5)
    assert learning_rate(config, 4, steps_per_epoch=4, batch_size=16) == pytest.approx(0.4 * 0.5)


@pytest.mark.parametrize(("batch_size", "rate"), [(16, 1.0), (8, 0.5), (64, 4.0)])
def test_rate_is_scaled_to_the_batch_only_when_asked(batch_size: int, rate: float) -> None:
    config = OptimConfig(learning_rate=1.0, warmup_steps=0, milestones=(), scale_to_batch=16)
    assert learning_rate(config, 7, 100, batch_size) == pytest.approx(rate)
    as_it_is = OptimConfig(learning_rate=1.0, warmup_steps=0, milestones=())
    assert learning_rate(as_it_is, 7, 100, batch_size) == 1.0


def test_the_defaults_are_the_papers() -> None:
    """The release drops the rate after 210,000 and 250,000 of 270,000 steps of 16 COCO images; here it is epochs."""
    steps_per_epoch = 117_266 // 16
    first, second = 27 * steps_per_epoch, 33 * steps_per_epoch
    rates = [learning_rate(OptimConfig(), step, steps_per_epoch, 16) for step in (0, 1000, first - 1, first, second)]
    assert rates == pytest.approx([2.5e-7, 2.5e-5, 2.5e-5, 2.5e-6, 2.5e-7])


def test_frozen_parameters_are_left_out_and_all_others_decay() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    model[0].weight.requires_grad_(False)
    optimizer = build_optimizer(OptimConfig(weight_decay=0.01), model)
    (group,) = optimizer.param_groups
    assert [p.shape for p in group["params"]] == [torch.Size([3])] * 3
    assert group["weight_decay"] == 0.01


def test_the_backbone_can_learn_at_a_rate_of_its_own() -> None:
    """DETR's learns at a tenth. After one step without weight decay, Adam has moved every weight by its rate."""
    model = nn.ModuleDict({"backbone": nn.Linear(2, 3), "head": nn.Linear(2, 3)})
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = build_optimizer(OptimConfig(weight_decay=0.0, backbone_factor=0.1), model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    for group in optimizer.param_groups:
        group["lr"] = 0.01 * group["rate_factor"]
    optimizer.step()
    for name, parameter in model.named_parameters():
        moved = (before[name] - parameter).tolist()
        expected = 0.001 if name.startswith("backbone") else 0.01
        assert torch.tensor(moved).flatten().tolist() == pytest.approx([expected] * parameter.numel(), rel=1e-3)


@pytest.mark.parametrize("setting", ["learning_rate", "clip_norm"])
def test_settings_with_which_nothing_is_learnt_are_refused(setting: str) -> None:
    settings: dict[str, Any] = {setting: 0.0}
    with pytest.raises(InputError, match=rf"^{setting} is 0\.0; give more than 0\.$"):
        OptimConfig(**settings)
