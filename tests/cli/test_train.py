"""`uncrowd train` trains on a folder of images, stops, resumes, and refuses unusable data and settings."""

import json
import signal
import sys
from itertools import count
from pathlib import Path

import pytest

from tests.cli.small import ONE_EPOCH, TINY, tiny
from tests.data.coco_files import annotation, content, image, write
from uncrowd.cli.train import TrainArguments
from uncrowd.data.loader import TrainLoader
from uncrowd.recipes import small_data


def test_a_run_writes_config_log_weights_detections_and_report(run):
    left = {file.name for file in run.iterdir()}
    assert {"config.json", "metrics.jsonl", "last.safetensors", "weights.safetensors", "report.html"} <= left
    assert json.loads((run / "config.json").read_text())["experiment"]["train"]["epochs"] == 2
    results = json.loads((run / "detections.json").read_text())
    assert {record["category_id"] for record in results} <= {3, 17}


def test_it_prints_the_dataset_and_its_progress(uncrowd, shapes, tmp_path):
    said = uncrowd("train", "--data", shapes, "--out", tmp_path / "run", *ONE_EPOCH)
    assert (said.status, said.err) == (0, "")
    assert "9 images, 18 boxes, 2 classes (dark, bright)" in said.out
    assert "RANDOM initialisation" in said.out
    assert "step 3/3" in said.out  # a plain line, because this is not a terminal
    assert "\r" not in said.out
    assert "\x1b" not in said.out


def test_a_dry_run_says_what_training_takes_and_writes_nothing(uncrowd, shapes, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = uncrowd("train", "--data", shapes, *TINY, "--dry-run", "--fit-memory")
    assert (said.status, said.err) == (0, "")
    assert "memory: found by trying, 2 images padded to " in said.out
    assert "training: 6 images, 2 epochs of 3 steps, 6 steps in all" in said.out
    assert "forecast: 6 steps of 2 images at " in said.out
    assert not list(tmp_path.iterdir())

    before = {file: file.stat().st_mtime_ns for file in run.rglob("*")}
    assert uncrowd("train", "--resume", run, "--dry-run", "--device", "cpu").status == 0
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*")} == before


def test_a_run_prints_its_forecast_once(uncrowd, shapes, tmp_path):
    said = uncrowd("train", "--data", shapes, "--out", tmp_path / "run", *TINY)
    assert said.out.count("forecast: 3 steps of 2 images at ") == said.out.count("forecast: ") == 1


def test_a_run_without_a_name_gets_the_next_number(uncrowd, shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/small-data-1").mkdir(parents=True)
    assert uncrowd("train", "--data", shapes, *ONE_EPOCH).status == 0
    assert (tmp_path / "runs/small-data-2/weights.safetensors").is_file()


def test_a_stopped_run_resumes_and_ends_with_the_same_weights(uncrowd, shapes, tmp_path, monkeypatch, run):
    stop_at(4, monkeypatch)
    said = uncrowd("train", "--data", shapes, "--out", tmp_path / "run", *TINY)
    assert said.status == 143
    assert f"go on with `uncrowd train --resume {tmp_path / 'run'}`" in said.out
    assert not (tmp_path / "run/weights.safetensors").exists()

    monkeypatch.undo()
    said = uncrowd("train", "--resume", tmp_path / "run", "--device", "cpu")
    assert said.status == 0
    assert "resumed at epoch 1, step " in said.out
    assert (tmp_path / "run/weights.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()


def test_it_starts_from_weights_of_the_same_model_and_classes(uncrowd, shapes, weights, tmp_path):
    pairs = zip(TINY[::2], TINY[1::2], strict=True)
    without_model = [word for pair in pairs for word in pair if not pair[0].startswith("--model.")]
    said = uncrowd("train", "--data", shapes, *without_model, "--start-from", weights, "--out", tmp_path / "same")
    assert said.status == 0
    assert f"all weights from {weights}\n" in said.out

    one_stage = tiny({"--model.stages": "1"})
    said = uncrowd("train", "--data", shapes, *one_stage, "--start-from", weights, "--out", tmp_path / "other")
    assert said.status == 2
    assert "does not fit the model" in said.err
    assert "\n  head.stages.1.attention.qkv.weight: only in the file" in said.err  # a table of what differs

    write(tmp_path / "pets/instances_train.json")
    said = uncrowd("train", "--data", tmp_path / "pets", *TINY, "--start-from", weights, "--out", tmp_path / "pets/run")
    assert said.status == 2
    assert "knows the classes dark, bright, the data has cat, dog" in said.err


def test_an_image_that_cannot_be_read_is_named_and_replaced(uncrowd, tmp_path):
    write(tmp_path / "instances_train.json", content(images=[image(id) for id in (1, 2, 3, 4)]))
    write(tmp_path / "instances_val.json", content(images=[image(5), image(6)], annotations=[annotation(1, 5)]))
    (tmp_path / "1.png").unlink()
    truncated = (tmp_path / "2.png").read_bytes()[:2000]
    (tmp_path / "2.png").write_bytes(truncated)
    said = uncrowd("train", "--data", tmp_path, "--out", tmp_path / "run", *TINY)
    assert said.status == 0
    heading = "2 images cannot be read, and others took their places:\n"
    reasons = said.out.partition(heading)[2].splitlines()[:2]
    assert reasons[0].startswith(f"  {tmp_path / '1.png'} does not exist")
    assert reasons[1].startswith(f"  {tmp_path / '2.png'} cannot be read as an image (")


def test_boxes_that_cannot_be_used_are_left_out_and_counted(uncrowd, tmp_path):
    nan = float("nan")
    boxes = [(1, 2, 30, 20), (5, 5, 0, 8), (5, 5, -3, 8), (nan, 1, 2, 3), (900, 1, 5, 5)]
    annotations = [annotation(n, 1, box) for n, box in enumerate(boxes)] + [annotation(9, 2, category_id=7)]
    write(tmp_path / "instances_train.json", content(annotations=annotations))
    said = uncrowd("train", "--data", tmp_path, "--out", tmp_path / "run", *ONE_EPOCH)
    assert said.status == 0
    assert "training leaves out: boxes without positive width and height: 1" in said.out
    assert "training leaves out: boxes with a negative width or height: 1" in said.out
    assert "training leaves out: boxes with a NaN or infinite number: 1" in said.out
    assert "training leaves out: boxes fully outside their image: 1" in said.out
    assert "held out of the training split" in said.out


BAD_DATA = {
    "unknown class": (content(annotations=[annotation(1, 1, category_id=99)]), "category_id 99"),
    "unknown image": (content(annotations=[annotation(1, 77)]), "image_id 77"),
    "one name twice": (
        content(categories=[{"id": 3, "name": "cat"}, {"id": 7, "name": "cat"}]),
        "categories that share one name",
    ),
    "no boxes": (content(annotations=[]), "has no boxes to learn from"),
    "no images": (content(images=[], annotations=[]), "an empty list of images"),
    "one image": (content(images=[image(1)], annotations=[annotation(1, 1)]), "has too few images to hold any out"),
}


@pytest.mark.parametrize("name", BAD_DATA)
def test_data_that_cannot_be_learnt_from_is_refused(uncrowd, tmp_path, name):
    data, sentence = BAD_DATA[name]
    write(tmp_path / "labels.json", data)
    said = uncrowd("train", "--data", tmp_path, "--out", tmp_path / "run", *TINY)
    assert said.status == 2
    assert said.err.count("\n") == 1
    assert sentence in said.err
    assert not (tmp_path / "run").exists()


def test_data_without_ground_truth_is_refused(uncrowd, shapes, tmp_path):
    images = json.loads((shapes / "instances_train.json").read_text())
    del images["annotations"]
    (tmp_path / "image_info_test.json").write_text(json.dumps(images))
    said = uncrowd("train", "--data", tmp_path, "--out", tmp_path / "run", *TINY)
    assert said.status == 2
    assert f"{tmp_path} has no ground truth to learn from" in said.err
    assert not (tmp_path / "run").exists()


def test_an_annotation_file_cut_off_in_the_middle_is_refused(refused, shapes, tmp_path):
    text = (shapes / "instances_train.json").read_text()
    (tmp_path / "instances_train.json").write_text(text[: len(text) // 2])
    sentence = refused("train", "--data", tmp_path, "--out", tmp_path / "run", *TINY)
    assert "instances_train.json is cut off or damaged at line 1, column" in sentence


def test_a_dataset_without_its_image_files_is_refused(refused, shapes, tmp_path):
    (tmp_path / "instances_train.json").write_text((shapes / "instances_train.json").read_text())
    sentence = refused("train", "--data", tmp_path, "--out", tmp_path / "run", *TINY)
    assert "images that cannot be found (train1.png in none of" in sentence


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--data", "nowhere"], "nowhere does not exist"),
        ([], "Name the dataset with --data"),
        (["coco-r50-10", "--data", "d"], "There is no recipe 'coco-r50-10'; the nearest is coco-r50-100; "),
        (["xyzzy", "--data", "d"], "There is no recipe 'xyzzy'; `uncrowd info` lists them"),
        (["."], ". is a file or folder, not a recipe; name the data with --data ."),
        (["--resume", "nowhere"], "nowhere holds no run: there is no config.json in it"),
    ],
)
def test_unusable_arguments_are_refused(refused, tmp_path, monkeypatch, argv, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused("train", *argv)


@pytest.mark.parametrize(
    "flags",
    [("--optim.learning-rate", 1.0), ("--train.batch-size", 4), ("--box", "vbox"), ("--new-class-head",)],
    ids=["rate", "batch", "box", "head"],
)
def test_a_resumed_run_keeps_its_settings(refused, run, flags):
    assert "--resume continues with the run's own settings; it can be given with --data, " in refused(
        "train", "--resume", run, *flags
    )
    assert "continues with the run's own" in refused("train", "small-data", "--resume", run)


def test_a_run_gets_another_epoch_in_another_folder(uncrowd, run, shapes, tmp_path):
    said = uncrowd("train", "--resume", run, "--data", shapes, "--out", tmp_path / "out", "--train.epochs", 3)
    assert (said.status, said.err) == (0, "")
    assert "the run gets 3 epochs instead of 2; its learning rate falls after epoch 48, as before" in said.out
    assert "resumed at epoch 2, step 0" in said.out
    assert json.loads((tmp_path / "out/config.json").read_text())["experiment"]["train"]["epochs"] == 3


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("--train.batch-size", 0, "batch_size is 0"),
        ("--train.epochs", -1, "epochs is -1; give 1 or more"),
        ("--resize.short-side", 0, "short_side is 0; give 1 to 65,536 pixels"),
        ("--resize.max-size", 10**12, "max_size is 1000000000000; give 1 to 65,536 pixels"),
        ("--model.stage.width", 33, "33"),
        ("--train.epochs", "many", "'many'"),
        ("--model.stage.attention", "iuo", "'iuo'"),
    ],
)
def test_invalid_settings_are_refused_as_flags(uncrowd, flag, value, sentence):
    said = uncrowd("train", "--data", "d", flag, value)
    assert (said.status, said.out) == (2, "")
    assert "Traceback" not in said.err
    assert sentence in " ".join(said.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("group", "setting", "sentence"),
    [
        ("train", {"batch_size": 0}, "batch_size is 0; give 1 or more"),
        ("train", {"epochs": 2.5}, "2.5 instead of a whole number"),
        ("train", {"epoch": 3}, "extra fields found (epoch)"),
        ("resize", {"short_side": 0}, "short_side is 0"),
    ],
)
def test_invalid_settings_are_refused_in_a_file(refused, run, tmp_path, group, setting, sentence):
    saved = json.loads((run / "config.json").read_text())
    saved["experiment"][group] |= setting
    (tmp_path / "config.json").write_text(json.dumps(saved))
    said = refused("train", "--resume", tmp_path)
    assert f"{tmp_path / 'config.json'} is not a valid Run" in said
    assert sentence in said


def test_a_folder_that_holds_a_run_is_refused(refused, shapes, run):
    before = (run / "metrics.jsonl").read_bytes()
    assert "already holds a run" in refused("train", "--data", shapes, "--out", run, *TINY)
    assert (run / "metrics.jsonl").read_bytes() == before


def test_a_file_in_place_of_the_runs_folder_is_refused(uncrowd, shapes, tmp_path):
    (tmp_path / "run").write_text("")
    said = uncrowd("train", "--data", shapes, "--out", tmp_path / "run", *TINY)
    assert said.status == 2
    assert said.err.count("\n") == 1
    assert f"{tmp_path / 'run'} cannot be" in said.err


def test_a_full_disk_keeps_the_earlier_checkpoint(uncrowd, shapes, tmp_path, monkeypatch):
    stop_at(1, monkeypatch)
    assert uncrowd("train", "--data", shapes, "--out", tmp_path / "run", *TINY).status == 143
    monkeypatch.undo()
    before = (tmp_path / "run/last.safetensors").read_bytes()

    def full(tensors, filename, metadata):
        Path(filename).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("uncrowd.weights.file.save_file", full)
    said = uncrowd("train", "--resume", tmp_path / "run", "--device", "cpu")
    assert said.status == 2
    assert said.err.count("\n") == 1
    assert "No space left on device" in said.err
    assert (tmp_path / "run/last.safetensors").read_bytes() == before
    assert not list((tmp_path / "run").glob(".*"))  # nothing half written stays


def test_small_data_is_the_default_recipe():
    assert TrainArguments().experiment == small_data()


def test_a_tracker_that_is_not_installed_is_refused(refused, run, shapes, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    sentence = "--log-to wandb needs wandb, which is not installed; pip install 'uncrowd[wandb]'."
    assert sentence in refused("train", "--data", shapes, *TINY, "--log-to", "wandb", "mlflow")
    assert sentence in refused("train", "--resume", run, "--log-to", "wandb")


def stop_at(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends the signal of a scheduler when batch number `batch` of the run is loaded."""
    epoch, loaded = TrainLoader.epoch, count(1)

    def interrupted(self, *position):
        for loaded_batch in epoch(self, *position):
            if next(loaded) == batch:
                signal.raise_signal(signal.SIGTERM)
            yield loaded_batch

    monkeypatch.setattr(TrainLoader, "epoch", interrupted)
