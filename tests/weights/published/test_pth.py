"""A file is read without running its code, and anything but a checkpoint is refused in one sentence."""

import pickle
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.runs_code import RunsCode
from uncrowd.errors import InputError
from uncrowd.weights.published import read_published
from uncrowd.weights.published.pth import read_pth

LAYER = {"conv.weight": torch.zeros(3)}


@pytest.mark.parametrize(
    ("content", "beside"),
    [
        (LAYER, {}),
        ({"model": LAYER, "iteration": 7}, {"iteration": 7}),
        ({"state_dict": LAYER, "meta": {"epoch": 12}}, {"meta": {"epoch": 12}}),
        ({"model": LAYER, "args": Namespace(lr=1e-4)}, {"args": Namespace(lr=1e-4)}),
    ],
    ids=["bare", "model", "state_dict", "DETR's command line"],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_tensors_are_found_where_they_are_kept(content: Any, beside: Any, zipped: bool, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pth", _use_new_zipfile_serialization=zipped)
    file = read_pth(tmp_path / "model.pth")
    assert list(file.tensors) == ["conv.weight"]
    assert file.beside == beside


def image(path: Path) -> None:
    Image.new("RGB", (5, 5)).save(path, format="png")


def cut(path: Path) -> None:
    torch.save({"model": {"a": torch.zeros(9000)}}, path)
    path.write_bytes(path.read_bytes()[:20_000])


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda p: p.write_bytes(b""), r"is empty; download it again"),
        (lambda p: p.write_text("hello"), r"is not a PyTorch checkpoint, or is damaged"),
        (lambda p: p.write_text("<!DOCTYPE html>"), r"is not a PyTorch checkpoint, or is damaged"),
        (image, r"is not a PyTorch checkpoint, or is damaged"),
        (cut, r"is not a PyTorch checkpoint, or is damaged"),
        (
            lambda p: p.write_bytes(pickle.dumps({"a": np.zeros(2)})),
            r"is not a PyTorch checkpoint|holds more than tensors",
        ),
        (lambda p: p.mkdir(), r"is a folder; name the checkpoint"),
        (lambda p: torch.save([1, 2], p), r"holds a list, not a dictionary of tensors"),
        (lambda p: torch.save(torch.zeros(2), p), r"holds a Tensor, not a dictionary of tensors"),
        (lambda p: torch.save({"model": [1]}, p), r"holds no dictionary of tensors, neither at its top level nor as"),
        (lambda p: torch.save({"epoch": 3}, p), r"holds no dictionary of tensors"),
        (lambda p: torch.save({3: torch.zeros(2)}, p), r"holds no dictionary of tensors"),
        (
            lambda p: torch.save({"model": LAYER}, p),
            r"holds 1 tensors \(conv\.weight, \.\.\.\) but no detector known here",
        ),
        (lambda p: None, r"does not exist"),
    ],
    ids=[
        "empty",
        "text",
        "html",
        "image",
        "cut",
        "pickle",
        "folder",
        "list",
        "tensor",
        "model",
        "top",
        "numbered",
        "net",
        "none",
    ],
)
@pytest.mark.filterwarnings("error")
def test_files_that_are_not_checkpoints(write: Callable[[Path], object], sentence: str, tmp_path: Path) -> None:
    write(tmp_path / "model.pth")
    with pytest.raises(InputError, match=rf"model\.pth {sentence}") as caught:
        read_published(tmp_path / "model.pth")
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_pickle_that_runs_code_is_refused_and_does_not(zipped: bool, tmp_path: Path) -> None:
    content = {"model": RunsCode(tmp_path / "made by the pickle")}
    torch.save(content, tmp_path / "evil.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"holds more than tensors \(.+\) and cannot be read without running code"):
        read_published(tmp_path / "evil.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pth"]


def test_objects_beside_the_tensors_are_named_with_the_mend(tmp_path: Path) -> None:
    """mmdetection 3 saves such numbers while it trains."""
    torch.save({"state_dict": LAYER, "meta": {"seed": np.int64(3)}}, tmp_path / "epoch_12.pth")
    with pytest.raises(InputError, match=r"more than tensors \(numpy\.\S+\) .*/publish_model\.py"):
        read_pth(tmp_path / "epoch_12.pth")
