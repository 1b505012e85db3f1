"""Scores of both kinds, and what configurations say about their detectors."""

import pytest
import torch

from uncrowd.models.class_scores import class_scores
from uncrowd.models.detr import DETRConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig


def test_each_sigmoid_scores_one_class() -> None:
    scores = class_scores(torch.tensor([[0.0, 100.0, 100.0]]), "sigmoid")
    assert scores.tolist() == [[0.5, 1.0, 1.0]]


def test_a_softmax_leaves_out_the_probability_of_no_object() -> None:
    logits = torch.tensor([[1.0, 2.0, 5.0]]).log()
    torch.testing.assert_close(class_scores(logits, "softmax"), torch.tensor([[1 / 8, 2 / 8]]))


@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_half_precision_is_scored_in_single(kind: str) -> None:
    logits = torch.tensor([[0.3, -2.0]], dtype=torch.bfloat16)
    found = class_scores(logits, kind)  # pyright: ignore[reportArgumentType]
    assert torch.equal(found, class_scores(logits.float(), kind))  # pyright: ignore[reportArgumentType]


def test_a_configuration_describes_its_detector() -> None:
    ours, detr = SparseRCNNConfig(proposals=300), DETRConfig(decoder_layers=3)
    name = ours.backbone.name
    assert ours.in_words() == f"Sparse R-CNN on {name}, 6 stages, 300 proposals"
    assert detr.in_words() == f"DETR on {name}, 3 decoder layers, 100 proposals"
    assert (ours.modules, detr.modules) == (("iou", "dcw"), ("content", "entangled"))
