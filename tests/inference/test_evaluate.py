"""Each image of a dataset is detected in once, however the work is split."""

import copy
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny import TINY_MODEL, tiny_experiment
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.errors import InputError
from uncrowd.inference.analyse import analyse
from uncrowd.inference.compare import compare
from uncrowd.inference.evaluate import Detected, detect, evaluate
from uncrowd.inference.predictor import Predictor
from uncrowd.inference.tta import TTAConfig, View
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.ranks import Ranks
from uncrowd.structures import Categories
from uncrowd.thresholds import ScoreThresholds


@pytest.fixture
def dataset(crowd: Path) -> DetectionDataset:
    train = open_dataset(crowd).train
    assert train is not None
    return train


FLIPPED = TTAConfig(views=(View(short_side=32, max_size=64),))


@pytest.fixture(params=[None, FLIPPED], ids=["plain", "augmented"])
def predictor(dataset: DetectionDataset, request: pytest.FixtureRequest) -> Predictor:
    torch.manual_seed(0)
    experiment = tiny_experiment()
    return Predictor(SparseRCNN(TINY_MODEL), dataset.categories, experiment.resize, tta=request.param)


def assert_same(ours: Detected, theirs: Detected) -> None:
    assert ours.detections.keys() == theirs.detections.keys()
    for image, expected in theirs.detections.items():
        got = ours.detections[image]
        torch.testing.assert_close(got.scores, expected.scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(got.boxes, expected.boxes, rtol=1e-3, atol=1e-2)


def test_batches_and_workers_change_nothing(predictor: Predictor, dataset: DetectionDataset) -> None:
    alone = detect(predictor, dataset, batch_size=1)
    assert set(alone.detections) == {sample.id for sample in dataset}
    assert_same(detect(predictor, dataset, batch_size=5, workers=2), alone)


@pytest.mark.parametrize("ranks", [2, 20])
def test_ranks_share_the_images(
    predictor: Predictor, dataset: DetectionDataset, monkeypatch: pytest.MonkeyPatch, ranks: int
) -> None:
    """Together, the ranks find what a single process finds. With 16 images, some of 20 ranks have none."""
    alone = detect(predictor, dataset, batch_size=3)
    monkeypatch.setattr(Ranks, "gather", lambda ranks, own: own)
    together: dict[Any, Any] = {}
    for rank in range(ranks):
        part = detect(predictor, dataset, batch_size=3, ranks=Ranks(rank, ranks))
        assert not together.keys() & part.detections.keys()
        together |= part.detections
    assert_same(Detected(together, []), alone)


def test_progress_is_reported(predictor: Predictor, dataset: DetectionDataset) -> None:
    """The batches have 6, 6 and 4 images; with test-time augmentation, images go one by one."""
    told: list[tuple[int, int]] = []
    detect(predictor, dataset, batch_size=6, on_batch=lambda done, total: told.append((done, total)))
    steps = 3 if predictor.tta is None else 16
    assert told == [(done, steps) for done in range(1, steps + 1)]


def test_images_are_detected_as_the_predictor_does(predictor: Predictor, dataset: DetectionDataset) -> None:
    expected = Detected({sample.id: predictor.predict(sample.path) for sample in dataset}, [])
    assert_same(detect(predictor, dataset, batch_size=4), expected)


def test_paths_are_refused_with_what_opens_them(predictor: Predictor, dataset: DetectionDataset) -> None:
    path: Any = "runs/1"
    for action in (lambda: evaluate(path, dataset), lambda: compare(path, path, dataset)):
        with pytest.raises(InputError, match=r"'runs/1'; give a predictor, such as load\(path\)"):
            action()
    with pytest.raises(InputError, match=r"dataset is 'runs/1'; give a split of a dataset, such as open_dataset"):
        evaluate(predictor, path)
    wrongs: list[dict[str, Any]] = [{"batch_size": 0}, {"workers": -1}]
    for wrong in wrongs:
        with pytest.raises(InputError, match=r" is .*; give a whole number of . or more"):
            evaluate(predictor, dataset, **wrong)


def test_what_does_not_fit_is_refused_before_detection(
    predictor: Predictor, dataset: DetectionDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(Predictor, "predict_batch")
    monkeypatch.delattr(Predictor, "predict")
    with pytest.raises(InputError, match="'cat' is no class of this detector"):
        evaluate(predictor, dataset, threshold={"cat": 0.5})
    with pytest.raises(InputError, match="give ascending positive numbers"):
        evaluate(predictor, dataset, max_dets=[10, 1])
    with pytest.raises(InputError, match="threshold is 2"):
        analyse(predictor, dataset, threshold=2.0)
    others = copy.copy(predictor)
    others.categories = Categories(ids=(1,), names=("cat",))
    others.thresholds = ScoreThresholds(f1={"cat": 0.5}, count={"cat": 0.5})
    for scored in (evaluate, partial(compare, predictor)):
        with pytest.raises(InputError, match=r"^The predictor knows 1 class \(cat\)"):
            scored(others, dataset)


def test_an_unreadable_image_is_named(predictor: Predictor, crowd: Path, tmp_path: Path) -> None:
    shutil.copytree(crowd, tmp_path / "crowd")
    (tmp_path / "crowd" / "train" / "000003.jpg").write_bytes(b"no image")
    dataset = open_dataset(tmp_path / "crowd").train
    assert dataset is not None
    detected = detect(predictor, dataset, batch_size=4)
    (reason,) = detected.unreadable
    assert reason.startswith(f"{tmp_path / 'crowd/train/000003.jpg'} cannot be read as an image (")
    assert len(detected.detections) == 15


def test_detections_keep_no_batch_in_memory(predictor: Predictor, dataset: DetectionDataset) -> None:
    """Otherwise memory would grow during an evaluation by far more than the detections take."""
    for found in detect(predictor, dataset, batch_size=8).detections.values():
        for tensor in (found.boxes, found.scores, found.labels):
            assert tensor.untyped_storage().nbytes() == tensor.nbytes


def test_training_goes_on_as_before(predictor: Predictor, dataset: DetectionDataset) -> None:
    """An evaluation changes neither the mode of the model nor the state of the random generator."""
    model = predictor.model
    assert isinstance(model, SparseRCNN)
    model.train().requires_grad_()
    state = torch.get_rng_state()
    detect(Predictor(model, predictor.categories, predictor.resize), dataset, workers=2)
    assert model.training
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_results_are_json(predictor: Predictor, dataset: DetectionDataset) -> None:
    detected = detect(predictor, dataset)
    records = [record for id, found in detected.detections.items() for record in found.to_coco(id)]
    assert json.loads(json.dumps(records)) == records
    assert {record["category_id"] for record in records} <= {1, 18, 37}
