"""`uncrowd eval` on CrowdHuman's files, with more detections than COCO counts, and without ground truth."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.small import HEIGHT, WIDTH
from uncrowd.data.transforms import ResizeConfig
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.structures import Categories
from uncrowd.weights.file import save_weights

CROWDDET = Path(__file__).parents[1] / "fixtures" / "crowdhuman_eval"
TRUTH, FOUND = CROWDDET / "gt.odgt", CROWDDET / "detections.odgt"
KEYS = ("AP", "mMR", "Recall", "JI")


@pytest.fixture
def scores(uncrowd):
    """`scores(what, "--data", data)`: the scores that `--json` prints, in one object and nothing else."""

    def call(*argv) -> dict:
        said = uncrowd("eval", *argv, "--json")
        assert said.status == 0, said.err
        printed = json.loads(said.out)
        assert printed.pop("counting")["overall"].keys() >= {"mae", "total_error"}
        return printed

    return call


def expected() -> dict[str, float]:
    values = json.loads((CROWDDET / "expected.json").read_text())
    return {key: values[key] for key in KEYS}


def rewritten(path: Path, lines: Path, change) -> Path:
    """Writes an odgt file with each of its records changed."""
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    path.write_text("".join(json.dumps(change(record)) + "\n" for record in records))
    return path


def weights(path: Path, names: tuple[str, ...], proposals: int) -> Path:
    """Writes a detector of these classes with random weights."""
    config = SparseRCNNConfig(
        num_classes=len(names),
        proposals=proposals,
        stages=1,
        backbone=BackboneConfig(name="test_efficientnet", norm="group", frozen_stages=0),
        stage=StageConfig(width=16, heads=2, dynamic_width=4, feedforward_width=32),
    )
    categories = Categories(ids=tuple(range(1, len(names) + 1)), names=names)
    save_weights(path, SparseRCNN(config), categories, ResizeConfig(short_side=HEIGHT, max_size=2 * WIDTH))
    return path


def test_odgt_is_scored_as_crowddet_does(uncrowd, scores):
    assert scores(FOUND, "--data", TRUTH) == pytest.approx(expected(), abs=1e-9)
    assert scores(FOUND, "--data", CROWDDET, "--protocol", "crowdhuman") == pytest.approx(expected(), abs=1e-9)
    said = uncrowd("eval", FOUND, "--data", TRUTH)
    assert f"{FOUND} on the 40 images of {TRUTH}, CrowdHuman protocol:" in said.out
    assert said.out.partition("counts of")[0].split()[-8:] == [*KEYS, "66.9", "81.6", "81.5", "53.7"]


def test_image_sizes_may_come_from_the_detections(scores, refused, tmp_path):
    # CrowdHuman's own ground truth has none.
    without = rewritten(tmp_path / "val.odgt", TRUTH, lambda r: {"ID": r["ID"], "gtboxes": r["gtboxes"]})
    assert scores(FOUND, "--data", without) == pytest.approx(expected(), abs=1e-9)
    bare = rewritten(tmp_path / "bare.odgt", FOUND, lambda r: {"ID": r["ID"], "dtboxes": r["dtboxes"]})
    assert "whose size is not known" in refused("eval", bare, "--data", without)


def test_detections_score_the_same_in_either_format(scores, tmp_path):
    as_coco, as_odgt, as_text = (tmp_path / name for name in ("found.json", "found.odgt", "found.txt"))
    scores(FOUND, "--data", TRUTH, "--out", as_coco)
    assert scores(as_coco, "--data", TRUTH, "--out", as_odgt) == pytest.approx(expected(), abs=1e-9)
    as_text.write_bytes(as_odgt.read_bytes())  # the content says what it is
    assert scores(as_text, "--data", TRUTH) == pytest.approx(expected(), abs=1e-9)


def test_visible_boxes_and_cocos_protocol_give_other_scores(scores):
    visible = scores(FOUND, "--data", TRUTH, "--box", "vbox")
    assert visible.keys() == set(KEYS)
    assert visible["AP"] < expected()["AP"]
    coco = scores(FOUND, "--data", TRUTH, "--protocol", "coco", "--max-dets", 1, 10, 100, 500)
    assert {"AP50", "AR@500", "AP@500", "AP50@500"} <= coco.keys()
    assert coco["per_class"] == {"person": coco["AP"]}


def test_coco_json_of_one_class_is_scored_by_crowdhumans_protocol(scores, tmp_path):
    images = [{"id": 1, "file_name": "1.png", "width": 100, "height": 100}]
    found = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 30, 60]}
    truth = {
        "images": images,
        "annotations": [found | {"id": 1, "iscrowd": 0}],
        "categories": [{"id": 1, "name": "cell"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps([found | {"score": 0.9}]))
    data = ("--data", tmp_path / "truth.json", "--protocol", "crowdhuman")
    said = scores(tmp_path / "found.json", *data)
    assert said == pytest.approx({"AP": 0, "mMR": 0, "Recall": 1, "JI": 1}, abs=1e-5)


def test_a_detector_that_finds_more_than_100_is_scored_on_all_of_them(scores, shapes, tmp_path):
    what = weights(tmp_path / "many.safetensors", ("dark", "bright"), proposals=120)
    said = scores(what, "--data", shapes, "--workers", 0)
    assert {"AR@1", "AR@10", "AR@100", "AR@120", "AP@120"} <= said.keys()
    few = scores(what, "--data", shapes, "--workers", 0, "--max-dets", 1, 10, 100)
    assert few == {key: value for key, value in said.items() if not key.endswith("@120")}


def test_a_file_with_more_than_100_detections_in_an_image_is_scored_on_all_of_them(scores, shapes, tmp_path):
    box = {"image_id": 1, "category_id": 3, "bbox": [1, 1, 5, 5]}
    (tmp_path / "many.json").write_text(json.dumps([box | {"score": n / 200} for n in range(150)]))
    assert {"AR@100", "AR@150", "AP@150"} <= scores(tmp_path / "many.json", "--data", shapes).keys()


def test_a_detector_of_persons_is_scored_on_crowdhumans_files(scores, refused, run, tmp_path):
    Image.new("RGB", (WIDTH, HEIGHT), "grey").save(tmp_path / "a.png")
    boxes = [{"tag": "person", "fbox": [5, 5, 20, 40], "vbox": [5, 5, 20, 30], "hbox": [9, 5, 9, 9]}]
    (tmp_path / "val.odgt").write_text(json.dumps({"ID": "a", "gtboxes": boxes}) + "\n")
    what = weights(tmp_path / "w.safetensors", ("person",), proposals=10)
    data = ("--data", tmp_path / "val.odgt", "--workers", 0)
    of_weights = scores(what, *data, "--out", tmp_path / "found.odgt")
    assert of_weights.keys() == set(KEYS)
    assert of_weights == scores(tmp_path / "found.odgt", *data)
    written = json.loads((tmp_path / "found.odgt").read_text())
    assert (written["ID"], written["height"], written["width"]) == ("a", HEIGHT, WIDTH)
    assert len(written["dtboxes"]) > 0
    sentence = refused("eval", run, *data)
    assert "knows 2 classes (dark, bright)" in sentence
    assert "has 1 class (person)" in sentence


@pytest.fixture
def without_truth(shapes: Path, tmp_path: Path) -> Path:
    """A list of images without ground truth, as COCO publishes its test images."""
    content = json.loads((shapes / "instances_val.json").read_text())
    del content["annotations"]
    file = tmp_path / "image_info_test-dev2017.json"
    file.write_text(json.dumps(content))
    for image in content["images"]:
        (tmp_path / image["file_name"]).write_bytes((shapes / "images" / image["file_name"]).read_bytes())
    return file


def test_without_ground_truth_the_servers_file_is_written_and_nothing_scored(uncrowd, run, without_truth, tmp_path):
    out = tmp_path / "detections_test-dev2017_tiny_results.json"
    said = uncrowd("eval", run, "--data", without_truth, "--workers", 0, "--out", out)
    assert (said.status, said.err) == (0, "")
    assert f"has no ground truth, so nothing is scored; {out} is for the evaluation server" in said.out
    records = json.loads(out.read_text())
    assert {record["image_id"] for record in records} == {1, 2, 3}
    assert {record["category_id"] for record in records} <= {3, 17}
    assert records[0].keys() == {"image_id", "category_id", "bbox", "score"}
    as_json = uncrowd("eval", out, "--data", without_truth, "--out", tmp_path / "again.json", "--json")
    assert (as_json.status, json.loads(as_json.out)) == (0, {})
    assert "nothing is scored" in as_json.err


def test_without_ground_truth_a_coco_file_to_write_is_required(refused, run, without_truth, tmp_path):
    name = "detections_test-dev2017_uncrowd_results.json"
    assert f"--out {name}." in refused("eval", run, "--data", without_truth)
    assert "takes COCO results (.json)" in refused(
        "eval", run, "--data", without_truth, "--out", tmp_path / "found.odgt"
    )


def test_flags_and_files_that_do_not_fit_together_are_refused(refused, tmp_path):
    assert "--max-dets is for COCO's protocol" in refused("eval", FOUND, "--data", TRUTH, "--max-dets", 500)
    assert "is one of the inputs" in refused("eval", FOUND, "--data", TRUTH, "--out", FOUND)
    assert "not detections" in refused("eval", TRUTH, "--data", TRUTH)
    assert "holds detections, not ground truth" in refused("eval", FOUND, "--data", FOUND)
    (tmp_path / "found.odgt").write_text("{}")
    assert "line 1 has no ID" in refused("eval", tmp_path / "found.odgt", "--data", TRUTH)
