"""Memory that runs out ends in one sentence: while training, scoring, predicting, loading and exporting."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.cli.small import Said
from tests.tiny import TINY_MODEL
from uncrowd import InputError, Predictor
from uncrowd.cli import main
from uncrowd.data.transforms import ResizeConfig
from uncrowd.engine.failed_step import explain_step_out_of_memory
from uncrowd.engine.train_config import TrainConfig
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.out_of_memory import explain_out_of_memory, is_out_of_memory
from uncrowd.structures import Batch, Categories
from uncrowd.weights.file import save_weights


def use_too_much(*_: Any, **__: Any) -> None:
    """Asks for 4 PiB, which no machine has: the error is the allocator's own."""
    torch.empty(1 << 50)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    categories = Categories(ids=(1, 2, 3), names=("person", "dog", "sports ball"))
    save_weights(path, SparseRCNN(TINY_MODEL), categories, ResizeConfig(short_side=64, max_size=96))
    return path


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=["Python", "CUDA", "a worker that the system killed", "the system"],
)
def test_it_is_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)
    with (
        pytest.raises(InputError, match=r"^Memory ran out in it; take less\.$"),
        explain_out_of_memory("in it", "take less"),
    ):
        raise error


def test_it_is_recognised_as_a_cause() -> None:
    """As by the ONNX exporter, which explains at which of its steps it failed."""
    failed = RuntimeError("Failed to decompose the graph")
    failed.__cause__ = MemoryError()
    assert is_out_of_memory(failed)


def test_other_errors_stay_as_they_are() -> None:
    for error in (RuntimeError("shape mismatch"), InputError("out of memory.jpg does not exist.")):
        with pytest.raises(type(error), match=str(error)), explain_out_of_memory("in it", "take less"):
            raise error


@pytest.mark.parametrize(
    ("accumulate", "first"),
    [(1, "--train.accumulate 2"), (2, "--train.accumulate 3"), (6, "smaller --augment.short-sides")],
)
def test_a_step_names_its_images_and_what_needs_less(accumulate: int, first: str) -> None:
    """Six images are cut into 2, 3 or 6 micro-batches; images one by one cannot be cut further."""
    images = torch.zeros(6, 3, 64, 96, dtype=torch.uint8)
    batch = Batch(
        images=images,
        sizes=torch.tensor([[64, 96]] * 6),
        targets=[],
        ids=list(range(6)),
        image_sizes=[(64, 96)] * 6,
        skipped=[],
    )
    with (
        pytest.raises(InputError, match=rf"at step 12, with 6 images padded to 64 x 96 pixels; {first} "),
        explain_step_out_of_memory(12, batch, TrainConfig(batch_size=6, accumulate=accumulate)),
    ):
        use_too_much()


def test_detecting_names_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(SparseRCNN(TINY_MODEL), Categories(ids=(1,), names=("person",)), ResizeConfig(short_side=64))
    monkeypatch.setattr(type(predictor.model), "detect", use_too_much)
    image = np.zeros((64, 96, 3), np.uint8)
    with pytest.raises(InputError, match=r"while detecting in a batch of 2 of 64 x 96 pixels; smaller batches, "):
        predictor.predict([image, image])


@pytest.mark.parametrize("verb", ["predict", "eval", "export"])
def test_a_verb_ends_with_2_and_one_sentence(
    weights: Path,
    crowd: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: str,
) -> None:
    monkeypatch.setattr("uncrowd.models.detector.Detector.detect", use_too_much)
    monkeypatch.setattr("uncrowd.inference.export.to_onnx", use_too_much)
    rest: dict[str, list[object]] = {
        "predict": [crowd / "val", "--out", tmp_path / "out"],
        "eval": ["--data", crowd, "--workers", 0],
        "export": [tmp_path / "tiny.onnx"],
    }
    status = main([verb, str(weights), *map(str, rest[verb]), *(["--device", "cpu"] if verb != "export" else [])])
    out, err = capsys.readouterr()
    said = Said(status, out, err)
    assert said.status == 2, said
    assert said.err.startswith("uncrowd: Memory ran out while "), said
    assert said.err.count("\n") == 1, said


def test_what_no_part_explains_is_still_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("uncrowd.cli.check.find_layout", use_too_much)
    assert main(["check", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "uncrowd: memory ran out; smaller batches and smaller images need less.\n"
