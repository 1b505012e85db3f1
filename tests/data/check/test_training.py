"""What training refuses is an error of `check`, and the other way round: both ask the same rules."""

import json

import pytest
from PIL import Image

from tests.data.check.checking import SOUND, VAL
from tests.data.coco_files import HEIGHT, WIDTH, annotation, content, image, write
from uncrowd.data.check.dataset import check, scan
from uncrowd.data.check.training import require_readable, require_training_data
from uncrowd.data.formats.layout import find_layout
from uncrowd.data.formats.open import open_dataset
from uncrowd.errors import InputError

IGNORED = [{**box, "iscrowd": 1} for box in SOUND]
SWAPPED = {"width": HEIGHT, "height": WIDTH}


def test_a_tenth_is_held_out_where_there_is_no_validation_split(tmp_path):
    file = write(tmp_path / "a.json", content(annotations=SOUND))
    data, findings = require_training_data(open_dataset(file), seed=0)
    assert (len(data.train), len(data.val), findings) == (1, 1, [])
    held_out = "1 image held out of the training split (10%, seed 0)"
    assert data.scored_on == f"{held_out}, because there is no validation split"


def test_the_own_validation_split_is_used(tmp_path):
    write(tmp_path / "instances_train.json", content(annotations=SOUND))
    write(tmp_path / "instances_val.json", VAL)
    data, findings = require_training_data(open_dataset(tmp_path), seed=0)
    assert (len(data.train), data.val.ids.tolist(), findings) == (2, [91, 92], [])


# The parts of the training and of the validation split -> the finding that refuses them, or None.
CASES = {
    "sound": ({}, {}, None),
    "no box": ({"annotations": []}, {}, "no boxes"),
    "crowds alone": ({"annotations": IGNORED}, {}, "no boxes"),
    "boxes outside alone": ({"annotations": [annotation(1, 1, (500, 5, 9, 9))]}, {}, "no boxes"),
    "boxes without area alone": ({"annotations": [annotation(1, 1, (5, 5, 0, 9))]}, {}, "no boxes"),
    "no box to score against": ({}, {"annotations": []}, None),
    "fractions": ({"annotations": [annotation(1, 1, (0.25, 0.5, 0.125, 0.25))]}, {}, "boxes as fractions"),
    "fractions to score against": (
        {},
        {"annotations": [annotation(1, 91, (0.2, 0.5, 0.1, 0.2))]},
        "boxes as fractions",
    ),
    "swapped": ({"images": [image(1, **SWAPPED), image(2, **SWAPPED)]}, {}, "no readable image"),
    "swapped but for one": ({"images": [image(1, **SWAPPED), image(2)]}, {}, None),
    "images to score on swapped": ({}, {"images": [image(91, **SWAPPED), image(92, **SWAPPED)]}, "no readable image"),
    "another class": ({}, {"categories": [{"id": 3, "name": "cow"}, {"id": 7, "name": "dog"}]}, "classes differ"),
    "a category id that nobody lists": ({"annotations": [annotation(1, 1, category_id=5)]}, {}, "unknown class id"),
    "a file cut off": (None, {}, "annotation file"),
}


@pytest.mark.parametrize("name", CASES)
def test_training_refuses_exactly_what_check_calls_an_error(tmp_path, name):
    train, val, kind = CASES[name]
    write(tmp_path / "instances_train.json", content(annotations=SOUND) | (train or {}))
    write(tmp_path / "instances_val.json", VAL | val)
    if train is None:
        (tmp_path / "instances_train.json").write_text('{"images": [')
    checked = check(scan(find_layout(tmp_path)))
    errors = [finding.kind for finding in checked.findings if finding.severity == "error"]
    assert errors[:1] == ([] if kind is None else [kind])
    assert (checked.training is None) == (kind is not None)
    if kind is None:
        require_training_data(open_dataset(tmp_path), seed=0)
    else:
        with pytest.raises(InputError):
            require_training_data(open_dataset(tmp_path), seed=0)


def test_layouts_that_training_refuses(tmp_path):
    alone = {"images": [image(8)], "categories": content()["categories"]}
    one = content(images=[image(1)], annotations=[annotation(1, 1)])
    for name, data, kind in (
        ("instances_val.json", VAL, "no training split"),
        ("image_info_test.json", alone, "nothing annotated"),
        ("instances_train.json", one, "too few images"),
    ):
        folder = tmp_path / kind
        write(folder / name, data)
        checked = check(scan(find_layout(folder)))
        assert [finding.kind for finding in checked.findings if finding.severity == "error"] == [kind]
        with pytest.raises(InputError, match=f"{folder} has (no|too few)"):
            require_training_data(open_dataset(folder), seed=0)


def test_the_sentences_say_why_and_the_mend(tmp_path):
    write(tmp_path / "a.json", content(images=[image(1, **SWAPPED), image(2, **SWAPPED)], annotations=SOUND))
    with pytest.raises(InputError, match=r"records with width and height swapped.*64x48.*says 48x64.*; swap them\.$"):
        require_training_data(open_dataset(tmp_path / "a.json"), seed=0)
    (tmp_path / "a.json").write_text(json.dumps(content(annotations=IGNORED)))
    with pytest.raises(
        InputError, match=r"no boxes to learn from \(1 box, all marked as crowd or to be ignored\); set iscrowd .* to 0"
    ):
        require_training_data(open_dataset(tmp_path / "a.json"), seed=0)


def test_a_dataset_of_which_no_image_can_be_read_is_not_scored_either(tmp_path):
    dataset = open_dataset(write(tmp_path / "a.json", content(annotations=SOUND))).present[0]
    Image.new("RGB", (5, 5)).save(tmp_path / "1.png")
    require_readable(dataset)
    (tmp_path / "2.png").write_text("<html>")
    with pytest.raises(InputError, match=r"a\.json has no image that can be used \(the first of 2: .*1\.png"):
        require_readable(dataset)
