"""Trained weights with another self attention than they were trained with."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks.self_attention import attending, main

from tests.inference.cases import CATEGORIES, RESIZE
from tests.tiny import TINY_MODEL
from uncrowd.errors import InputError
from uncrowd.inference.load import load
from uncrowd.models.self_attention import AttentionKind
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.weights.file import save_weights


def saved(file: Path, attention: AttentionKind) -> Path:
    torch.manual_seed(0)
    model = SparseRCNN(replace(TINY_MODEL, stage=replace(TINY_MODEL.stage, attention=attention)))
    save_weights(file, model, CATEGORIES, RESIZE)
    return file


def test_the_same_weights_attend_in_another_way(tmp_path: Path) -> None:
    image = torch.randint(256, (3, 48, 72), dtype=torch.uint8)
    weights = saved(tmp_path / "iou.safetensors", "iou")
    as_trained = load(weights, "cpu").predict(image)
    torch.testing.assert_close(attending(weights, "iou").predict(image).boxes, as_trained.boxes)
    for kind in ("content", "none"):
        assert not torch.allclose(attending(weights, kind).predict(image).boxes, as_trained.boxes, atol=1e-3)


def test_a_table(crowd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(crowd), str(saved(tmp_path / "tiny.safetensors", "content"))]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| tiny")]
    assert [row.split("|")[2].strip() for row in rows] == ["content", "iou", "none"]


def test_weights_without_content_attention_are_refused(tmp_path: Path) -> None:
    weights = saved(tmp_path / "none.safetensors", "none")
    with pytest.raises(InputError, match="has no self attention by content"):
        attending(weights, "content")
