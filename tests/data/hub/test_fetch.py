import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, List, Value
from datasets.exceptions import DatasetNotFoundError
from PIL import Image as Pillow

from uncrowd import InputError, fetch_dataset
from uncrowd.cli import main
from uncrowd.data.dataset import DetectionDataset

# (width, height) of each image, and its objects: [x, y, width, height] and class.
SIZES = ((60, 40), (50, 80))
BOXES = [[[1.0, 2.0, 10.0, 20.0], [30.5, 4.0, 20.0, 30.0]], [[5.0, 6.0, 40.0, 50.0]]]
CLASSES = [[1, 0], [1]]
NAMES = ["dog", "cat"]


def jpeg(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", (width, height), (width, height, 0)).save(file, "JPEG")
    return file.getvalue()


CONTENT = [jpeg(*size) for size in SIZES]


def rows(**objects: list[Any]) -> dict[str, Any]:
    """The columns of two images. objects: for each key a list for each image; by default boxes and classes."""
    of_image = objects or {"bbox": BOXES, "category": CLASSES}
    return {
        "image": [{"bytes": content, "path": f"{number}.jpg"} for number, content in enumerate(CONTENT)],
        "objects": [{key: values[number] for key, values in of_image.items()} for number in range(2)],
    }


def features(category: Any = None, **columns: Any) -> Features:
    objects = {"bbox": List(List(Value("float32"))), "category": List(category or ClassLabel(names=NAMES))}
    return Features({"image": Image(), "objects": objects, **columns})


def on_disk(folder: Path) -> Path:
    """Two splits as `save_to_disk` writes them."""
    split = Dataset.from_dict({**rows(), "image_id": [7, 9]}, features=features(image_id=Value("int64")))
    DatasetDict({"train": split, "validation": split.select([1])}).save_to_disk(folder)
    return folder


def as_parquet(folder: Path) -> Path:
    """Names instead of numbers, in a list of objects, as parquet files, one for each split."""
    named = [
        [{"bbox": box, "label": NAMES[of_class]} for box, of_class in zip(*both, strict=True)]
        for both in zip(BOXES, CLASSES, strict=True)
    ]
    types = Features({"image": Image(), "objects": [{"bbox": List(Value("float32")), "label": Value("string")}]})
    split = Dataset.from_dict({**rows(), "objects": named}, features=types)
    (folder / "data").mkdir(parents=True)
    split.to_parquet(folder / "data" / "train-00000-of-00001.parquet")
    split.select([1]).to_parquet(folder / "data" / "validation-00000-of-00001.parquet")
    return folder


def as_images(folder: Path) -> Path:
    """Images beside metadata.jsonl, one folder for each split; the classes are numbers without names."""
    for split, numbers in (("train", (0, 1)), ("validation", (1,))):
        (folder / split).mkdir(parents=True)
        lines = []
        for number in numbers:
            (folder / split / f"{number}.jpg").write_bytes(CONTENT[number])
            objects = {"bbox": BOXES[number], "categories": CLASSES[number]}
            lines.append(json.dumps({"file_name": f"{number}.jpg", "objects": objects}))
        (folder / split / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def one_split(folder: Path, columns: dict[str, Any], types: Features | None = None) -> str:
    Dataset.from_dict(columns, features=types or features()).save_to_disk(folder)
    return str(folder)


def boxes_of(dataset: DetectionDataset | None) -> list[list[float]]:
    assert dataset is not None
    return [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in dataset.boxes.tolist()]


@pytest.mark.parametrize(
    ("write", "names"),
    [(on_disk, ("dog", "cat")), (as_parquet, ("cat", "dog")), (as_images, ("0", "1"))],
    ids=["save_to_disk", "parquet", "imagefolder"],
)
def test_a_dataset_becomes_a_coco_folder(tmp_path: Path, write: Callable[[Path], Path], names: tuple[str, ...]) -> None:
    splits = fetch_dataset(str(write(tmp_path / "given")), tmp_path / "coco")
    assert splits.train is not None
    assert splits.val is not None
    assert (len(splits.train), len(splits.val), splits.test) == (2, 1, None)
    assert boxes_of(splits.train) == [*BOXES[0], *BOXES[1]]
    assert boxes_of(splits.val) == BOXES[1]
    found = [splits.train.categories.names[label] for label in splits.train.labels]
    as_given = [number if names == ("0", "1") else NAMES[number] for number in (1, 0, 1)]
    assert found == list(map(str, as_given))
    assert splits.train.categories.names == names
    assert splits.train.sizes.tolist() == [[height, width] for width, height in SIZES]
    assert [(tmp_path / "coco" / "train" / f"{n}.jpg").read_bytes() for n in (0, 1)] == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco", "given"]


def test_ids_areas_and_crowds_stay(tmp_path: Path) -> None:
    objects = {"bbox": BOXES, "category": CLASSES, "area": [[90.0, 91.0], [92.0]], "iscrowd": [[0, 1], [0]]}
    types = features(image_id=Value("int64"))
    types["objects"] |= {"area": List(Value("float32")), "iscrowd": List(Value("bool"))}
    given = one_split(tmp_path / "given", {**rows(**objects), "image_id": [7, 9]}, types)
    train = fetch_dataset(given, tmp_path / "coco").train
    assert train is not None
    assert train.ids.tolist() == [7, 9]
    assert train.areas.tolist() == [90, 91, 92]
    assert train.ignore.tolist() == [False, True, False]


def test_images_without_names_get_numbers_and_no_name_comes_twice(tmp_path: Path) -> None:
    columns = rows()
    columns["image"] = [{"bytes": content, "path": None} for content in CONTENT]
    fetch_dataset(one_split(tmp_path / "a", columns), tmp_path / "numbered")
    columns["image"] = [{"bytes": content, "path": "x/same.jpg"} for content in CONTENT]
    fetch_dataset(one_split(tmp_path / "b", columns), tmp_path / "same")
    assert sorted(path.name for path in (tmp_path / "numbered" / "train").iterdir()) == ["000001.jpg", "000002.jpg"]
    assert sorted(path.name for path in (tmp_path / "same" / "train").iterdir()) == ["same.jpg", "same_2.jpg"]


def test_objects_without_classes_are_of_one(tmp_path: Path) -> None:
    types = Features({"image": Image(), "faces": {"bbox": List(List(Value("float32")))}})
    faces = [{"bbox": boxes} for boxes in BOXES]
    train = fetch_dataset(
        one_split(tmp_path / "given", {"image": rows()["image"], "faces": faces}, types), tmp_path / "coco"
    ).train
    assert train is not None
    assert train.categories.names == ("object",)
    assert len(train.boxes) == 3


def crowd(to: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """Forty boxes in two images of 60 x 40 and 50 x 80, in the order that `to` gives to corners."""
    rng = np.random.default_rng(0)
    boxes = []
    for width, height in SIZES:
        near = rng.uniform(0.3, 0.7, (20, 2))
        corners = np.concatenate([near, near + rng.uniform(0.1, 0.3, (20, 2))], 1)
        shares = to(corners)
        boxes.append((shares if to is centres_in_shares else shares * np.array([width, height] * 2)).tolist())
    return rows(bbox=boxes, category=[[0] * 20] * 2)


def centres_in_shares(corners: np.ndarray) -> np.ndarray:
    return np.concatenate([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)


def test_corners_are_refused_with_the_flag_that_mends_them(tmp_path: Path) -> None:
    given = one_split(tmp_path / "given", crowd(lambda corners: corners))
    with pytest.raises(InputError, match=r"split train has boxes that leave .* fetch it with --boxes xyxy, or"):
        fetch_dataset(given, tmp_path / "coco")
    assert not (tmp_path / "coco").exists()
    train = fetch_dataset(given, tmp_path / "coco", boxes="xyxy").train
    assert train is not None
    assert not train.skipped
    assert (train.boxes[:20, 2:] <= SIZES[0]).all()
    assert boxes_of(fetch_dataset(given, tmp_path / "as_it_is", boxes="xywh").train) != boxes_of(train)


def test_shares_are_refused_and_read_as_such_when_asked(tmp_path: Path) -> None:
    given = one_split(tmp_path / "given", crowd(centres_in_shares))
    with pytest.raises(InputError, match=r"lie within 0\.\.1, .* fetch it with --relative, or"):
        fetch_dataset(given, tmp_path / "coco")
    corners = one_split(tmp_path / "corners", crowd(lambda corners: corners))
    same = fetch_dataset(given, tmp_path / "coco", boxes="cxcywh", relative=True).train
    other = fetch_dataset(corners, tmp_path / "other", boxes="xyxy").train
    assert same is not None
    assert other is not None
    np.testing.assert_allclose(same.boxes, other.boxes, atol=1e-4)


def test_splits_are_chosen_and_renamed(tmp_path: Path) -> None:
    split = Dataset.from_dict(rows(), features=features())
    given = tmp_path / "given"
    DatasetDict({"first": split, "second": split.select([1])}).save_to_disk(given)
    with pytest.raises(InputError, match=r"it has first, second; name those to fetch, such as --split train=first"):
        fetch_dataset(str(given), tmp_path / "coco")
    renamed = fetch_dataset(str(given), tmp_path / "coco", split=["train=first", "test=second"])
    assert renamed.train is not None
    assert renamed.test is not None
    assert (len(renamed.train), renamed.val, len(renamed.test)) == (2, None, 1)
    alone = fetch_dataset(given, tmp_path / "alone", split="second").train
    assert alone is not None
    assert len(alone) == 1
    for words, said in ((["third"], "has no split third; it has first, second"), (["a=first"], "names no split")):
        with pytest.raises(InputError, match=said):
            fetch_dataset(str(given), tmp_path / "no", split=words)


@pytest.mark.parametrize(
    ("columns", "types", "said"),
    [
        ({"text": ["a"]}, Features({"text": Value("string")}), "no column of images; it has text, so it is no"),
        ({"image": rows()["image"]}, Features({"image": Image()}), "no column `objects` with `bbox`; it has image,"),
        (rows(bbox=BOXES, category=[[1], [1]]), None, "row 1 has 2 boxes and 1 classes"),
        (rows(bbox=BOXES, category=[[1, 0], [-1]]), None, "row 2 has an object of the class -1"),
        ({**rows(), "image": [{"bytes": b"no", "path": "a.jpg"}] * 2}, None, "row 1: .* cannot be read as an image"),
        ({**rows(), "image": [None, None]}, None, "row 1 has no image"),
        ({**rows(), "image_id": [3, 3]}, features(image_id=Value("int64")), "row 2 has the image_id 3 twice"),
    ],
    ids=["no images", "no objects", "no class", "unknown class", "damaged image", "no image", "same id"],
)
def test_what_is_no_detection_dataset_is_said_in_a_sentence(
    tmp_path: Path, columns: dict[str, Any], types: Features | None, said: str
) -> None:
    given = one_split(tmp_path / "given", columns, types)
    with pytest.raises(InputError, match=said):
        fetch_dataset(given, tmp_path / "coco")
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            DatasetNotFoundError("Dataset 'a/b' doesn't exist"),
            "doesn't exist; correct the name, or",
        ),
        (ConnectionError("Couldn't reach 'a/b' on the Hub"), "on the Hub; connect to the network, or"),
        (ValueError("Config name is missing.\nPlease pick one: ['x']"), "missing. Please pick one: .'x'.*"),
    ],
    ids=["unknown", "no network", "several subsets"],
)
def test_what_the_hub_does_not_give_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(InputError, match=rf"a/b cannot be .*{said}"):
        fetch_dataset("a/b", tmp_path / "coco")


def test_other_types_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^name is None; give the name of a dataset on the Hub, or a folder\.$"):
        fetch_dataset(None, tmp_path / "coco")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"^relative is 1; give bool\.$"):
        fetch_dataset("a/b", tmp_path / "coco", relative=1)  # pyright: ignore[reportArgumentType]


def test_a_folder_that_is_taken_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="exists already; name another folder"):
        fetch_dataset("a/b", tmp_path)


def test_the_verb_says_what_the_folder_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = rows(bbox=[BOXES[0], [[70.0, 90.0, 5.0, 5.0]]], category=CLASSES)
    given = one_split(tmp_path / "given", columns)
    assert main(["fetch", given, "--out", str(tmp_path / "coco"), "--split", "val=train"]) == 0
    said = capsys.readouterr().out
    assert "val: 2 images, 3 boxes of 2 classes (instances_val.json)" in said
    assert "training leaves out: boxes fully outside their image: 1" in said
