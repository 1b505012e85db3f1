"""`uncrowd eval` scores runs, weights and files of detections against ground truth in a folder or a file."""

import json
from pathlib import Path

import pytest

from tests.data.coco_files import content, image, write
from uncrowd.data.results.coco import write_coco_results
from uncrowd.inference.load import load
from uncrowd.inference.tiles import TilesConfig
from uncrowd.inference.tta import TTAConfig, View
from uncrowd.structures import Detections, ImageId
from uncrowd.thresholds import ScoreThresholds
from uncrowd.weights.file import load_weights, save_weights

COCO_EVAL = Path(__file__).parents[1] / "fixtures" / "coco_eval"


def scores(uncrowd, *argv) -> dict:
    said = uncrowd("eval", *argv, "--json")
    assert said.status == 0, said.err
    return json.loads(said.out)  # fails where there is more than one object


def test_a_run_its_weights_and_its_detections_score_the_same(uncrowd, shapes, run, tmp_path):
    counted = ("--data", shapes, "--threshold", 0.1)  # whatever the best one is
    flags = (*counted, "--workers", 0, "--batch-size", 2, "--device", "cpu")
    of_run = scores(uncrowd, run, *flags, "--out", tmp_path / "run.json")
    assert of_run == scores(uncrowd, run / "weights.safetensors", *flags, "--out", tmp_path / "weights.json")
    assert of_run == scores(uncrowd, run / "detections.json", *counted)
    assert set(of_run["per_class"]) == {"dark", "bright"}

    found = json.loads((tmp_path / "run.json").read_text())
    assert len(found) > 0
    assert {record["category_id"] for record in found} <= {3, 17}
    for file in (tmp_path / "weights.json", run / "detections.json"):  # the latter as training scored its last epoch
        assert in_order(json.loads(file.read_text())) == in_order(found)


def test_tta_detects_what_the_predictor_detects(uncrowd, refused, shapes, run, tmp_path, monkeypatch):
    small = TTAConfig(views=(View(short_side=32, max_size=64),))
    monkeypatch.setattr("uncrowd.cli.eval.TTAConfig", lambda: small)  # its sizes are for larger images
    out = tmp_path / "augmented.json"
    scores(uncrowd, run, "--data", shapes, "--device", "cpu", "--tta", "--out", out)
    predictor = load(run, "cpu", small)
    expected: dict[ImageId, Detections] = {n: predictor.predict(shapes / f"images/val{n}.png") for n in (1, 2, 3)}
    write_coco_results(tmp_path / "expected.json", expected)
    assert in_order(json.loads(out.read_text())) == in_order(json.loads((tmp_path / "expected.json").read_text()))
    assert "holds detections; leave --tta out" in refused("eval", out, "--data", shapes, "--tta")
    assert "give one of them" in refused("eval", run, "--data", shapes, "--tta", "--tta-as-released")
    monkeypatch.setattr("uncrowd.cli.eval.RELEASED_TTA", small)
    scores(uncrowd, run, "--data", shapes, "--device", "cpu", "--tta-as-released", "--out", tmp_path / "released.json")
    assert (tmp_path / "released.json").read_text() == out.read_text()


def test_tiles_detect_what_the_predictor_detects(uncrowd, refused, shapes, run, tmp_path):
    out = tmp_path / "tiled.json"
    scores(uncrowd, run, "--data", shapes, "--device", "cpu", "--tiles", 32, "--overlap", 8, "--out", out)
    predictor = load(run, "cpu", tiles=TilesConfig(side=32, overlap=8))
    expected: dict[ImageId, Detections] = {n: predictor.predict(shapes / f"images/val{n}.png") for n in (1, 2, 3)}
    write_coco_results(tmp_path / "expected.json", expected)
    assert in_order(json.loads(out.read_text())) == in_order(json.loads((tmp_path / "expected.json").read_text()))
    assert "holds detections; leave --tiles out" in refused("eval", out, "--data", shapes, "--tiles", 32)
    assert "holds detections; leave --proposals out" in refused("eval", out, "--data", shapes, "--proposals", 9)


def test_another_short_side_detects_what_the_predictor_detects(uncrowd, refused, shapes, run, tmp_path):
    out = tmp_path / "larger.json"
    flags = ("--device", "cpu", "--batch-size", 1)
    scores(uncrowd, run, "--data", shapes, *flags, "--short-side", 96, "--out", out)
    predictor = load(run, "cpu", short_side=96)
    expected: dict[ImageId, Detections] = {n: predictor.predict(shapes / f"images/val{n}.png") for n in (1, 2, 3)}
    write_coco_results(tmp_path / "expected.json", expected)
    assert in_order(json.loads(out.read_text())) == in_order(json.loads((tmp_path / "expected.json").read_text()))
    assert "holds detections; leave --short-side out" in refused("eval", out, "--data", shapes, "--short-side", 96)
    assert "short_side is 0; give 1" in refused("eval", run, "--data", shapes, "--short-side", 0)


def test_the_ground_truth_as_detections_scores_100(uncrowd, shapes, tmp_path):
    said = uncrowd("eval", results(tmp_path / "truth.json", shapes / "instances_val.json"), "--data", shapes)
    assert (said.status, said.err) == (0, "")
    assert f"on the 3 images of {shapes / 'instances_val.json'}, COCO protocol:" in said.out
    scored, counts = said.out.split("counts of detections with a score of 0.3 or more:")
    assert scored.split()[-4:] == ["dark", "100.0", "bright", "100.0"]
    assert counts.splitlines()[-1].split() == ["bright", "3", "3", "0.00", "0.00", "+0.00", "0.0", "%"]


@pytest.mark.parametrize("how", [int, str, bool])
def test_scores_are_those_of_pycocotools_however_a_crowd_is_marked(uncrowd, tmp_path, how):
    truth = json.loads((COCO_EVAL / "gt.json").read_text())
    for record in truth["annotations"]:
        record["iscrowd"] = how(record["iscrowd"])
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    found = scores(uncrowd, COCO_EVAL / "detections.json", "--data", tmp_path / "gt.json")
    assert found["AP"] == pytest.approx(0.22905896214240257, abs=1e-12)  # with crowds taken for objects 0.2289


def test_a_results_file_needs_the_annotation_file_and_no_images(uncrowd, shapes, tmp_path):
    alone = tmp_path / "instances_val2017.json"
    alone.write_text((shapes / "instances_val.json").read_text())
    said = scores(uncrowd, results(tmp_path / "truth.json", alone), "--data", alone)
    assert said["AP"] == pytest.approx(1)


def test_only_the_split_that_is_scored_is_read(uncrowd, shapes, tmp_path):
    for name in ("instances_train.json", "instances_val.json"):
        (tmp_path / name).write_text((shapes / name).read_text())
    (tmp_path / "instances_train.json").write_text('{"images": [')
    truth = results(tmp_path / "truth.json", shapes / "instances_val.json")
    assert scores(uncrowd, truth, "--data", tmp_path)["AP"] == pytest.approx(1)


def test_without_a_validation_split_it_says_that_training_images_are_scored(uncrowd, shapes, tmp_path):
    (tmp_path / "data").mkdir()
    file = tmp_path / "data/instances_train.json"
    file.write_text((shapes / "instances_train.json").read_text())
    said = uncrowd("eval", results(tmp_path / "truth.json", file), "--data", tmp_path / "data")
    assert said.status == 0
    assert "has no validation split, so its training split is used" in said.err


def test_the_split_can_be_chosen(uncrowd, refused, shapes, tmp_path):
    truth = results(tmp_path / "truth.json", shapes / "instances_train.json")
    assert scores(uncrowd, truth, "--data", shapes, "--split", "train")["AP"] == pytest.approx(1)
    assert "has no test split; it has train, val" in refused("eval", truth, "--data", shapes, "--split", "test")
    one = shapes / "instances_train.json"
    assert "leave --split out" in refused("eval", truth, "--data", one, "--split", "val")


def test_counts_are_scored_at_the_threshold_of_the_weights_or_the_given_one(uncrowd, refused, shapes, run, tmp_path):
    half = results(tmp_path / "half.json", shapes / "instances_val.json", dark=0.4, bright=0.2)
    counting = scores(uncrowd, half, "--data", shapes)["counting"]
    assert counting["threshold"] == 0.3
    assert counting["overall"] == {
        "objects": 6, "counted": 3, "mae": 1, "rmse": 1, "bias": -1, "total_error": 0.5,
    }  # fmt: skip
    counting = scores(uncrowd, half, "--data", shapes, "--threshold", "bright=0.1")["counting"]
    assert counting["threshold"] == {"dark": 0.3, "bright": 0.1}
    assert [counting["per_class"][name]["total_error"] for name in ("dark", "bright")] == [0, 0]
    assert scores(uncrowd, half, "--data", shapes, "--threshold", 0.5)["counting"]["overall"]["counted"] == 0
    assert "'cat' is no class of this detector; its classes are dark, bright" in refused(
        "eval", half, "--data", shapes, "--threshold", "cat=0.5"
    )

    save = load_weights(run / "weights.safetensors")
    best = ScoreThresholds(f1={"dark": 0.5, "bright": 0.5}, count={"dark": 0.01, "bright": 0.02})
    save_weights(tmp_path / "chosen.safetensors", *save[:3], best)
    flags = ("--data", shapes, "--workers", 0, "--device", "cpu")
    assert scores(uncrowd, tmp_path / "chosen.safetensors", *flags)["counting"]["threshold"] == best.count


def test_max_dets_are_the_limits_of_the_recalls(uncrowd, shapes, tmp_path):
    truth = results(tmp_path / "truth.json", shapes / "instances_val.json")
    said = scores(uncrowd, truth, "--data", shapes, "--max-dets", 1, 5, 300)
    assert {"AR@1", "AR@5", "AR@300"} <= said.keys()


def test_ground_truth_without_boxes_has_no_scores_but_is_json(uncrowd, tmp_path):
    file = write(tmp_path / "labels.json", content(annotations=[]))
    (tmp_path / "found.json").write_text("[]")
    said = scores(uncrowd, tmp_path / "found.json", "--data", file)
    assert said["AP"] is None
    assert said["per_class"] == {"cat": None, "dog": None}


def test_an_image_that_cannot_be_read_is_reported_and_has_no_detections(uncrowd, shapes, run, tmp_path):
    file = tmp_path / "labels.json"
    truth = json.loads((shapes / "instances_val.json").read_text())
    write(file, truth)
    (tmp_path / "val2.png").write_bytes((tmp_path / "val2.png").read_bytes()[:300])
    said = uncrowd("eval", run, "--data", file, "--workers", 0, "--json")
    assert said.status == 0
    heading, reason = said.err.splitlines()
    assert heading == "1 image cannot be read and count as without detections:"
    assert reason.startswith(f"  {tmp_path / 'val2.png'} cannot be read as an image (")
    json.loads(said.out)


def test_images_of_which_none_can_be_read_are_refused(uncrowd, shapes, run, tmp_path):
    data = json.loads((shapes / "instances_val.json").read_text())
    write(tmp_path / "instances_val.json", data)
    for record in data["images"]:
        (tmp_path / record["file_name"]).write_text("<html>")
    said = uncrowd("eval", run, "--data", tmp_path, "--workers", 0, "--device", "cpu")
    assert (said.status, said.out) == (2, "")
    assert "instances_val.json has no image that can be used (the first of 3: " in said.err


def test_detections_in_another_convention_are_told(uncrowd, refused, shapes, tmp_path):
    def as_file(boxes):
        file = tmp_path / "boxes.json"
        file.write_text(json.dumps([{"image_id": 1, "category_id": 3, "bbox": box, "score": 0.5} for box in boxes]))
        return file

    corners = [(x, 10, x + 15, 30) for x in range(20, 45)]
    fractions = as_file([[x1 / 64, y1 / 48, (x2 - x1) / 64, (y2 - y1) / 48] for x1, y1, x2, y2 in corners])
    assert "boxes.json has boxes that all lie within 0..1" in refused("eval", fractions, "--data", shapes)
    said = uncrowd("eval", as_file(corners), "--data", shapes)
    assert said.status == 0
    assert said.err.startswith(
        "warning: boxes that leave their images as [x, y, width, height] and would fit as corners"
    )


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--max-dets", 10, 5], "increasing positive numbers"),
        (["--max-dets", 0], "increasing positive numbers"),
        (["--max-dets"], "--max-dets has no value; give at least one after it, or leave it out"),
        (["--max-dets", 2**70], "up to 1000000"),
        (["--batch-size", 0], "--batch-size is 0; give 1 or more"),
        (["--threshold", "much"], "--threshold is 'much'; give a number between 0 and 1"),
        (["--threshold", "dark=0.5", "0.4"], "give one number for all classes, such as 0.4, or one for each, such as"),
        (["--threshold", "dark=5"], "--threshold dark is 5.0; scores are between 0 and 1"),
        (["--workers", -1], "--workers is -1; give 0 or more"),
        (["--out", "nowhere/found.json"], "--out names a file in a folder that exists"),
        (["--out", "found.txt"], "end its name in .json for COCO results, or in .odgt"),
        (["--out", "found.odgt"], "odgt has only one class, "),
        (["--box", "vbox"], "COCO JSON, which has no vbox"),
        (["--protocol", "crowdhuman"], "scores one class, but the dataset has 2 (dark, bright)"),
    ],
)
def test_unusable_flags_are_refused(refused, shapes, run, flags, sentence):
    assert sentence in refused("eval", run, "--data", shapes, *flags)


def test_the_ground_truth_is_not_overwritten(refused, shapes, run):
    for data in (shapes, shapes / "instances_val.json"):
        file, before = shapes / "instances_val.json", (shapes / "instances_val.json").read_bytes()
        assert "is one of the inputs and would be overwritten; name another" in refused(
            "eval", run, "--data", data, "--out", file
        )
        assert file.read_bytes() == before
    train = shapes / "instances_train.json"  # nor that of a split that is not scored
    assert "would be overwritten" in refused("eval", run / "detections.json", "--data", shapes, "--out", train)


def test_a_missing_gpu_is_refused(refused, shapes, run, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "There is no device 'cuda' here; give 'cpu'" in refused("eval", run, "--data", shapes, "--device", "cuda")


def test_weights_of_other_classes_are_refused(refused, run, tmp_path):
    sentence = refused("eval", run, "--data", write(tmp_path / "pets.json"))
    assert "knows 2 classes (dark, bright)" in sentence
    assert "has 2 classes (cat, dog)" in sentence


def test_a_path_without_ground_truth_is_refused(refused, run, tmp_path):
    assert "nowhere does not exist" in refused("eval", run, "--data", tmp_path / "nowhere")
    assert "has no annotation file in it" in refused("eval", run, "--data", tmp_path)
    (tmp_path / "val.txt").write_text("0 0.5 0.5 1 1\n")
    assert "val.txt looks like YOLO's text" in refused("eval", run, "--data", tmp_path / "val.txt")


NOT_WEIGHTS = {
    "w.safetensors": (b"", "w.safetensors is not a safetensors file"),
    "noise.safetensors": (b"\x00\xff" * 5000, "noise.safetensors is not a safetensors file"),
    "model.pth": (b"", "model.pth is neither a weights file (.safetensors, .onnx, .xml) nor detections, COCO"),
    "found.txt": (b"cat 0.9 1 2 3 4", "found.txt is neither a weights file"),
}


@pytest.mark.parametrize("name", NOT_WEIGHTS)
def test_files_that_are_neither_weights_nor_results_are_refused(refused, shapes, tmp_path, name):
    written, sentence = NOT_WEIGHTS[name]
    (tmp_path / name).write_bytes(written)
    assert sentence in refused("eval", tmp_path / name, "--data", shapes)


def test_a_missing_path_and_a_folder_without_a_run_are_refused(refused, shapes, tmp_path):
    assert "nothing.json does not exist" in refused("eval", tmp_path / "nothing.json", "--data", shapes)
    assert f"{tmp_path}" in refused("eval", tmp_path, "--data", shapes)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "val1.txt").write_text("0 0.5 0.5 0.1 0.1 0.9")
    assert "is not the folder of a run and holds labels/val1.txt; give the detections in one file" in refused(
        "eval", tmp_path, "--data", shapes
    )


GOOD = {"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}
BAD_RESULTS = {
    "score of NaN": ([GOOD, GOOD | {"score": float("nan")}], "record 1 has a score that is not finite (1 in all)"),
    "box of NaN": ([GOOD | {"bbox": [1, 2, float("nan"), 4]}], "a bbox that is not finite"),
    "negative width": ([GOOD | {"bbox": [9, 9, -3, 4]}], "negative width or height"),
    "unknown image": ([GOOD | {"image_id": 4711}], "image_id 4711"),
    "unknown class": ([GOOD | {"category_id": 1}], "the dataset's ids are 3, 17"),
    "no score": ([{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}], "it lacks score"),
    "ground truth": (content(images=[image(1)]), "is a ground-truth file"),
}


@pytest.mark.parametrize("name", BAD_RESULTS)
def test_results_that_do_not_fit_the_dataset_are_refused(refused, shapes, tmp_path, name):
    records, sentence = BAD_RESULTS[name]
    (tmp_path / "found.json").write_text(json.dumps(records))
    assert sentence in refused("eval", tmp_path / "found.json", "--data", shapes)


def test_results_cut_off_in_the_middle_are_refused(refused, shapes, run, tmp_path):
    text = (run / "detections.json").read_text()
    (tmp_path / "found.json").write_text(text[: len(text) // 2])
    assert "found.json is not a complete JSON file" in refused("eval", tmp_path / "found.json", "--data", shapes)


def results(file: Path, annotations: Path, *, dark: float = 0.9, bright: float = 0.9) -> Path:
    """Writes the ground truth as a file of detections, with a score for each class."""
    records = json.loads(annotations.read_text())["annotations"]
    keys, scored = ("image_id", "category_id", "bbox"), {3: dark}
    found = [{k: each[k] for k in keys} | {"score": scored.get(each["category_id"], bright)} for each in records]
    file.write_text(json.dumps(found))
    return file


def in_order(records: list[dict]) -> list[dict]:
    return sorted(records, key=lambda record: (record["image_id"], -record["score"], record["bbox"]))


def test_classes_are_kept_and_merged_on_both_sides(uncrowd, refused, shapes, tmp_path):
    truth = results(tmp_path / "truth.json", shapes / "instances_val.json")
    both = scores(uncrowd, truth, "--data", shapes, "--classes", "shape=dark,bright")
    assert both["per_class"] == {"shape": pytest.approx(1)}
    alone = scores(uncrowd, truth, "--data", shapes, "--classes", "bright")
    assert alone["per_class"] == {"bright": pytest.approx(1)}
    assert "has no class brigt; the nearest is bright; it has" in refused(
        "eval", truth, "--data", shapes, "--classes", "brigt"
    )
    assert "has no class bright,dark (write bright dark, without commas); it has" in refused(
        "eval", truth, "--data", shapes, "--classes", "bright,dark"
    )
    assert "has no class bright, (write bright, without commas)" in refused(
        "eval", truth, "--data", shapes, "--classes", "bright,", "dark"
    )
    (tmp_path / "config.json").write_text('{"classes": {"shape": ["dark", "bright"]}}')  # of the run they belong to
    assert scores(uncrowd, truth, "--data", shapes) == both


def test_several_datasets_are_scored_as_one(uncrowd, shapes, tmp_path):
    other = tmp_path / "other.json"
    other.write_text((shapes / "instances_train.json").read_text())
    found = []
    for name, file in (("instances_val", shapes / "instances_val.json"), ("other", other)):
        records = json.loads(results(tmp_path / "truth.json", file).read_text())
        found += [record | {"image_id": f"{name}/{record['image_id']}"} for record in records]
    (tmp_path / "truth.json").write_text(json.dumps(found))
    said = scores(uncrowd, tmp_path / "truth.json", "--data", f"{shapes / 'instances_val.json'},{other}")
    assert said["AP"] == pytest.approx(1)
