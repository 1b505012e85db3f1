"""Other classes: rows are copied by name, all other weights are kept, and the sentence reports it."""

import math
from dataclasses import replace

import torch
from torch import nn

from tests.tiny import TINY_MODEL
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.models.stage import PRIOR_PROBABILITY
from uncrowd.structures import Categories
from uncrowd.weights.class_head import with_classes

FROM = Categories(ids=(7, 8, 9), names=("person", "dog", "ball"))
TO = Categories(ids=(1, 2, 3, 4), names=("ball", "cat", "person", "bird"))


def trained() -> SparseRCNN:
    """Returns a model whose class biases differ from their initial values."""
    torch.manual_seed(0)
    model = SparseRCNN(replace(TINY_MODEL, num_classes=3)).eval()
    for stage in model.head.stages:
        nn.init.normal_(stage.get_parameter("class_logits.bias"))
    return model


def test_logits_of_kept_classes_are_the_same() -> None:
    """Equal logits need all other weights to be the same, at every stage."""
    old = trained()
    new, _ = with_classes(old, FROM, TO)
    images, sizes = torch.randint(256, (1, 3, 64, 64)), torch.tensor([[64, 64]])
    with torch.no_grad():
        for before, after in zip(old(images, sizes), new(images, sizes), strict=True):
            torch.testing.assert_close(after.boxes, before.boxes, rtol=0, atol=0)
            torch.testing.assert_close(after.logits[..., [0, 2]], before.logits[..., [2, 0]], rtol=0, atol=1e-5)
    assert new.config == replace(old.config, num_classes=4)
    assert not new.training


def test_new_classes_begin_at_the_prior() -> None:
    new, _ = with_classes(trained(), FROM, TO)
    prior = -math.log((1 - PRIOR_PROBABILITY) / PRIOR_PROBABILITY)
    for stage in new.head.stages:
        weight, bias = stage.get_parameter("class_logits.weight"), stage.get_parameter("class_logits.bias")
        torch.testing.assert_close(bias[[1, 3]], torch.full((2,), prior))
        assert (bias[[0, 2]] - prior).abs().min() > 0.1
        bound = math.sqrt(6 / (weight.shape[0] + weight.shape[1]))  # xavier's
        assert 0 < weight[[1, 3]].abs().max() <= bound


def test_a_dense_head_keeps_its_classes_too() -> None:
    torch.manual_seed(0)
    old = SparseRCNN(replace(TINY_MODEL, queries="dense", stages=0)).eval()
    new, _ = with_classes(old, FROM, TO)
    images, sizes = torch.randint(256, (1, 3, 64, 64)), torch.tensor([[64, 64]])
    with torch.no_grad():
        before, after = (model.train()(images, sizes) for model in (old, new))
    for of_branch, changed in zip(before, after, strict=True):
        torch.testing.assert_close(changed.boxes, of_branch.boxes, rtol=0, atol=0)
        torch.testing.assert_close(changed.logits[..., [0, 2]], of_branch.logits[..., [2, 0]], rtol=0, atol=1e-5)


def test_the_old_model_does_not_change() -> None:
    old = trained()
    before = {name: tensor.clone() for name, tensor in old.state_dict().items()}
    with_classes(old, FROM, TO)
    assert all(torch.equal(before[name], tensor) for name, tensor in old.state_dict().items())


def test_the_sentence_counts_and_names() -> None:
    words = with_classes(trained(), FROM, TO)[1]
    assert words == (
        "new class head of 4 classes: 2 kept by name (ball, person), 2 initialised (cat, bird), 1 dropped (dog)"
    )
    many = Categories(ids=tuple(range(20)), names=tuple(f"c{i}" for i in range(20)))
    assert "20 initialised (c0, c1, c2, c3, c4, c5, c6, c7, ...)" in with_classes(trained(), FROM, many)[1]
