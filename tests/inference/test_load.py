"""What a predictor can be loaded from, and which settings it can be loaded with."""

from pathlib import Path
from typing import Any

import pytest
import torch

import uncrowd
from tests.inference.cases import CATEGORIES, RESIZE, assert_same, random_image
from uncrowd import InputError, Predictor
from uncrowd.data.transforms import ResizeConfig
from uncrowd.inference.tta import TTAConfig
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.weights.file import save_weights


@pytest.fixture
def weights(model: SparseRCNN, tmp_path: Path) -> Path:
    save_weights(tmp_path / "run" / "weights.safetensors", model, CATEGORIES, RESIZE)
    return tmp_path / "run" / "weights.safetensors"


def test_a_file_and_a_run_can_be_loaded(predictor: Predictor, weights: Path) -> None:
    expected = predictor.predict(random_image(64, 96))
    for source in (weights, str(weights), weights.parent):
        loaded = uncrowd.load(source, "cpu")
        assert loaded.categories == CATEGORIES
        assert loaded.resize == RESIZE
        assert_same(loaded.predict(random_image(64, 96)), expected)


def test_bf16_finds_nearly_the_same(weights: Path) -> None:
    exact, half = uncrowd.load(weights, "cpu"), uncrowd.load(weights, "cpu", bf16=True)
    expected, found = exact.predict(random_image(64, 96)), half.predict(random_image(64, 96))
    assert not torch.equal(found.scores, expected.scores)
    torch.testing.assert_close(found.scores, expected.scores, rtol=0.2, atol=0)  # processors round differently


def test_a_detector_is_compiled_on_request(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What compiling does is tested in tests/acceleration/test_compile.py."""
    compiled: list[Any] = []
    monkeypatch.setattr("uncrowd.inference.predictor.compile_whole", compiled.append)
    uncrowd.load(weights, "cpu")
    assert compiled == []
    predictor = uncrowd.load(weights, "cpu", compiled=True)
    assert compiled == [predictor.model]


def test_another_short_side_resizes_in_proportion(weights: Path) -> None:
    image = random_image(160, 240)
    small, large = uncrowd.load(weights, "cpu"), uncrowd.load(weights, "cpu", short_side=128)
    assert large.resize == ResizeConfig(short_side=128, max_size=200)
    small.resize = large.resize
    assert_same(large.predict(image), small.predict(image))


def test_what_test_time_augmentation_excludes_is_refused(weights: Path) -> None:
    with pytest.raises(InputError, match="Test-time augmentation has a dozen sizes an image"):
        uncrowd.load(weights, "cpu", TTAConfig(), compiled=True)
    with pytest.raises(InputError, match="Test-time augmentation votes for each class on its own"):
        uncrowd.load(weights, "cpu", TTAConfig(), one_label=True)
    with pytest.raises(
        InputError, match="Test-time augmentation has its own sizes of an image; leave it or the short side out"
    ):
        uncrowd.load(weights, "cpu", TTAConfig(), short_side=128)


def test_one_label_gives_each_box_its_best_class(weights: Path) -> None:
    image = random_image(64, 96)
    paper, once = (uncrowd.load(weights, "cpu", one_label=one).predict(image) for one in (False, True))
    best: dict[tuple[float, ...], float] = {}
    for box, score in zip(paper.boxes.tolist(), paper.scores.tolist(), strict=True):
        best.setdefault(tuple(box), score)
    boxes = [tuple(box) for box in once.boxes.tolist()]
    assert len(set(boxes)) == len(boxes) >= len(best)
    assert [score for box, score in zip(boxes, once.scores.tolist(), strict=True) if box in best] == list(best.values())


def test_an_onnx_file_lowers_duplicates_as_it_was_exported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"detector\.onnx scores duplicates as it was exported"):
        uncrowd.load(tmp_path / "detector.onnx", "cpu", lower_duplicates=4.0)


def test_an_unfinished_run_is_refused(weights: Path) -> None:
    weights.rename(weights.with_name("best.safetensors"))
    with pytest.raises(InputError, match=r"no run was finished there; .*best\.safetensors holds the best so far"):
        uncrowd.load(weights.parent)
    with pytest.raises(InputError, match=r"no run was finished there; give weights or the folder of a finished run\.$"):
        uncrowd.load(weights.parent.parent)


def test_files_that_cannot_be_loaded_are_refused(weights: Path, tmp_path: Path, model: SparseRCNN) -> None:
    with pytest.raises(InputError, match=r"nothing\.safetensors does not exist"):
        uncrowd.load(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("device", ["no device", "cuda:99", "meta"])
def test_a_missing_device_is_named(weights: Path, device: str) -> None:
    with pytest.raises(InputError, match=f"There is no device '{device}' here"):
        uncrowd.load(weights, device)
