"""The public names, used as in a notebook: open a dataset, train, resume, load, predict, evaluate, export."""

import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jaxtyping
import onnxruntime
import pytest

import uncrowd
from tests.exported import Exported
from tests.tiny import tiny_experiment
from uncrowd import InputError


@pytest.fixture(scope="module")
def trained(crowd: Path, tmp_path_factory: pytest.TempPathFactory) -> uncrowd.TrainedRun:
    """A finished run of the tiny experiment."""
    out = tmp_path_factory.mktemp("public") / "run"
    return uncrowd.train(crowd, tiny_experiment(), out=out, device="cpu", say=lambda _: None)


def test_a_dataset_is_splits_of_samples(crowd: Path) -> None:
    splits = uncrowd.open_dataset(crowd)
    assert splits.train is not None
    assert splits.val is not None
    assert (len(splits.train), len(splits.val), splits.test) == (16, 6, None)
    for sample in splits.val:
        assert sample.path.is_file()
        assert sample.boxes.shape == (len(sample.labels), 4)


def test_training_returns_the_run(trained: uncrowd.TrainedRun) -> None:
    assert trained.finished
    assert trained.weights.is_file()
    assert trained.best.is_file()
    assert "AP" in trained.scores
    assert "epoch" not in trained.scores


def test_a_run_can_be_resumed(trained: uncrowd.TrainedRun) -> None:
    said: list[str] = []
    assert uncrowd.resume(trained.folder, device="cpu", say=said.append) == trained
    assert said[-1].endswith("nothing was changed")
    with pytest.raises(InputError, match="epochs is '3'; give int"):
        uncrowd.resume(trained.folder, epochs="3")


def test_the_weights_of_a_run_reach_the_scores_of_the_run(trained: uncrowd.TrainedRun, crowd: Path) -> None:
    val = uncrowd.open_dataset(crowd).val
    assert val is not None
    predictor = uncrowd.load(trained.weights, "cpu")
    assert uncrowd.evaluate(predictor, val, batch_size=4).values == trained.scores


def test_detections_score_as_their_predictor_does(trained: uncrowd.TrainedRun, crowd: Path) -> None:
    val = uncrowd.open_dataset(crowd).val
    assert val is not None
    predictor = uncrowd.load(trained.folder, "cpu")
    found = {sample.id: predictor.predict(sample.path) for sample in val}
    ours, theirs = (uncrowd.evaluate(what, val, threshold=0.1) for what in (found, predictor))
    assert ours == theirs
    assert ours.counting is not None
    assert ours.counting.overall.counted == sum(len(each.above(0.1)) for each in found.values())


def test_a_predictor_is_as_good_as_its_detections(trained: uncrowd.TrainedRun, crowd: Path) -> None:
    val = uncrowd.open_dataset(crowd).val
    assert val is not None
    predictor = uncrowd.load(trained.folder, "cpu")
    found = {sample.id: predictor.predict(sample.path) for sample in val}
    compared = uncrowd.compare(predictor, found, val, resamples=5)
    assert compared.better is None
    score = compared.scores["AP"]
    assert score is not None
    assert score.a == pytest.approx(trained.scores["AP"])
    assert (score.difference, score.lower, score.upper, score.a_better) == (0, 0, 0, 0.5)
    with pytest.raises(InputError, match="resamples is 0; give 1 or more"):
        uncrowd.compare(predictor, found, val, resamples=0)
    with pytest.raises(InputError, match="has no ground truth to score against"):
        uncrowd.compare(predictor, found, replace(val, annotated=False))


def test_a_dataset_is_checked_before_training(crowd: Path) -> None:
    checked = uncrowd.check_dataset(crowd)
    assert checked.number("error") == 0
    assert checked.training is not None
    assert len(checked.training.train) == 16
    assert all(finding.sentence().startswith("note: ") for finding in checked.findings)
    only = uncrowd.check_dataset(crowd, classes=["dog"]).training
    assert only is not None
    assert only.train.categories.names == ("dog",)


def test_what_goes_wrong_adds_up(trained: uncrowd.TrainedRun, crowd: Path) -> None:
    val = uncrowd.open_dataset(crowd).val
    assert val is not None
    errors = uncrowd.analyse(uncrowd.load(trained.folder, "cpu"), val, threshold=0.2)
    assert errors.threshold == 0.2
    assert sum(part.objects for part in errors.slices.crowding) == len(val.boxes)
    assert uncrowd.error_table(errors).startswith("What goes wrong at IoU 0.5 and a score of at least 0.2:")
    with pytest.raises(InputError, match="has no ground truth to score against"):
        uncrowd.analyse({}, replace(val, annotated=False))


def test_detections_and_ground_truth_are_drawn(trained: uncrowd.TrainedRun, crowd: Path) -> None:
    val = uncrowd.open_dataset(crowd).val
    assert val is not None
    sample = val[0]
    found = uncrowd.load(trained.folder, "cpu").predict(sample.path)
    plain, detected, truth = (uncrowd.draw(sample.path, each) for each in (found[:0], found, sample))
    assert plain.size == detected.size == truth.size == (720, 480)
    assert plain.tobytes() != detected.tobytes() != truth.tobytes()


def test_the_categories_of_a_predictor_may_have_other_ids(trained: uncrowd.TrainedRun, crowd: Path) -> None:
    val = uncrowd.open_dataset(crowd).val
    assert val is not None
    predictor = uncrowd.load(trained.folder, "cpu")
    categories = replace(val.categories, ids=tuple(id + 50 for id in val.categories.ids))
    assert uncrowd.evaluate(predictor, replace(val, categories=categories)) == uncrowd.evaluate(predictor, val)
    assert predictor.categories == val.categories

    names = tuple(f"no {name}" for name in categories.names)
    with pytest.raises(InputError, match=r"The predictor knows 3 classes .* give data of the same classes"):
        uncrowd.evaluate(predictor, replace(val, categories=replace(categories, names=names)))
    more = replace(categories, ids=(*categories.ids, 99), names=(*categories.names, "man, old"))
    with pytest.raises(InputError, match=r"keep those it knows: --classes .*, in Python classes"):
        uncrowd.evaluate(predictor, replace(val, categories=more))


def test_images_that_cannot_be_read_are_named_and_count_as_empty(
    trained: uncrowd.TrainedRun, crowd: Path, tmp_path: Path
) -> None:
    val = uncrowd.open_dataset(crowd).val
    assert val is not None
    elsewhere = replace(val, folder=tmp_path)
    detector = uncrowd.load(trained.folder, "cpu")
    with pytest.raises(InputError, match="has no image that can be used"):
        uncrowd.evaluate(detector, elsewhere)
    (tmp_path / val.file_names[0]).write_bytes(val.path(0).read_bytes())
    with pytest.warns(UserWarning, match="5 images cannot be read and count as empty"):
        uncrowd.evaluate(detector, elsewhere)


def test_a_dataset_without_ground_truth_is_not_scored(crowd: Path) -> None:
    val = uncrowd.open_dataset(crowd).val
    assert val is not None
    with pytest.raises(InputError, match="has no ground truth to score against"):
        uncrowd.evaluate({}, replace(val, annotated=False))


@pytest.mark.usefixtures("traced")
def test_a_detector_is_exported(exported: Exported, tmp_path: Path) -> None:
    found = uncrowd.export(exported.weights, tmp_path / "detector.onnx")
    assert found.checked.exported.pixels < 0.1
    session = onnxruntime.InferenceSession(tmp_path / "detector.onnx")
    assert [output.name for output in session.get_outputs()] == ["boxes", "scores", "labels"]
    with pytest.raises(InputError, match=r"is not the name of an exported detector; end its name in \.onnx or \.xml"):
        uncrowd.export(exported.weights, tmp_path / "detector.pt")


def test_an_experiment_is_found_by_its_name(crowd: Path) -> None:
    with pytest.raises(InputError, match="There is no recipe 'smal-data'; the nearest is small-data; "):
        uncrowd.train(crowd, "smal-data")


def test_a_setting_of_another_type_is_said_before_training(crowd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # the types of settings are not checked by users
    wrong = replace(tiny_experiment(), train=replace(tiny_experiment().train, epochs=2.5))
    with pytest.raises(
        InputError, match=r"The experiment is not a valid Experiment .*: 2\.5 instead of a whole number"
    ):
        uncrowd.train(crowd, wrong)


def test_a_dry_run_leaves_nothing(crowd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = uncrowd.train(crowd, tiny_experiment(), out=tmp_path / "run", device="cpu", dry_run=True)
    assert not run.finished
    assert run.scores == {}
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr().out
    assert "training: 16 images, 2 epochs of 4 steps, 8 steps in all" in said
    assert "forecast: 8 steps of 4 images at " in said


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("open_dataset", {"data": None}, "data is None; give a folder, an annotation file, or a list of them."),
    (
        "open_dataset",
        {"data": "d", "classes": [3]},
        "classes is [3]; give Mapping[str, Sequence[str]] | Sequence[str] | ",
    ),
    ("open_dataset", {"data": "d", "box": "body"}, "box is 'body'; give Literal['fbox', 'vbox', 'hbox']."),
    ("train", {"data": ["d", 3]}, "data is ['d', 3]; give a folder, an annotation file, or a list of them."),
    (
        "train",
        {"data": "d", "experiment": uncrowd.TilesConfig()},
        "experiment is of the type TilesConfig; give Experim",
    ),
    ("train", {"data": "d", "say": "no"}, "say is 'no'; give Callable[[str], None]."),
    ("resume", {"folder": b"run"}, "folder is b'run'; give the folder of a run."),
    ("load", {"path": None}, "path is None; give a weights file, the folder of a run, or an exported detector."),
    ("load", {"path": "w", "proposals": "4"}, "proposals is '4'; give int | None."),
    ("load", {"path": "w", "proposals": True}, "proposals is True; give int | None."),
    ("load", {"path": "w", "tiles": 64}, "tiles is 64; give TilesConfig | None."),
    ("load", {"path": "w", "bf16": "yes"}, "bf16 is 'yes'; give bool."),
    (
        "evaluate",
        {"found": {}, "dataset": "d"},
        "dataset is 'd'; give a split of a dataset, such as open_dataset(path).val",
    ),
    (
        "evaluate",
        {"found": {1: [2]}, "dataset": "d"},
        "found is {1: [2]}; give a predictor, such as load(path), or dete",
    ),
    (
        "compare",
        {"a": {}, "b": 3, "dataset": "d"},
        "b is 3; give a predictor, such as load(path), or detections by imag",
    ),
    ("analyse", {"found": {}, "dataset": 3}, "dataset is 3; give a split of a dataset, such as open_dataset(path).val"),
    ("check_dataset", {"data": 3}, "data is 3; give a folder, an annotation file, or a list of them."),
    ("draw", {"image": "a.jpg", "objects": "dog"}, "objects is 'dog'; give detections, or a sample of a dataset."),
    ("export", {"weights": "w", "destination": None}, "destination is None; give the name of an exported detector."),
    ("track", {"predictor": "w", "video": "v"}, "predictor is 'w'; give a predictor, such as load(path)."),
]


@pytest.mark.parametrize(("name", "arguments", "sentence"), WRONG)
def test_an_argument_of_another_type_is_said(name: str, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        getattr(uncrowd, name)(**arguments)
    assert str(caught.value).startswith(sentence)


def test_every_public_name_says_what_it_is() -> None:
    for name in dir(uncrowd):
        if name != "__version__":
            assert inspect.getdoc(getattr(uncrowd, name)), name


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, uncrowd; dir(uncrowd); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
