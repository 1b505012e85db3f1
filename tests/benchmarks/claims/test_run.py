"""A line of a tiny budget leaves one record and its detections, whether it was stopped in between or not."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.claims.datasets import DrawnCrowds
from benchmarks.claims.kept import read_kept
from benchmarks.claims.ours import OurDetector
from benchmarks.claims.rates import needs
from benchmarks.claims.run import Places, read_lines, run_line, score
from benchmarks.claims.settings import Budget, Line, Output, Trained, Training

from tests.benchmarks.claims.made_up import ONE_CLASS, detections, sample
from tests.tiny import TINY_MODEL, tiny_experiment
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.engine.train import Trainer
from uncrowd.errors import InputError
from uncrowd.inference.predictor import Predictor
from uncrowd.structures import Batch, Detections, ImageId, Sample

LINE = Line(
    dataset=DrawnCrowds(overlap=0.1, size=(64, 96), objects=(2, 4), train=16, val=6, test=6),
    detector=OurDetector(attention="iou", interaction="dcw", recipe=tiny_experiment()),
    budget=Budget(name="tiny", steps=8, batch=4, evaluations=2, ema_decay=0.9),
    seed=1,
)


def nothing(text: str) -> None:
    """Says nothing."""


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    """Leaves the reports of the runs out, which take half of their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uncrowd.runs.scoring.write_report", lambda *_: None)
        yield patch


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Places:
    """Where the line ran without an interruption."""
    folder = tmp_path_factory.mktemp("claims")
    places = Places(work=folder / "work", results=folder / "results")
    places.results.mkdir()
    assert run_line(LINE, places, device="cpu", say=nothing)
    return places


def test_a_line_has_settings_scores_and_what_they_depend_on(places: Places) -> None:
    (text,) = places.lines.read_text().splitlines()
    record = json.loads(text)
    assert record["name"] == LINE.name == "drawn-0.1_tiny-iou-dcw_tiny_1"
    assert {"commit", "machine", "device", "threads", "seconds", "threshold"} <= record.keys()
    assert (record["dataset"]["test"], record["budget"]["steps"], record["seed"]) == (6, 8, 1)
    assert record["detector"]["attention"] == "iou"
    assert record["learning_rate"] == 1e-3
    assert record["seconds"] > 0
    assert [each["images"] for each in record["evaluations"]] == [16, 32]
    assert all(0 <= each["AP50"] <= 1 for each in record["evaluations"])
    assert {"AP", "AP50", "AP75"} <= record["test"]["coco"].keys()
    assert record["test"]["crowdhuman"].keys() == {"AP", "mMR", "Recall", "JI"}
    assert [each["iou"] for each in record["test"]["overlapped"]] == [0.5, 0.75]


def test_the_kept_detections_give_the_scores_of_the_line(places: Places) -> None:
    test = open_dataset(places.work / "data" / LINE.dataset.name).test
    assert test is not None
    kept = read_kept(places.detections(LINE), test.categories)
    assert set(kept) == set(test.ids.tolist())
    assert all(0 < len(found) <= 10 for found in kept.values())  # the model has ten proposals
    again = json.loads(json.dumps(score(test, kept)))
    assert again == read_lines(places.lines)[LINE.name]["test"]


def test_the_fullest_images_are_scored_alone() -> None:
    few, many = (sample(id, [[5 * i, 0, 5 * i + 4, 9] for i in range(n)]) for id, n in ((1, 3), (2, 120)))
    dataset = one_class([few, many])
    found = {
        each.id: detections(each.boxes.tolist(), [0.5] * len(each.boxes), categories=ONE_CLASS) for each in dataset
    }
    half = found | {2: detections(many.boxes[:60].tolist(), [0.5] * 60, categories=ONE_CLASS)}
    assert score(dataset, found)["fullest"]["Recall"] == 1
    assert score(dataset, half)["fullest"]["Recall"] == 0.5
    assert score(dataset, half)["crowdhuman"]["Recall"] == pytest.approx(63 / 123)
    assert "fullest" not in score(one_class([few]), {1: found[1]})


def one_class(samples: list[Sample]) -> DetectionDataset:
    return DetectionDataset.from_samples(
        samples, source=Path("made up"), split="test", categories=ONE_CLASS, folder=Path()
    )


def test_what_is_done_is_skipped(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    before, said = places.lines.read_bytes(), []
    monkeypatch.setattr(OurDetector, "train", None)
    assert run_line(LINE, places, device="cpu", say=said.append)
    assert said == [f"{LINE.name} is done; nothing was changed"]
    assert places.lines.read_bytes() == before


def test_a_stopped_line_goes_on_and_ends_the_same(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = Places(work=tmp_path / "work", results=tmp_path)
    original = Trainer._step

    def stop_at_step_5(self: Trainer, batch: Batch) -> Any:
        if self.global_step == 5:
            signal.raise_signal(signal.SIGTERM)
        return original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stop_at_step_5)
        assert not run_line(LINE, stopped, device="cpu", say=nothing)
    assert not stopped.lines.exists()
    assert run_line(LINE, stopped, device="cpu", say=nothing)
    assert without_clock(stopped) == without_clock(places)
    assert stopped.detections(LINE).read_bytes() == places.detections(LINE).read_bytes()


def test_what_is_trained_on_one_dataset_may_be_scored_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for as many proposals, and resizes images to the size, as a detector that is trained there."""
    recipe = replace(tiny_experiment(), model=replace(TINY_MODEL, queries="dense"))
    dense = OurDetector(attention="iou", interaction="dcw", recipe=recipe)
    full = DrawnCrowds(overlap=0.1, kind="drawn-full", size=(96, 128), objects=(8, 9), train=16, val=1, test=2)
    line = replace(LINE, dataset=full, trained_on=LINE.dataset, detector=dense)
    places = Places(work=tmp_path / "work", results=tmp_path)
    assert line.name == "drawn-full-0.1_tiny-iou-dcw-from-drawn-0.1_tiny_1"
    assert needs(line) == [line.trains.name] == ["drawn-0.1_tiny-iou-dcw_tiny_1"]
    sizes: set[tuple[int, int]] = set()
    original = Predictor.predict_batch

    def watched(self: Predictor, batch: Batch, *rest: Any, **named: Any) -> Any:
        sizes.add((batch.images.shape[-2], batch.images.shape[-1]))
        return original(self, batch, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Predictor, "predict_batch", watched)
        assert run_line(line, places, device="cpu", say=nothing)
    assert sizes == {(64, 96), (96, 128)}
    test = open_dataset(places.work / "data" / full.name).test
    assert test is not None
    kept = read_kept(places.detections(line), test.categories)
    assert max(len(found) for found in kept.values()) == 18, "proposals: twice the 9 objects of the fullest image"

    def no_step(self: Trainer, batch: Batch) -> Any:
        raise AssertionError("it is trained already")

    monkeypatch.setattr(Trainer, "_step", no_step)
    assert run_line(line.trains, places, device="cpu", say=nothing)
    records = read_lines(places.lines)
    assert records[line.name]["trained_on"]["overlap"] == 0.1
    assert records[line.trains.name]["trained_on"] is None
    assert records[line.name]["evaluations"] == records[line.trains.name]["evaluations"]


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """Finds all objects in one of its outputs, and nothing in the other."""

    name: str = "oracle"
    learning_rate: float | None = 0.0
    rates: tuple[float, ...] = (0.0, 0.5)

    def with_rate(self, learning_rate: float) -> "Oracle":
        """Returns the same detector with the rate."""
        return replace(self, learning_rate=learning_rate)

    def train(self, training: Training) -> Trained:
        """Takes no step."""
        outputs = [
            Output(name="nothing", val={}, detect=lambda _: {}),
            Output(name="all", val=all_objects(training.val), detect=all_objects),
        ]
        return Trained(seconds=1.0, evaluations=[{"images": 32, "AP": 0.25}], outputs=outputs)


def all_objects(dataset: DetectionDataset) -> dict[ImageId, Detections]:
    return {
        sample.id: Detections(
            boxes=torch.from_numpy(sample.boxes),
            scores=torch.ones(len(sample.boxes)),
            labels=torch.from_numpy(sample.labels),
            categories=dataset.categories,
        )
        for sample in dataset
    }


def test_of_several_outputs_validation_chooses_and_all_are_scored(places: Places, tmp_path: Path) -> None:
    line = replace(LINE, detector=Oracle())
    there = Places(work=places.work, results=tmp_path)
    assert run_line(line, there, say=nothing)
    record = read_lines(there.lines)[line.name]
    assert (record["output"], list(record["other_outputs"])) == ("all", ["nothing"])
    assert record["test"]["coco"]["AP50"] == 1
    assert record["other_outputs"]["nothing"]["test"]["coco"]["AP50"] == 0
    kept = sorted(file.name for file in (tmp_path / "detections").iterdir())
    assert kept == [f"{line.name}.npz", f"{line.name}_nothing.npz"]


def test_a_line_that_tries_a_learning_rate_does_not_see_the_test_split(places: Places, tmp_path: Path) -> None:
    line, said = replace(LINE, detector=Oracle(), rate=0.5), []
    there = Places(work=places.work, results=tmp_path)
    assert run_line(line, there, say=said.append)
    record = read_lines(there.lines)[line.name]
    assert (record["learning_rate"], record["rate"], "test" in record) == (0.5, 0.5, False)
    assert not (tmp_path / "detections").exists()
    assert said == [f"{line.name} is done: AP 0.250 on validation"]


def without_clock(places: Places) -> dict[str, Any]:
    return {name: value for name, value in read_lines(places.lines)[LINE.name].items() if name != "seconds"}


def test_a_line_that_is_no_result_is_named(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    file.write_text('{"name": "a"}\n{"na\n')
    with pytest.raises(InputError, match=r"results\.jsonl: line 2 is no result of a run .*; remove it"):
        read_lines(file)


def test_detections_that_cannot_be_read_are_named(places: Places, tmp_path: Path) -> None:
    file = tmp_path / "none.npz"
    file.write_bytes(b"")
    test = open_dataset(places.work / "data" / LINE.dataset.name).present[0]
    with pytest.raises(InputError, match=r"none\.npz cannot be read as kept detections"):
        read_kept(file, test.categories)
