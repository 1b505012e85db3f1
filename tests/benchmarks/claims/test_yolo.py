"""The adapter of YOLO26 writes its layout and reads its detections; a script stands in for the library's."""

import json
import sys
from pathlib import Path

import pytest
from benchmarks.claims.datasets import DrawnCrowds
from benchmarks.claims.run import Places, read_lines, run_line
from benchmarks.claims.settings import Budget, Line

from benchmarks.claims import yolo
from uncrowd.data.formats.open import open_dataset
from uncrowd.errors import InputError

LINE = Line(
    dataset=DrawnCrowds(overlap=0.1, size=(64, 96), objects=(2, 4), train=8, val=2, test=2),
    detector=yolo.Yolo(learning_rate=2e-3),
    budget=Budget(name="tiny", steps=4, batch=4, evaluations=2),
    seed=1,
)

# Finds all objects by the settings alone with the head without NMS, and one of each image with the other.
STAND_IN = """
import json, sys
from pathlib import Path
verb, file = sys.argv[1], Path(sys.argv[2])
settings = json.loads(file.read_text())
if verb == "train":
    data = json.loads(Path(settings["data"]).read_text())
    assert data["names"] == {"0": "person"} and settings["side"] == 96, settings
    every = settings["evaluate_every"]
    for epoch in range(every, settings["epochs"] + 1, every):
        (file.parent / f"{epoch}.pt").touch()
        with (file.parent / "seconds.txt").open("a") as stream:
            stream.write(f"{epoch} 99\\n{epoch} 1.5\\n")  # an epoch that was stopped and repeated
else:
    assert Path(settings["weights"]).is_file()
    found = []
    for image in settings["images"]:
        split = Path(image["file"]).parent
        truth = json.loads((split.parent / "annotations" / f"instances_{split.name}.json").read_text())
        boxes = [each["bbox"] for each in truth["annotations"] if each["image_id"] == image["id"]]
        for box in boxes if settings["iou"] is None else boxes[:1]:
            category = settings["category_ids"][0]
            found.append({"image_id": image["id"], "category_id": category, "bbox": box, "score": 0.5})
    Path(settings["out"]).write_text(json.dumps(found))
"""


def nothing(text: str) -> None:
    """Says nothing."""


@pytest.mark.skipif(sys.platform == "win32", reason="its environments have no bin")
def test_a_line_is_trained_and_read_through_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setenv(yolo.PLACE, str(tmp_path / "environment"))
    monkeypatch.setattr(yolo, "SCRIPT", script)
    places = Places(work=tmp_path / "work", results=tmp_path)
    assert run_line(LINE, places, device="cpu", say=nothing)
    record = read_lines(places.lines)[LINE.name]
    assert record["name"] == "drawn-0.1_yolo26n-1_tiny_1"
    assert (record["learning_rate"], record["seconds"]) == (2e-3, 3.0)
    assert [(each["images"], each["AP50"]) for each in record["evaluations"]] == [(8, 1), (16, 1)]
    assert (record["output"], list(record["other_outputs"])) == ("one2one", ["nms-0.4"])
    assert record["test"]["coco"]["AP50"] == 1
    assert record["other_outputs"]["nms-0.4"]["test"]["coco"]["AP50"] < 1


def test_boxes_are_written_as_centre_and_size_in_shares_of_the_image(tmp_path: Path) -> None:
    splits = open_dataset(LINE.dataset.write(tmp_path))
    assert splits.train is not None
    assert splits.val is not None
    yolo.write_layout(splits.train, splits.val, tmp_path / "layout")
    content = json.loads((tmp_path / "layout" / "data.yaml").read_text())
    assert (content["names"], content["train"]) == ({"0": "person"}, "images/train")
    for number, sample in enumerate(splits.train):
        image = tmp_path / "layout" / "images" / "train" / f"{number:06d}.jpg"
        assert image.read_bytes() == sample.path.read_bytes()
        rows = (tmp_path / "layout" / "labels" / "train" / f"{number:06d}.txt").read_text().splitlines()
        for row, (x1, y1, x2, y2) in zip(rows, sample.boxes, strict=True):
            label, *box = map(float, row.split())
            assert label == 0
            assert box == pytest.approx([(x1 + x2) / 192, (y1 + y2) / 128, (x2 - x1) / 96, (y2 - y1) / 64], abs=1e-5)


def test_without_the_environment_the_command_that_makes_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(yolo.PLACE, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"nowhere.* make it with `python -m benchmarks\.claims\.yolo_env`"):
        run_line(LINE, Places(work=tmp_path, results=tmp_path), device="cpu", say=nothing)
