"""Image files that contradict their records, or cannot be read, are named with the reason."""

import os
import struct
import zlib

import numpy as np
from PIL import Image

from tests.data.check.checking import VAL, check_data, examples, kinds
from tests.data.coco_files import HEIGHT, WIDTH, annotation, content, draw, image, write


def test_images_that_are_missing_cut_off_of_another_size_or_twice_there(tmp_path):
    images = [image(id) for id in range(1, 8)] + [image(8, file_name="2.png")]
    write(tmp_path / "instances_val.json", VAL)
    write(tmp_path / "instances_train.json", content(images, [annotation(id, id) for id in range(1, 9)]))
    (tmp_path / "3.png").unlink()
    (tmp_path / "4.png").write_bytes((tmp_path / "4.png").read_bytes()[:1000])
    Image.new("RGB", (WIDTH, HEIGHT + 1)).save(tmp_path / "5.png")
    (tmp_path / "6.png").write_bytes((tmp_path / "1.png").read_bytes())
    (tmp_path / "7.png").unlink()
    (tmp_path / "7.png").mkdir()
    findings = check_data(tmp_path)
    named = examples(findings)
    assert named["missing image"] == [str(tmp_path / "3.png")]
    cut, folder = named["unreadable image"]
    assert cut.startswith(f"{tmp_path / '4.png'} cannot be read as an image (")
    assert folder.startswith(f"{tmp_path / '7.png'} is a folder, not an image file")
    assert named["other size"] == [f"{tmp_path / '5.png'}: 64x49, record 64x48"]
    assert named["duplicate content"] == ["1.png and 6.png"]
    assert named["duplicate file"] == ["2.png, image 8"]
    assert all(finding.severity == "warning" for finding in findings if finding.kind != "crowding")


def test_each_unreadable_image_has_its_reason(tmp_path):
    images = [image(id) for id in range(1, 7)]
    file = write(tmp_path / "a.json", content(images, [annotation(id, id) for id in range(1, 7)]))
    Image.new("F", (WIDTH, HEIGHT)).save(tmp_path / "2.tif")
    (tmp_path / "2.tif").rename(tmp_path / "2.png")
    (tmp_path / "3.png").write_text("<html>")
    (tmp_path / "4.png").write_text("version https://git-lfs.github.com/spec/v1")
    (tmp_path / "5.png").write_bytes(b"")
    (tmp_path / "6.png").unlink()
    os.mkfifo(tmp_path / "6.png")
    findings = check_data(file)
    (finding,) = [finding for finding in findings if finding.kind == "unreadable image"]
    assert finding.count == 5
    assert [example.split(".png")[0] for example in finding.examples] == [str(tmp_path / str(n)) for n in range(2, 7)]
    assert "floating-point pixels" in finding.examples[0]
    first, *lines = finding.lines()
    assert first.startswith("warning: train: image files that cannot be decoded: 5; training puts another image")
    assert [line.strip() for line in lines] == list(finding.examples)


def test_an_image_above_the_limit_is_told_by_its_size(tmp_path):
    """Nothing of it is decoded: the header alone says 20,000 x 10,000 pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 10_000, 1, 0, 0, 0, 0)
    header = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    file = write(tmp_path / "a.json", content([image(1), image(2), image(3)], [annotation(1, 1), annotation(2, 2)]))
    (tmp_path / "3.png").write_bytes(header + struct.pack(">I", 0) + b"IDAT")
    (example,) = examples(check_data(file))["unreadable image"]
    assert example.startswith(
        f"{tmp_path / '3.png'}: the image has more than 178,956,970 pixels, which is the limit; cut"
    )


def test_pages_that_are_left_out_and_pixels_that_become_dark(tmp_path):
    records = [image(1, file_name="1.tif"), image(2, file_name="2.png")]
    file = write(tmp_path / "a.json", content(records, [annotation(1, 1), annotation(2, 2)]))
    grey = [Image.new("L", (WIDTH, HEIGHT), shade) for shade in (9, 99)]
    grey[0].save(tmp_path / "1.tif", save_all=True, append_images=grey[1:])
    Image.fromarray(np.full((HEIGHT, WIDTH), 4095, dtype=np.uint16)).save(tmp_path / "2.png")
    named = examples(check_data(file))
    assert named["several images in a file"] == [f"{tmp_path / '1.tif'}: 2"]
    assert named["dark 16-bit image"] == [f"{tmp_path / '2.png'}: 0 to 4095 of 65535"]


def test_exif_is_counted_both_ways(tmp_path):
    turned = {"width": HEIGHT, "height": WIDTH}
    images = [image(1), image(2), image(3, **turned), image(4)]
    file = write(tmp_path / "a.json", content(images, [annotation(id, id, category_id=3) for id in range(1, 5)]))
    draw(tmp_path / "2.png", orientation=6)
    draw(tmp_path / "3.png", orientation=6)
    draw(tmp_path / "4.png", orientation=3)
    named = examples(check_data(file))
    assert named["EXIF, record as stored"] == [f"{tmp_path / '2.png'}: 64x48, record 64x48"]
    assert named["EXIF, record as displayed"] == [f"{tmp_path / '3.png'}: 64x48, record 48x64"]
    assert named["EXIF, record fits both"] == [f"{tmp_path / '4.png'}: 64x48, record 64x48"]


def test_width_and_height_that_are_swapped_are_told_from_other_sizes(tmp_path):
    write(tmp_path / "instances_val.json", VAL)
    swapped = image(2, width=HEIGHT, height=WIDTH)
    write(tmp_path / "instances_train.json", content([image(1), swapped], [annotation(1, 1), annotation(2, 2)]))
    findings = check_data(tmp_path)
    assert kinds(findings)["swapped size"] == 1
    assert all(finding.severity != "error" for finding in findings)
