"""Images are found although their names are written differently, what was done is said, and nothing is guessed."""

import json
import os
import unicodedata
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.coco_files import content, image, write
from tests.data.odgt_files import line
from tests.data.odgt_files import write as write_odgt
from tests.data.variants import IDS, WRITTEN, clean, name_of, rename
from uncrowd.data.formats.coco import read_coco, scan_coco
from uncrowd.data.formats.crowdhuman import read_odgt
from uncrowd.data.images.find import find_images
from uncrowd.data.problems import Problems
from uncrowd.errors import InputError

NOTES = {
    "with its folder": set(),
    "with backslashes": {"backslashes in file name"},
    "on Windows": {"backslashes in file name", "image in another folder"},
    "on another machine": {"image in another folder"},
    "in an upload": {"image in another folder"},
    "Label Studio on Windows": {"backslashes in file name", "image in another folder"},
    "Label Studio's local files": {"encoded file name", "image in another folder"},
    "with an address": {"encoded file name", "image in another folder"},
    "URL-encoded": {"encoded file name"},
    "encoded with backslashes": {"encoded file name"},
    "without suffix": {"file name without suffix"},
    "in capitals": {"file name in other letters"},
    "folder in capitals": {"file name in other letters"},
    "on macOS": {"file name in other letters"},
}


def noted(problems: Problems) -> dict[str, int]:
    return {finding.kind: finding.count for finding in problems.findings()}


@pytest.mark.parametrize("tool", WRITTEN)
def test_the_same_images_are_found_whatever_tool_wrote_their_names(tmp_path, tool):
    expected = read_coco(clean(tmp_path) / "annotations.json")
    rename(tmp_path, WRITTEN[tool])
    dataset, problems = scan_coco(tmp_path / "annotations.json")
    assert [dataset.path(index) for index in range(6)] == [tmp_path / "images" / name_of(id) for id in IDS]
    assert np.array_equal(dataset.boxes, expected.boxes)
    assert np.array_equal(dataset.labels, expected.labels)
    assert noted(problems) == dict.fromkeys(NOTES[tool], 6)
    assert all(finding.severity == "note" for finding in problems.findings())


def test_the_note_shows_what_a_name_was_taken_for(tmp_path):
    rename(clean(tmp_path), WRITTEN["with backslashes"])
    (note,) = scan_coco(tmp_path / "annotations.json")[1].findings("train")
    assert note.sentence().startswith(
        rf"note: train: file names with backslashes: 6 (images\{name_of(1)}: images/{name_of(1)}, "
    )
    assert note.sentence().endswith("they are read with /.")


def files(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def find(folder: Path, *names: str) -> tuple[list[str | None], dict[str, int]]:
    """The image of each name, from `folder`, or None; and what is said."""
    problems = Problems()
    found, relative = find_images(folder / "instances_train.json", names, "train", problems)
    paths = [found / name for name in relative]
    shown = [os.path.relpath(path, folder) if path.is_file() else None for path in paths]
    return shown, noted(problems)


# (files, names, the file of each name, what is said)
LOOKUPS = {
    "the longest end counts": (
        ["images/cam1/1.jpg", "images/cam2/1.jpg"],
        ["C:\\set\\cam2\\1.jpg", "C:\\set\\cam1\\1.jpg"],
        ["images/cam2/1.jpg", "images/cam1/1.jpg"],
        {"backslashes in file name": 2, "image in another folder": 2},
    ),
    "an image below an image folder": (
        ["images/cam1/1.jpg", "images/cam2/2.jpg"],
        ["1.jpg", "2.jpg"],
        ["images/cam1/1.jpg", "images/cam2/2.jpg"],
        {"image in another folder": 2},
    ),
    "no image is guessed": (
        ["images/a/1.jpg", "images/b/1.jpg", "images/2.jpg"],
        ["1.jpg", "2.jpg"],
        [None, "images/2.jpg"],
        {"ambiguous file name": 1},
    ),
    "nor one for two names": (
        ["images/1.jpg", "images/2.jpg"],
        ["a/1.jpg", "b/1.jpg", "a/2.jpg"],
        [None, None, "images/2.jpg"],
        {"ambiguous file name": 2, "image in another folder": 1},
    ),
    "nor one that another name means": (
        ["images/1.jpg", "images/2.jpg"],
        ["1.jpg", "a/1.jpg", "2.jpg"],
        ["images/1.jpg", None, "images/2.jpg"],
        {"ambiguous file name": 1},
    ),
    "nor one of another split": (
        ["images/train/1.jpg", "images/val/2.jpg"],
        ["train/1.jpg", "2.jpg"],
        ["images/train/1.jpg", None],
        {},
    ),
    "the right letters win": (
        ["images/a.jpg", "images/A.jpg"],
        ["images\\A.jpg", "images\\a.jpg"],
        ["images/A.jpg", "images/a.jpg"],
        {"backslashes in file name": 2},
    ),
    "a few names are wrong": (
        ["images/1.jpg", "images/2.jpg", "images/3.png", "images/4.jpg"],
        ["1.jpg", "images\\2.jpg", "3.jpg", "4.jpg"],
        ["images/1.jpg", "images/2.jpg", None, "images/4.jpg"],
        {"backslashes in file name": 1, "file name nearly right": 1},
    ),
    "a percent sign may mean itself": (
        ["images/100%25.jpg", "images/100%.jpg"],
        ["100%25.jpg", "100%.jpg", "images\\100%.jpg"],
        ["images/100%25.jpg", "images/100%.jpg", "images/100%.jpg"],
        {"backslashes in file name": 1},
    ),
    "a query is no name": (["images/1.jpg", "images/a.jpg"], ["a.jpg?x=1"], ["images/a.jpg"], {"encoded file name": 1}),
    "a path that leads to the dataset": (
        ["images/1.jpg"],
        ["{}/images/1.jpg", "../{name}/images/1.jpg"],
        ["images/1.jpg", "images/1.jpg"],
        {},
    ),
    "junk is no image": (
        ["images/._1.jpg", "images/__MACOSX/1.jpg", "images/2.jpg"],
        ["1.jpg", "2"],
        [None, "images/2.jpg"],
        {"file name without suffix": 1},
    ),
}


@pytest.mark.parametrize("case", LOOKUPS)
def test_lookups(tmp_path, case):
    there, names, expected, said = LOOKUPS[case]
    files(tmp_path, *there)
    names = [name.format(tmp_path, name=tmp_path.name) for name in names]
    found, notes = find(tmp_path, *names)
    assert found == expected
    assert notes == said


def test_names_lead_out_of_the_dataset_only_where_no_image_in_it_is_meant(tmp_path):
    data = tmp_path / "data"
    files(tmp_path, "elsewhere/1.jpg", "elsewhere/2.jpg", "data/images/2.jpg", "elsewhere/3.jpg")
    names = [str(tmp_path / "elsewhere/1.jpg"), str(tmp_path / "elsewhere/2.jpg"), "../elsewhere/3.jpg"]
    found, notes = find(data, *names)
    assert found == ["../elsewhere/1.jpg", "images/2.jpg", "../elsewhere/3.jpg"]
    assert notes == {"file name leads out": 2, "image in another folder": 1}


@pytest.mark.parametrize(
    ("there", "name", "mend"),
    [
        ("images/1.jpeg", "1.jpg", r"images/1\.jpeg is the most similar image, so correct the file names or rename"),
        ("images/cat.png", "cat_01.png", r"images/cat\.png is the most similar image"),
        ("images/cat.png", "x.png", r"images/cat\.png is the most similar image"),
        ("pngs/1.png", "1.png", r"put the images beside .* because pngs/1\.png is in none of these\.$"),
        ("notes.txt", "1.png", r"put the images beside the annotation file, in images/, or in a folder named as the"),
    ],
)
def test_the_sentence_names_what_is_nearly_it(tmp_path, there, name, mend):
    write(tmp_path / "annotations.json", content(images=[image(1, file_name=name), image(2, file_name=f"2{name}")]))
    for id in ("", "2"):
        (tmp_path / f"{id}{name}").unlink()
    files(tmp_path, there)
    with pytest.raises(InputError, match=rf"images that cannot be found \({name} in none of .*; {mend}") as caught:
        read_coco(tmp_path / "annotations.json")
    assert "\n" not in str(caught.value)
    assert noted(scan_coco(tmp_path / "annotations.json")[1])["images not found"] == 2


@pytest.mark.parametrize("name", [".", "..", "/", "a/..", "%2e", "\\"])
def test_a_name_that_names_no_file(tmp_path, name):
    files(tmp_path, "images/1.png")
    (tmp_path / "labels.json").write_text(json.dumps(content(images=[image(1, file_name=name)], annotations=[])))
    with pytest.raises(InputError, match="images that cannot be found"):
        read_coco(tmp_path / "labels.json")


def test_several_images_of_the_only_name_are_named(tmp_path):
    write(tmp_path / "labels.json", content(images=[image(1)], annotations=[]), image_folder=tmp_path / "images/a")
    files(tmp_path, "images/b/1.png")
    with pytest.raises(InputError, match=r"1\.png may be images/a/1\.png or images/b/1\.png, so write the folders"):
        read_coco(tmp_path / "labels.json")


def test_names_that_are_right_cost_no_listing_and_others_one(tmp_path, monkeypatch):
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(str(folder)) or scandir(folder))
    files(tmp_path, *(f"images/{n}.jpg" for n in range(50)))
    assert find(tmp_path, *(f"{n}.jpg" for n in range(50)))[1] == {}
    assert listed == [str(tmp_path)]  # folders named as the split lie here
    assert find(tmp_path, *(f"images\\{n}.jpg" for n in range(50)))[1] == {"backslashes in file name": 50}
    assert listed.count(str(tmp_path / "images")) == 1


def test_ids_of_crowdhuman_are_found_below_an_image_folder_too(tmp_path):
    file = write_odgt(tmp_path / "a.odgt", [line("a"), line("b")], image_folder=tmp_path / "Images/part1")
    assert read_odgt(file).file_names.tolist() == ["a.jpg", "b.jpg"]


letters = st.text("aBcé1_ ", min_size=1, max_size=5).map(str.strip).filter(bool)
paths = st.lists(letters, min_size=1, max_size=3).map("/".join)


@settings(max_examples=60, deadline=None)
@given(there=st.lists(paths, min_size=1, max_size=5, unique_by=lambda path: path.casefold()), data=st.data())
def test_a_name_leads_to_its_own_image_and_to_no_other(tmp_path_factory, there, data):
    folder = tmp_path_factory.mktemp("lookup")
    there = [unicodedata.normalize("NFC", f"{path}.jpg") for path in there]
    files(folder, *(f"images/{path}" for path in there))
    changes = [
        lambda name: f"/home/someone/{name}",
        lambda name: name.replace("/", "\\"),
        quote,
        str.upper,
        lambda name: unicodedata.normalize("NFD", name),
    ]
    names = []
    for name in there:
        for change in changes:
            name = change(name) if data.draw(st.booleans()) else name
        names.append(name)
    found, _ = find(folder, *names)
    bare = [Path(path.casefold()).name for path in there]
    for path, name, image_found in zip(there, names, found, strict=True):
        unclear = bare.count(Path(path.casefold()).name) > 1
        assert image_found == f"images/{path}" or (unclear and image_found is None), name
