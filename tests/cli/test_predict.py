"""`uncrowd predict` turns images into annotated images and one JSON file."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uncrowd.data.images.read import read_content
from uncrowd.inference.load import load
from uncrowd.inference.predictor import Predictor
from uncrowd.inference.tiles import TilesConfig
from uncrowd.inference.tta import TTAConfig, View


def test_images_come_from_files_and_folders(predict, shapes, tmp_path):
    (tmp_path / "link").symlink_to(shapes / "images")
    elsewhere = shapes / "images/../images/train2.png"
    said, records = predict(shapes / "images/train1.png", elsewhere, shapes / "images", tmp_path / "link")
    assert (said.status, said.err) == (0, "")
    assert "in 9 images; written to" in said.out  # those given twice count once
    assert [record["image"] for record in records][:2] == [
        str(shapes / "images/train1.png"),
        str(elsewhere),
    ]
    for record in records:
        assert (tmp_path / "out" / record["annotated"]).is_file()
        for found in record["detections"]:
            assert (found["class"], found["category_id"]) in {("dark", 3), ("bright", 17)}
            x1, y1, x2, y2 = found["box_xyxy"]
            assert 0 <= x1 < x2 <= 64
            assert 0 <= y1 < y2 <= 48


def test_the_folder_of_a_run_serves_as_weights(uncrowd, run, shapes, tmp_path):
    said = uncrowd("predict", run, shapes / "images/val1.png", "--out", tmp_path, "--json-only")
    assert said.status == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["counts.csv", "detections.json"]
    assert "annotated" not in json.loads((tmp_path / "detections.json").read_text())[0]


def test_the_batch_size_changes_nothing(predict, shapes):
    _, one = predict(shapes / "images", out="one", flags=["--batch-size", 1])
    _, four = predict(shapes / "images", out="four", flags=["--batch-size", 4])
    for a, b in zip(one, four, strict=True):
        assert a["image"] == b["image"]
        ours, theirs = ([found["box_xyxy"] for found in record["detections"]] for record in (a, b))
        np.testing.assert_allclose(ours, theirs, atol=0.05)


def test_images_are_resized_to_another_short_side(predict, weights, shapes):
    image = shapes / "images/val1.png"
    _, (record,) = predict(image, flags=["--short-side", 96])
    found = load(weights, "cpu", short_side=96).predict(image)
    ours = [detection["box_xyxy"] for detection in record["detections"]]
    np.testing.assert_allclose(ours, found.boxes, atol=0.05)


def test_tta_changes_the_detections(predict, weights, shapes, monkeypatch):
    small = TTAConfig(views=(View(short_side=32, max_size=64), View(short_side=64, max_size=96)))
    monkeypatch.setattr("uncrowd.cli.predict.TTAConfig", lambda: small)  # its sizes are for larger images
    image = shapes / "images/val1.png"
    _, (plain,) = predict(image, out="plain")
    _, (augmented,) = predict(image, out="augmented", flags=["--tta"])
    assert augmented["detections"] != plain["detections"]
    expected = load(weights, "cpu", small).predict(image)
    np.testing.assert_allclose([found["box_xyxy"] for found in augmented["detections"]], expected.boxes, atol=0.05)


def test_bf16_and_compiling_are_passed_on(predict, weights, shapes, monkeypatch):
    compiled = []
    monkeypatch.setattr("uncrowd.inference.predictor.compile_whole", compiled.append)
    _, (found,) = predict(shapes / "images/val1.png", flags=["--bf16", "--compile"])
    assert len(compiled) == 1
    expected = load(weights, "cpu", bf16=True).predict(shapes / "images/val1.png")
    np.testing.assert_allclose([each["score"] for each in found["detections"]], expected.scores, atol=1e-4)


PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


MODES = {
    "rgb.png": Image.fromarray(PIXELS),
    "grey.png": Image.fromarray(PIXELS[..., 0]),
    "deep.png": Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257),
    "cmyk.jpg": Image.fromarray(PIXELS).convert("CMYK"),
    "rgba.png": Image.fromarray(PIXELS).convert("RGBA"),
    "palette.gif": Image.fromarray(PIXELS).convert("P"),
    "one-bit.tiff": Image.fromarray(PIXELS).convert("1"),
}


@pytest.mark.parametrize("name", MODES)
def test_images_of_any_mode(predict, tmp_path, name):
    MODES[name].save(tmp_path / name)
    said, (record,) = predict(tmp_path / name)
    assert (said.status, said.err) == (0, "")
    assert len(record["detections"]) > 0


def test_an_image_that_cannot_be_read_is_reported_and_the_others_are_processed(predict, shapes, tmp_path):
    (tmp_path / "in").mkdir()
    for n in (1, 2):
        (tmp_path / f"in/{n}.png").write_bytes((shapes / f"images/val{n}.png").read_bytes())
    Image.fromarray(PIXELS).save(tmp_path / "in/cut.jpg")
    (tmp_path / "in/cut.jpg").write_bytes((tmp_path / "in/cut.jpg").read_bytes()[:1000])
    (tmp_path / "in/text.jpg").write_text("no image")
    said, records = predict(tmp_path / "in")
    assert said.status == 2
    assert len(records) == 2
    assert "in 2 images, 2 left out" in said.out
    first, second = said.err.splitlines()
    assert first.startswith(f"left out: {tmp_path / 'in/cut.jpg'} cannot be read as an image (image file is truncated")
    assert second.startswith(f"left out: {tmp_path / 'in/text.jpg'} cannot be read as an image")


def test_no_image_in_a_folder_is_passed_over_in_silence(predict, shapes, tmp_path):
    (tmp_path / "in/__MACOSX").mkdir(parents=True)
    image = (shapes / "images/val1.png").read_bytes()
    for name in ("plain.png", "no-suffix", "._plain.png", "__MACOSX/plain.png"):
        (tmp_path / "in" / name).write_bytes(image)
    for name in ("Thumbs.db", ".DS_Store", "README", "IMG_1.MOV"):
        (tmp_path / "in" / name).write_bytes(b"no image")
    (tmp_path / "in/phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "in/gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "in/self.jpg").symlink_to("self.jpg")
    os.mkfifo(tmp_path / "in/pipe.jpg")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/other.png").write_bytes(image)
    (tmp_path / "in/link").symlink_to(tmp_path / "linked")
    (tmp_path / "linked/loop").symlink_to(tmp_path / "in")

    said, records = predict(tmp_path / "in")
    assert said.status == 2
    assert [Path(record["image"]).name for record in records] == ["other.png", "no-suffix", "plain.png"]
    assert "in 3 images, 4 left out" in said.out
    video, gone, phone, pipe, itself = said.err.splitlines()
    assert video == f"note: videos beside images are left out; name them, such as {tmp_path / 'in/IMG_1.MOV'}."
    assert gone.startswith(f"left out: {tmp_path / 'in/gone.jpg'} does not exist")
    assert phone.startswith(f"left out: {tmp_path / 'in/phone.HEIC'} ")
    assert pipe.startswith(f"left out: {tmp_path / 'in/pipe.jpg'} is a named pipe, not an image file")
    assert itself.startswith(f"left out: {tmp_path / 'in/self.jpg'} cannot be read as an image")


def test_a_folder_of_heic_alone_is_said(predict, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    said, records = predict(tmp_path / "in")
    assert (said.status, records) == (2, [])
    assert said.err.startswith(f"left out: {tmp_path / 'in/phone.HEIC'} ")


def test_a_folder_that_cannot_be_listed_is_refused(refused, weights, shapes, monkeypatch):
    scandir = os.scandir

    def protected(folder):  # for an administrator, no permissions do that
        if Path(folder).name == "images":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr("os.scandir", protected)
    said = refused("predict", weights, shapes)
    assert f"{shapes / 'images'} cannot be listed (Permission denied); allow that, or name the other images" in said


def test_pages_that_are_left_out_and_dark_pixels_are_said(predict, shapes, tmp_path):
    page = Image.open(shapes / "images/val1.png")
    page.save(tmp_path / "scan.tif", save_all=True, append_images=[page, page])
    said, records = predict(tmp_path / "scan.tif", out="scan")
    assert (said.status, len(records)) == (2, 1)
    assert said.err == f"note: {tmp_path / 'scan.tif'}: only the first of its 3 images is read\n"
    Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 16).save(tmp_path / "camera.png")
    said, _ = predict(tmp_path / "camera.png", out="camera")
    assert said.status == 0
    assert "camera.png: its 16-bit pixels use only 0 to 4080 of 65535 and become dark; rescale them" in said.err


def test_the_limit_of_pixels_can_be_set(predict, shapes):
    said, records = predict(shapes / "images/val1.png", flags=["--max-pixels", 3000])
    assert (said.status, records) == (2, [])
    assert "val1.png: the image has more than 3,000 pixels, which is the limit; cut it into tiles, or" in said.err


def test_each_image_is_decoded_once_and_only_a_batch_is_held(uncrowd, weights, shapes, tmp_path, monkeypatch):
    read, held = [], []

    def counting(path, **options):
        read.append(path.name)
        return read_content(path, **options)

    def holding(self, images, *rest):
        held.append(len(images))
        return predict_all(self, images, *rest)

    predict_all = Predictor.predict
    monkeypatch.setattr("uncrowd.cli.detected_files.read_content", counting)
    monkeypatch.setattr(Predictor, "predict", holding)
    argv = ("predict", weights, shapes / "images", "--out", tmp_path, "--batch-size", 2)
    assert uncrowd(*argv).status == 0
    assert sorted(read) == sorted(file.name for file in (shapes / "images").iterdir())
    assert held == [2, 2, 2, 2, 1]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--threshold", 1.5], "--threshold is 1.5; scores are between 0 and 1"),
        (
            ["--threshold", "dark=0.5", "light=0.5"],
            "'light' is no class of this detector; its classes are dark, bright",
        ),
        (["--threshold", "0,5"], "--threshold is '0,5'; give a number between 0 and 1"),
        (["--only", "cat"], "'cat' is no class of this detector"),
        (["--only", ","], "--only , names no class; give one or several, such as dark"),
        (["--format", "odgt"], "--format odgt holds one class, but 2 are reported; choose one: --only dark"),
        (["--threshold", -0.1], "scores are between 0 and 1"),
        (["--threshold", "nan"], "scores are between 0 and 1"),
        (["--batch-size", 0], "--batch-size is 0; give 1 or more"),
    ],
)
def test_unusable_flags_are_refused(refused, weights, shapes, flags, sentence):
    assert sentence in refused("predict", weights, shapes / "images", *flags)


def test_paths_without_images_are_refused(refused, weights, tmp_path):
    assert "Name image files" in refused("predict", weights)
    assert "has no images in it" in refused("predict", weights, tmp_path)
    assert "nowhere.jpg does not exist" in refused("predict", weights, tmp_path / "nowhere.jpg")
    assert "is a URL; download it" in refused("predict", weights, "https://example.org/a.jpg")
    assert "is a device, not an image file" in refused("predict", weights, "/dev/zero")


def test_files_that_are_not_weights_are_refused(refused, run, shapes, tmp_path):
    image = shapes / "images/val1.png"
    assert "does not exist" in refused("predict", tmp_path / "w.safetensors", image)
    assert "not a safetensors file" in refused("predict", image, image)
    assert "last.safetensors" in refused("predict", run / "last.safetensors", image)


def test_all_formats_at_once(uncrowd, predict, refused, weights, shapes, tmp_path):
    every = ["--only", "dark", "--format", "coco", "csv", "yolo", "voc", "odgt", "crops"]
    _, records = predict(shapes / "images", flags=every)
    out = tmp_path / "out"
    numbers = [len(record["detections"]) for record in records]
    assert len(json.loads((out / "coco.json").read_text())["annotations"]) == sum(numbers)
    assert len((out / "detections.csv").read_text().splitlines()) == 1 + sum(numbers)
    for name, number in zip(("train1", "train2"), numbers, strict=False):
        assert len((out / f"yolo/labels/{name}.txt").read_text().splitlines()) == number
        assert (out / f"voc/{name}.xml").read_text().count("<object>") == number
        assert len(list((out / f"crops/{name}").iterdir())) == number
    for name in ("detections.json", "counts.csv", "coco.json", "detections.csv", "detections.odgt"):
        (out / name).unlink()
    for file in out.glob("*.jpg"):
        file.unlink()
    argv = ("predict", weights, shapes / "images", "--out", out)
    for kind, named in {"yolo": "yolo/classes.txt", "voc": "voc/train1.xml", "crops": "crops/train1"}.items():
        assert f"{out / named} exists already; name another folder" in refused(*argv, "--format", kind)


def test_tiles_are_merged_as_the_predictor_does(predict, refused, weights, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    said, (found,) = predict(tmp_path / "a.png", flags=["--tiles", 64])  # the overlap is a fifth of it
    assert said.status == 0
    assert (tmp_path / "out" / found["annotated"]).is_file()
    expected = load(weights, "cpu", tiles=TilesConfig(side=64, overlap=12)).predict(pixels)
    assert len(expected) > 0
    np.testing.assert_allclose([each["box_xyxy"] for each in found["detections"]], expected.boxes, atol=0.05)
    for flags, sentence in {
        ("--overlap", 12): "--overlap is that of tiles; give --tiles too, or leave --overlap out",
        ("--tiles", 2): "--tiles is 2; give 32 or more",
        ("--tiles", 64, "--overlap", 33): "--overlap is 33; give 1 to 32, half of --tiles",
    }.items():
        assert sentence in refused("predict", weights, tmp_path / "a.png", *flags)


def test_a_tiled_tiff_is_read_by_rows_unless_it_is_drawn(predict, tmp_path, monkeypatch):
    tifffile = pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    pixels = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, tile=(32, 32), photometric="rgb", compression="zlib")
    _, drawn = predict(path, out="drawn", flags=["--tiles", 64])
    monkeypatch.setattr("uncrowd.cli.detected_files.read_content", None)
    _, only_json = predict(path, out="json", flags=["--tiles", 64, "--json-only"])
    assert only_json[0]["detections"] == drawn[0]["detections"]
    content = bytearray(path.read_bytes())
    offset = tifffile.TiffFile(path).pages.first.dataoffsets[-1]
    content[offset : offset + 40] = bytes(40)
    path.write_bytes(content)
    said, records = predict(path, out="damaged", flags=["--tiles", 64, "--json-only"])
    assert (said.status, records) == (2, [])
    assert "left out:" in said.err
    assert "a.tif cannot be read as an image" in said.err
