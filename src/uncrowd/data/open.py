"""Which format, which splits: a folder or an annotation file becomes data sets."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from uncrowd.data.coco import read_coco
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.pictures_folder import split_of
from uncrowd.errors import InputError

# A COCO file shows one of its three keys this early, whatever their order.
HEAD = 65536


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The files of a data set, not yet read: its format in words and an annotation file for each split.

    root: what the user gave, a folder or the annotation file.
    """

    format: str
    root: Path
    annotations: dict[str, Path]


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The data sets below one folder, or of one file, `root`; a split that is not there is None."""

    format: str
    root: Path
    train: DetectionDataset | None = None
    val: DetectionDataset | None = None
    test: DetectionDataset | None = None

    @property
    def present(self) -> list[DetectionDataset]:
        """Those that are there: train, val, test."""
        return [dataset for dataset in (self.train, self.val, self.test) if dataset is not None]

    def describe(self) -> str:
        """Format, pictures, boxes, classes, then a line a split and a line for each thing its reader left out."""
        names = self.present[0].categories.names
        shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        pictures, boxes = sum(map(len, self.present)), sum(len(dataset.boxes) for dataset in self.present)
        lines = [f"{self.format} in {self.root}: {_content(pictures, boxes)}, {_plural(len(names), 'class')} ({shown})"]
        for dataset in self.present:
            ignored = int(dataset.ignore.sum())
            crowd = f", {ignored} of them ignored" if ignored else ""
            counts = _content(len(dataset), len(dataset.boxes))
            lines.append(f"  {dataset.split}: {counts}{crowd} ({dataset.source.name})")
            lines += [f"    training leaves out: {reason}: {count}" for reason, count in dataset.skipped.items()]
        return "\n".join(lines)


def open_splits(path: Path) -> Splits:
    """The data sets of a folder or of one annotation file, which counts as the training split.

    Raises InputError as `find_layout` and the format's reader do, and when the splits' classes differ.
    """
    layout = find_layout(path)
    datasets = {split: open_split(layout, split) for split in layout.annotations}
    require_same_classes(list(datasets.values()))
    return Splits(format=layout.format, root=layout.root, **datasets)


def open_split(layout: Layout, split: str, *, pictures_needed: bool = True) -> DetectionDataset:
    """One data set of a layout, without reading the others.

    pictures_needed: False where boxes alone are used, as in scoring detections. Raises InputError as the format's
    reader does.
    """
    return read_coco(layout.annotations[split], split=split, pictures_needed=pictures_needed)


def find_layout(path: Path) -> Layout:
    """Finds the annotation files by content, and by name which split each is.

    A folder is searched in annotations/, in itself and in folders named as splits (train/, valid/, test/); the first
    place that names a split counts. Raises InputError when there is none, or more than one for a split.
    """
    if path.is_file():
        _refuse_other_format(path)
        return Layout(format="COCO JSON", root=path, annotations={"train": path})
    if not path.is_dir():
        raise InputError(f"{path} does not exist; give a data set's folder or its annotation file.")
    split_folders = sorted(folder for folder in path.iterdir() if folder.is_dir() and split_of(folder.name))
    places = [_coco_files(path / "annotations"), _coco_files(path), [f for s in split_folders for f in _coco_files(s)]]
    for files in places:
        by_split: dict[str | None, list[Path]] = {}
        for file in files:
            in_folder = split_of(file.parent.name) if file.parent != path else None
            by_split.setdefault(split_of(file.stem) or in_folder, []).append(file)
        named = {split: _only(by_split[split], split) for split in ("train", "val", "test") if split in by_split}
        if named:
            return Layout(format="COCO JSON", root=path, annotations=named)
    unnamed = [file for files in places for file in files]
    if unnamed:
        return Layout(format="COCO JSON", root=path, annotations={"train": _only(unnamed, "train")})
    _refuse_other_format(path)
    raise InputError(
        f"{path} has no annotation file in it, in annotations/ or in train/; put a COCO JSON file such as "
        f"instances_train.json there, or give one by name."
    )


def hold_out(
    dataset: DetectionDataset, fraction: float = 0.1, seed: int = 0
) -> tuple[DetectionDataset, DetectionDataset]:
    """Splits by picture into (train, val), each in the order of the data set, with at least one picture each.

    The same pictures are held out for the same seed and number of pictures. `skipped` stays with the whole.
    Raises InputError when there is only one picture.
    """
    assert 0 < fraction < 1, fraction
    if len(dataset) < 2:
        raise InputError(
            f"{dataset.source} has {_plural(len(dataset), 'picture')}, too few to hold any out for validation; "
            f"add pictures or a validation split."
        )
    held = min(max(1, round(len(dataset) * fraction)), len(dataset) - 1)
    order = np.random.default_rng(seed).permutation(len(dataset))
    return (
        dataset.subset(np.sort(order[held:]), split="train"),
        dataset.subset(np.sort(order[:held]), split="val"),
    )


def require_same_classes(datasets: list[DetectionDataset]) -> None:
    """Raises InputError unless all have the same category ids with the same names."""
    for other in datasets[1:]:
        first = datasets[0]
        ours, theirs = (dict(zip(d.categories.ids, d.categories.names, strict=True)) for d in (first, other))
        for id in sorted(ours.keys() | theirs.keys()):
            if ours.get(id) != theirs.get(id):
                raise InputError(
                    f"{first.source} and {other.source} have different classes: id {id} is {ours.get(id, 'missing')} "
                    f"in the one and {theirs.get(id, 'missing')} in the other; give both the same `categories`."
                )


def _coco_files(folder: Path) -> list[Path]:
    """The COCO files directly in `folder`; where COCO's own captions and keypoints lie beside, those with boxes."""
    files = sorted(file for file in folder.glob("*.json") if file.is_file() and _is_coco(file))
    return [file for file in files if file.name.startswith("instances_")] or files


def _only(files: list[Path], split: str) -> Path:
    if len(files) > 1:
        names = " and ".join(map(str, files[:3]))
        raise InputError(f"{names} could each be the annotations of the {split} split; give one of them by name.")
    return files[0]


def _is_coco(file: Path) -> bool:
    """Whether the file is meant to be COCO's; a damaged one is, for its reader says more about it."""
    if file.name.startswith("instances_"):
        return True
    return re.search(r'"(images|annotations|categories)"\s*:\s*\[', _head(file)) is not None


def _refuse_other_format(path: Path) -> None:
    """Raises InputError when `path` is, or holds, annotations that are known but not read."""
    files = (
        [path]
        if path.is_file()
        else [f for s in ("odgt", "xml", "yaml", "yml") for f in path.rglob(f"*.{s}") if f.is_file()]
    )
    for file in files:
        head = _head(file)
        formats = {
            "CrowdHuman's odgt": '"gtboxes"' in head,
            "Pascal VOC's XML": "<annotation" in head and "<object" in head,
            "YOLO's YAML": file.suffix in (".yaml", ".yml") and "names:" in head,
        }
        for name, found in formats.items():
            if found:
                raise InputError(f"{file} looks like {name}, but only COCO JSON is read so far; convert it to that.")


def _head(file: Path) -> str:
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as stream:
            return stream.read(HEAD).lstrip()
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error}); check its permissions.") from error


def _content(pictures: int, boxes: int) -> str:
    return f"{_plural(pictures, 'picture')}, {_plural(boxes, 'box')}"


def _plural(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}{'es' if noun.endswith(('s', 'x')) else 's'}"
