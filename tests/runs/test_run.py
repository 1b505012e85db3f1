"""What a run says, refuses and leaves behind."""

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

import uncrowd
from tests.runs.process import prepare
from tests.tiny import tiny_experiment
from uncrowd import config
from uncrowd.engine.metrics import read_metrics
from uncrowd.errors import InputError
from uncrowd.recipes import EXPERIMENTS
from uncrowd.runs.run import Run, begin, resume
from uncrowd.runs.trained import TrainedRun

AtStep = Callable[[int, Callable[[], None]], None]


def copy(
    crowd: Path, folder: Path, change: Callable[[dict[str, Any]], None] = lambda _: None, split: str = "train"
) -> Path:
    """Copies the dataset, changes the annotations of one split, and returns the folder of the copy."""
    shutil.copytree(crowd, folder)
    file = folder / "annotations" / f"instances_{split}.json"
    raw = json.loads(file.read_text())
    change(raw)
    file.write_text(json.dumps(raw))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_run_leaves_all_behind(finished: Path, crowd: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    weights = {f"{name}.safetensors" for name in ("last", "best", "weights")}
    assert names == {*weights, "config.json", "metrics.jsonl", "tensorboard", "detections.json", "report.html"}

    rows = read_metrics(finished / "metrics.jsonl")
    steps = [(row["kind"], row["step"]) for row in rows if row["kind"] != "counts"]  # which it has if it finds anything
    first, second = [("train", step) for step in (1, 2, 3, 4)], [("train", step) for step in (5, 6, 7, 8)]
    assert steps == [("begin", 0), *first, ("eval", 4), *second, ("eval", 8)]
    events = EventAccumulator(str(finished / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [event.step for event in events.Scalars("eval/AP")] == [4, 8]

    run = config.load(Run, finished / "config.json")
    assert run == Run(experiment=replace(tiny_experiment(), protocol="coco"), data=str(crowd))
    assert "tiny" in (finished / "report.html").read_text()


def test_the_model_card_of_a_run_has_its_data_and_scores(finished: Path, crowd: Path) -> None:
    card = uncrowd.model_card(finished, "me/tiny")
    assert f"| Data | {crowd.name} |\n| Trained on | 16 images with " in card
    (*_, last) = (row for row in read_metrics(finished / "metrics.jsonl") if row["kind"] == "eval")
    assert f"\n| AP | {100 * last['AP']:.1f} |\n" in card
    assert str(crowd) not in card


def test_the_deployed_weights_are_the_average(finished: Path) -> None:
    last, weights = (load_file(finished / f"{name}.safetensors") for name in ("last", "weights"))
    for name, tensor in weights.items():
        assert torch.equal(tensor, last[f"average.{name}"]), name
    assert any(not torch.equal(tensor, last[f"model.{name}"]) for name, tensor in weights.items())
    assert uncrowd.load(finished, "cpu").categories.names == ("person", "dog", "sports ball")


def test_a_finished_run_is_left_as_it_is(finished: Path) -> None:
    before, said = contents(finished), []
    assert resume(finished, device="cpu", say=said.append).finished
    assert said[-1] == f"the run in {finished} is finished, 2 epochs; nothing was changed"
    assert contents(finished) == before


def test_a_folder_that_holds_a_run_is_refused(finished: Path, crowd: Path) -> None:
    before = contents(finished)
    with pytest.raises(InputError, match=rf"{finished} already holds a run; go on with `--resume"):
        begin(Run(experiment=tiny_experiment(), data=str(crowd)), finished, device="cpu")
    assert contents(finished) == before


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no run: there is no config\.json in it"):
        resume(tmp_path, device="cpu")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_can_be_saved_and_loaded(name: str, tmp_path: Path) -> None:
    run = Run(experiment=EXPERIMENTS[name](), data="somewhere", start_from="weights.safetensors")
    config.save(run, tmp_path / "config.json")
    assert config.load(Run, tmp_path / "config.json") == run


def test_a_run_of_detr_may_say_channel_weighting(tmp_path: Path) -> None:
    """An earlier version wrote that key where this one writes `interaction`."""
    run = Run(experiment=EXPERIMENTS["coco-detr-r50-iou-esa-dcw"](), data="somewhere")
    file = tmp_path / "config.json"
    config.save(run, file)
    file.write_text(file.read_text().replace('"interaction": "dcw"', '"channel_weighting": true'))
    assert "channel_weighting" in file.read_text()
    assert config.load(Run, file) == run


def test_other_settings_are_refused_by_name(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    run = json.loads((folder / "config.json").read_text())
    run["experiment"]["optim"]["learning_rate"] = 0.5
    run["experiment"]["train"]["batch_size"] = 2
    (folder / "config.json").write_text(json.dumps(run))
    with pytest.raises(InputError) as caught:
        resume(folder, device="cpu")
    assert "configuration.optim.learning_rate was 0.001 and is 0.5" in str(caught.value)
    assert "configuration.train.batch_size was 4 and is 2" in str(caught.value)


def test_other_data_are_refused(finished: Path, crowd: Path, tmp_path: Path) -> None:
    """One number in one box is enough."""

    def resume_with(change: Callable[[dict[str, Any]], None], name: str) -> str:
        folder = tmp_path / f"run with {name}"
        shutil.copytree(finished, folder)
        run = json.loads((folder / "config.json").read_text())
        run["data"] = str(copy(crowd, tmp_path / name, change))
        (folder / "config.json").write_text(json.dumps(run))
        with pytest.raises(InputError) as caught:
            resume(folder, device="cpu")
        return str(caught.value)

    def move_box(raw: dict[str, Any]) -> None:
        raw["annotations"][0]["bbox"][2] -= 1

    assert "training data.contents was" in resume_with(move_box, "moved box")
    fewer = resume_with(lambda raw: raw["annotations"].pop(), "a box less")
    assert "training data.boxes was 50 and is 49" in fewer
    assert "validation data" not in fewer


def test_data_may_move(crowd: Path, finished: Path, tmp_path: Path) -> None:
    """Only its contents count."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    run = config.load(Run, folder / "config.json")
    config.save(replace(run, data=str(copy(crowd, tmp_path / "elsewhere"))), folder / "config.json")
    assert resume(folder, device="cpu").finished


def test_a_run_gets_more_epochs(finished: Path, tmp_path: Path) -> None:
    """A copy of the run continues; the run itself stays as it is."""
    before, said, out = contents(finished), [], tmp_path / "longer"
    assert resume(finished, out=out, epochs=3, device="cpu", say=said.append) == TrainedRun(out, finished=True)
    assert said[0] == (
        "the run gets 3 epochs instead of 2; its learning rate stays the same, as before, and is not stretched to the "
        "new length"
    )
    assert contents(finished) == before
    assert config.load(Run, out / "config.json").experiment.train.epochs == 3
    rows, old = (read_metrics(folder / "metrics.jsonl") for folder in (out, finished))
    assert rows[: len(old)] == old
    new = [(row["kind"], row["step"]) for row in rows[len(old) :]]
    assert [row for row in new if row != ("counts", 12)] == [  # these only where something is found
        *(("train", step) for step in (9, 10, 11, 12)),
        ("eval", 12),
    ]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 1}, r"epochs is 1; a resumed run keeps its 2 or gets more\."),
        (
            {"batch_size": 2},
            r"A resumed run keeps its batch_size; it may change epochs, accumulate, .*workers",
        ),
    ],
)
def test_a_resumed_run_keeps_the_rest(finished: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        resume(finished, device="cpu", **changes)


def test_a_folder_that_another_process_writes_into_is_refused(
    finished: Path, crowd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """test_folder.py tests that other processes are kept out; this tests that a run claims its folder."""
    monkeypatch.setattr("uncrowd.runs.folder._lock", lambda file: False)
    before = contents(finished)
    with pytest.raises(InputError, match=r"Another process is writing into .*; wait until it ends, or"):
        resume(finished, device="cpu")
    with pytest.raises(InputError, match="Another process is writing into"):
        begin(Run(experiment=tiny_experiment(), data=str(crowd)), tmp_path / "run", device="cpu")
    assert {name: file for name, file in contents(finished).items() if name != ".lock"} == before


def test_a_run_may_go_on_compiled(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uncrowd.runs.run.compile_layers", lambda model, device: None)
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    run = config.load(Run, folder / "config.json")
    compiled = replace(run.experiment, train=replace(run.experiment.train, compile=True))
    config.save(replace(run, experiment=compiled), folder / "config.json")
    assert resume(folder, device="cpu").finished


@pytest.mark.parametrize("wanted", [True, False])
def test_a_model_is_compiled_on_request(
    crowd: Path, sayings: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    """tests/acceleration/test_compile.py tests what compiling does."""
    compiled: list[nn.Module] = []
    monkeypatch.setattr("uncrowd.runs.run.compile_layers", lambda model, device: compiled.append(model))
    sayings(crowd, tiny_experiment(compile=wanted))
    assert len(compiled) == wanted


def test_a_split_without_boxes_to_score_on_is_said(
    crowd: Path, tmp_path: Path, sayings: Callable[..., list[str]]
) -> None:
    data = copy(crowd, tmp_path / "data", lambda raw: raw["annotations"].clear(), split="val")
    (note,) = [line for line in sayings(data, tiny_experiment()) if line.startswith("warning")]
    assert note.startswith("warning: val: no boxes to score detections against (0 boxes in 6 images); the run gets no")


def test_start_from_uses_every_weight(crowd: Path, finished: Path, tmp_path: Path, at_step: AtStep) -> None:
    """The first step is taken from the weights of the other run."""
    source = finished / "weights.safetensors"
    run = Run(experiment=tiny_experiment(), data=str(crowd), start_from=str(source))
    said: list[str] = []
    at_step(0, lambda: signal.raise_signal(signal.SIGTERM))
    assert not begin(run, tmp_path / "run", device="cpu", say=said.append).finished
    assert f"all weights from {source}" in said
    after, start = load_file(tmp_path / "run" / "last.safetensors"), load_file(source)
    for name, tensor in start.items():
        torch.testing.assert_close(after[f"model.{name}"], tensor, rtol=0, atol=2e-5)  # a step of 1e-5


def test_start_from_other_weights_is_refused(crowd: Path, finished: Path, tmp_path: Path) -> None:
    experiment, source = tiny_experiment(), str(finished / "weights.safetensors")
    wider = replace(experiment, model=replace(experiment.model, stages=3))
    with pytest.raises(InputError, match=r"does not fit the model in \d+ tensors:\n  head\.stages\.2\.") as caught:
        begin(Run(experiment=wider, data=str(crowd), start_from=source), tmp_path / "run", device="cpu")
    assert "only in the model" in str(caught.value)

    def rename(raw: dict[str, Any]) -> None:
        raw["categories"][0]["name"] = "human"

    data = copy(crowd, tmp_path / "data", rename) / "annotations" / "instances_train.json"
    with pytest.raises(InputError, match="knows the classes person, dog, sports ball, the data has human, dog,"):
        begin(Run(experiment=experiment, data=str(data), start_from=source), tmp_path / "run", device="cpu")
    with pytest.raises(InputError, match=r"no\.safetensors does not exist"):
        begin(
            Run(experiment=experiment, data=str(crowd), start_from=str(tmp_path / "no.safetensors")),
            tmp_path / "run",
            device="cpu",
        )
    assert not (tmp_path / "run").exists(), "nothing was begun"


def test_data_without_boxes_are_refused(crowd: Path, tmp_path: Path) -> None:
    data = copy(crowd, tmp_path / "empty", lambda raw: raw["annotations"].clear())
    with pytest.raises(
        InputError,
        match=r"empty.* has no boxes to learn from \(0 boxes in ",
    ):
        begin(Run(experiment=tiny_experiment(), data=str(data)), tmp_path / "run", device="cpu")


def test_a_folder_that_cannot_be_written_is_said(crowd: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"folder .*file/run cannot be written: Not a directory; name another"):
        begin(Run(experiment=tiny_experiment(), data=str(crowd)), tmp_path / "file" / "run", device="cpu")


def test_a_device_that_is_not_there_is_said(crowd: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no device 'tpu' here"):
        begin(Run(experiment=tiny_experiment(), data=str(crowd)), tmp_path / "run", device="tpu")


@pytest.mark.usefixtures("no_report")
def test_unreadable_images_are_said_once(crowd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Training replaces them by others in both epochs. In scoring they count as images without detections."""
    data = copy(crowd, tmp_path / "data")
    for split, names in (("train", (3, 5)), ("val", (2,))):
        for name in names:
            (data / split / f"{name:06d}.jpg").write_bytes(b"no image")
    assert begin(Run(experiment=tiny_experiment(), data=str(data)), tmp_path / "run", device="cpu").finished
    out = capsys.readouterr().out
    assert out.count("2 images cannot be read, and others took their places:\n") == 1
    assert out.count("1 image to score on cannot be read and count as empty:\n") == 1
    for path in ("train/000003.jpg", "train/000005.jpg", "val/000002.jpg"):
        assert out.count(f"\n  {data / path} cannot be read as an image (") == 1


@pytest.mark.usefixtures("no_report")
def test_without_a_terminal_there_are_plain_lines(
    crowd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = prepare(tmp_path / "run", crowd, log_every=3)
    assert resume(folder, device="cpu").finished
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("step ")] == ["1/8", "3/8", "6/8", "8/8"]
    assert "\x1b" not in out
    assert "\r" not in out
