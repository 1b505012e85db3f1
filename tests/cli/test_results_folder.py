"""Where `uncrowd predict` writes: it replaces no file of the user, and leaves whole files whatever ends it."""

import json
import signal
from pathlib import Path

import pytest
from PIL import Image

from uncrowd.cli import _terminate
from uncrowd.data.results.appended import appended
from uncrowd.errors import NonFiniteError


def test_two_images_of_one_name_do_not_overwrite_each_other(predict, tmp_path):
    for name in ("a/1.png", "b/1.png", "b/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 48), "grey").save(tmp_path / name)
    said, records = predict(tmp_path / "a", tmp_path / "b")
    assert said.status == 0
    assert [record["annotated"] for record in records] == ["1.jpg", "1-2.jpg", "1-3.jpg"]
    assert sorted(file.name for file in (tmp_path / "out").glob("*.jpg")) == ["1-2.jpg", "1-3.jpg", "1.jpg"]


def test_folders_in_a_folder_stay_apart(predict, tmp_path):
    for name in ("in/1.png", "in/night/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 48), "grey").save(tmp_path / name)
    _, records = predict(tmp_path / "in")
    assert [record["annotated"] for record in records] == ["1.jpg", "night/1.jpg"]


def test_earlier_output_is_not_taken_for_input(predict, tmp_path):
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "1.png")
    again = predict(tmp_path)[1], predict(tmp_path, flags=["--overwrite"])[1]
    assert again[0] == again[1]  # the output folder lies in the input folder


def test_results_are_not_replaced_unless_told(uncrowd, refused, weights, shapes, tmp_path, monkeypatch):
    image = shapes / "images/val1.png"
    assert uncrowd("predict", weights, image, "--out", tmp_path / "out").status == 0
    sentence = refused("predict", weights, image, "--out", tmp_path / "out")
    assert f"{tmp_path / 'out/detections.json'} exists already; name another folder with --out, " in sentence
    for name in ("detections.json", "counts.csv"):
        (tmp_path / "out" / name).unlink()
    assert "val1.jpg exists already" in refused("predict", weights, image, "--out", tmp_path / "out")
    assert uncrowd("predict", weights, image, "--out", tmp_path / "out", "--overwrite").status == 0


def test_two_calls_at_once_do_not_share_a_folder(refused, weights, shapes, tmp_path, monkeypatch):
    monkeypatch.setattr("uncrowd.runs.folder._lock", lambda file: False)  # another process has it
    said = refused("predict", weights, shapes / "images/val1.png", "--out", tmp_path / "out")
    assert f"Another process is writing into {tmp_path / 'out'}; wait until it ends, or name another folder" in said
    assert [file.name for file in (tmp_path / "out").iterdir()] == [".lock"]


def test_without_a_folder_each_call_gets_a_new_one(uncrowd, weights, shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.open(shapes / "images/val1.png").save(tmp_path / "a.png")
    for number in (1, 2):
        said = uncrowd("predict", weights, tmp_path)
        assert f"in 1 image; written to runs/predict/{number}" in said.out, "earlier results are no input"
        assert (tmp_path / f"runs/predict/{number}/a.jpg").is_file()


def test_input_images_are_not_overwritten(refused, weights, tmp_path):
    Image.new("RGB", (64, 48), "grey").save(tmp_path / "1.jpg")
    before = (tmp_path / "1.jpg").read_bytes()
    assert "would be overwritten" in refused("predict", weights, tmp_path, "--out", tmp_path)
    assert (tmp_path / "1.jpg").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_refused(refused, weights, shapes, tmp_path):
    (tmp_path / "out").write_text("a file where the folder should be")
    sentence = refused("predict", weights, shapes / "images", "--out", tmp_path / "out")
    assert f"{tmp_path / 'out'} is a file; name a folder with --out." in sentence


def test_an_error_at_the_first_image_keeps_the_earlier_json(uncrowd, weights, shapes, tmp_path, monkeypatch):
    def damaged(*_):
        raise NonFiniteError("its weights are damaged")

    (tmp_path / "detections.json").write_text("[1]")
    with monkeypatch.context() as patch:
        patch.setattr("uncrowd.inference.predictor.Predictor.predict", damaged)
        assert uncrowd("predict", weights, shapes / "images", "--out", tmp_path, "--overwrite").status == 1
    assert (tmp_path / "detections.json").read_text() == "[1]"
    (tmp_path / "no.png").write_text("no image")
    assert uncrowd("predict", weights, tmp_path / "no.png", "--out", tmp_path, "--overwrite").status == 2
    assert json.loads((tmp_path / "detections.json").read_text()) == []


def test_a_full_disk_leaves_complete_json(uncrowd, weights, shapes, tmp_path, monkeypatch):
    def full(self, target, **options):
        if target.name == "val1.jpg":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    said = uncrowd("predict", weights, shapes / "images", "--out", tmp_path)
    assert said.status == 2
    assert said.err.count("\n") == 1
    assert "No space left on device" in said.err
    assert len(json.loads((tmp_path / "detections.json").read_text())) == 6  # those before it


def test_sigterm_leaves_whole_json(uncrowd, weights, shapes, tmp_path, monkeypatch):
    handler = signal.signal(signal.SIGTERM, _terminate)  # as the command does when it begins
    monkeypatch.setattr("uncrowd.cli.detected_files._draw", lambda image, found, target: stop_at(target, "val3.jpg"))
    said = uncrowd("predict", weights, shapes / "images", "--out", tmp_path, "--device", "cpu")
    signal.signal(signal.SIGTERM, handler)
    assert (said.status, said.err) == (143, "uncrowd: terminated\n")
    records = json.loads((tmp_path / "detections.json").read_text())
    assert [Path(record["image"]).name for record in records][-1] == "val2.png"


def stop_at(target: Path, name: str) -> None:
    if target.name == name:
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("complete", [0, 3])
def test_a_record_that_is_cut_off_is_left_out(tmp_path, complete):
    """The system writes only a part of it, as on a full disk."""
    path = tmp_path / "found.json"
    resource = pytest.importorskip("resource", reason="Windows limits no sizes of files")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def write_until_it_is_full():
        with appended(path, "[\n", ",\n", lambda some: "\n]\n" if some else "[]\n") as write:
            for number in range(complete):
                write(f'{{"image": {number}}}')
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
            write("x" * 200)

    with pytest.raises(OSError, match="File too large"):
        write_until_it_is_full()
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert json.loads(path.read_text()) == [{"image": number} for number in range(complete)]
