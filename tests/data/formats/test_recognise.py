"""A format is one value in a tuple: nothing else has to know of it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.data.coco_files import write
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.coco import COCO, scan_coco
from uncrowd.data.formats.crowdhuman import CROWDHUMAN
from uncrowd.data.formats.files import by_split
from uncrowd.data.formats.format import BoxKind, Format
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.formats.recognise import FORMATS, format_of
from uncrowd.data.formats.voc import VOC
from uncrowd.data.formats.yolo import YOLO
from uncrowd.data.problems import Problems
from uncrowd.errors import InputError


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.boxes"))


def find(path: Path) -> dict[str, Path]:
    return by_split(path, files_in) if path.is_dir() else {"train": path}


def scan(
    annotations: Path, *, split: str, box: BoxKind, sizes: Mapping[str, tuple[int, int]] | None
) -> tuple[DetectionDataset, Problems]:
    return scan_coco(annotations, split=split)


BOXES = Format(
    name="a format of one's own",
    protocol="crowdhuman",
    recognises=lambda file: file.suffix == ".boxes",
    find=find,
    scan=scan,
)


def test_a_new_format_needs_nothing_but_its_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("recognise", "layout"):
        monkeypatch.setattr(f"uncrowd.data.formats.{module}.FORMATS", (BOXES, *FORMATS))
    train = write(tmp_path / "my_train.boxes")
    write(tmp_path / "my_val.boxes")
    splits = open_dataset(tmp_path)
    assert (splits.format, [dataset.split for dataset in splits.present]) == (BOXES.name, ["train", "val"])
    assert splits.describe().startswith(f"a format of one's own in {tmp_path}: ")
    assert {dataset.protocol for dataset in splits.present} == {"crowdhuman"}
    with pytest.raises(InputError, match=r"is a format of one's own, which has no vbox, only one box an object"):
        open_dataset(train, box="vbox")


@pytest.mark.parametrize(
    ("name", "text", "format"),
    [
        ("a.json", '{"images": [], "annotations": []}', COCO),
        ("a.json", '{"ID": "a", "gtboxes": []}', CROWDHUMAN),
        ("a.odgt", "", CROWDHUMAN),
        ("instances_train.json", "", COCO),
        ("instances_train.jsonl", '{"ID": "a", "gtboxes": []}', CROWDHUMAN),
        ("labels.txt", "no format at all", COCO),
        ("data.yaml", "", YOLO),
        ("ImageSets/Main/train.txt", "", VOC),
    ],
)
def test_a_file_s_content_tells_its_format(tmp_path: Path, name: str, text: str, format: Format) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "Annotations").mkdir()
    file.write_text(text)
    assert format_of(file) is format


def test_each_format_has_a_name_of_its_own() -> None:
    assert len({format.name for format in FORMATS}) == len(FORMATS)
