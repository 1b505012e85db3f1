"""The benchmark runs at toy size, on scenes of its own and on a dataset, and says which decoder is fastest."""

import json
import shutil
from pathlib import Path

import pytest
from benchmarks.data import PARTS, main
from PIL import Image

from uncrowd.errors import InputError

TOY = ["--images", "4", "--batch-size", "2", "--rounds", "2", "--workers", "1"]


def test_a_table_and_a_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "timings.jsonl"
    assert main([*TOY, "--append", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "4 JPEGs" in printed
    assert "as fast as Pillow" in printed
    assert "decodes fastest: " in printed
    assert all(part in printed for part in PARTS)
    (record,) = [json.loads(line) for line in file.read_text().splitlines()]
    assert {"commit", "machine", "images", "batch_size", "workers"} <= record.keys()
    assert record["data"] == "drawn"
    contestants = {"Pillow", "torchvision", "training loader", "inference loader", "training loader, 1 worker"}
    assert contestants <= record["seconds"].keys()
    assert all(len(seconds) == 2 and min(seconds) > 0 for seconds in record["seconds"].values())
    assert [part.keys() for part in record["parts"]] == [set(PARTS)] * 2


def test_a_dataset_s_jpegs_in_whole_batches(crowd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "crowd"
    shutil.copytree(crowd, copy)
    no_jpeg = copy / "train" / "000001.jpg"
    with Image.open(no_jpeg) as image:
        image.save(no_jpeg, "PNG")
    flags = ["--data", str(copy), "--images", "100", "--batch-size", "4", "--rounds", "1", "--workers", "1"]
    assert main(flags) == 0
    assert (
        "12 JPEGs" in capsys.readouterr().out
    )  # one of the 16 images is not a JPEG, and 12 of the others fill whole batches
    with pytest.raises(InputError, match="smaller --batch-size"):
        main([*flags, "--batch-size", "16"])
