"""Opening data: a folder or an annotation file, or several of them, become one dataset for each split."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from uncrowd.argument_types import checked_types
from uncrowd.data.classes import ClassMap, class_map, keep_classes
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.format import BoxKind, Format
from uncrowd.data.formats.passed_over import nothing_to_read, passed_over
from uncrowd.data.formats.recognise import FORMATS, format_of, readable
from uncrowd.data.images.rules import IMAGES_NOT_FOUND
from uncrowd.data.problems import Problems, Rule
from uncrowd.data.union import join, union_of_classes
from uncrowd.errors import InputError
from uncrowd.structures import Categories
from uncrowd.words import counted, first, one_line

# A folder or an annotation file; "A,B" or a list of them is read as one dataset.
Data = str | Path | Sequence[str | Path]

SOME_CLASSES = Rule(
    kind="class in some datasets only",
    severity="warning",
    message="classes that only some of the datasets have",
    training="in the images of the others training takes their objects for background",
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """The files of one dataset before they are read: their format and the annotation file of each split.

    root: the folder or the annotation file that the user gave. not_read: sentences about what seems to be another split
    but cannot be read.
    """

    format: Format
    root: Path
    annotations: dict[str, Path]
    not_read: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The files of a dataset, or of several that are read as one, before they are read.

    parts: those of each dataset, by its name.
    """

    parts: dict[str, Part]

    @property
    def root(self) -> Path:
        """What the user gave; for several datasets a text that no file is called."""
        return Path(" and ".join(str(part.root) for part in self.parts.values()))

    @property
    def format(self) -> str:
        """The name of the format, or of the formats."""
        return " and ".join(dict.fromkeys(part.format.name for part in self.parts.values()))

    @property
    def splits(self) -> list[str]:
        """The splits that any of the datasets has, in the order train, val, test."""
        having = {split for part in self.parts.values() for split in part.annotations}
        return [split for split in ("train", "val", "test") if split in having]

    @property
    def files(self) -> list[Path]:
        """All annotation files."""
        return [file for part in self.parts.values() for file in part.annotations.values()]

    @property
    def not_read(self) -> tuple[str, ...]:
        """As in `Part`."""
        return tuple(sentence for part in self.parts.values() for sentence in part.not_read)


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The datasets in one folder or of one annotation file, `root`. A split that does not exist is None.

    format: its name. not_read: as in `Part`.
    """

    format: str
    root: Path
    not_read: tuple[str, ...] = ()
    train: DetectionDataset | None = None
    val: DetectionDataset | None = None
    test: DetectionDataset | None = None

    @property
    def present(self) -> list[DetectionDataset]:
        """The splits that exist, in the order train, val, test."""
        return [dataset for dataset in (self.train, self.val, self.test) if dataset is not None]

    def describe(self) -> str:
        """Returns the outline, with a line below each split for everything that its reader left out."""
        return "\n".join(map(one_line, self._lines(skipped=True)))

    def outline(self) -> str:
        """Returns one line with the format, images, boxes and classes of all splits, then a line for each split."""
        return "\n".join(map(one_line, self._lines(skipped=False)))

    def _lines(self, *, skipped: bool) -> list[str]:
        if not self.present:
            return [f"{self.format} in {self.root}: nothing that can be read"]
        names = self.present[0].categories.names
        images, boxes = sum(map(len, self.present)), sum(len(dataset.boxes) for dataset in self.present)
        classes = f"{counted(len(names), 'class')} ({first(names, 10)})"
        lines = [f"{self.format} in {self.root}: {_content(images, boxes)}, {classes}"]
        for dataset in self.present:
            ignored = int(dataset.ignore.sum())
            crowd = f", {ignored} of them ignored" if ignored else ""
            classes = counted(len(np.unique(dataset.labels)), "class")
            counts = f"{_content(len(dataset), len(dataset.boxes))} of {classes}{crowd}"
            if not dataset.annotated:
                counts = f"{counted(len(dataset), 'image')} without ground truth"
            lines.append(f"  {dataset.split}: {counts} ({dataset.source.name})")
            if skipped:
                lines += [f"    training leaves out: {reason}: {count}" for reason, count in dataset.skipped.items()]
        return lines + [f"  not read: {sentence}" for sentence in self.not_read]


@checked_types(data="a folder, an annotation file, or a list of them")
def open_dataset(data: Data, box: BoxKind = "fbox", classes: ClassMap | Sequence[str] | None = None) -> Splits:
    """Opens all splits of a folder, or a single annotation file, or several of them as one dataset.

    A single file is the training split, or the test split if it only lists images. The images of a test split need
    not exist. Of several datasets, classes of the same name become one, the splits are joined by name, and the name of
    the dataset is put before the ids of its images. box: which boxes to read from CrowdHuman's files.

    classes: the classes to keep, such as {"person": ["pedestrian", "rider"], "car": ["car"]} or ["person", "car"];
    those that one name stands for become one class, and objects of all other classes are left out.

    Raises InputError as `find_layout` and `open_split` do, when the splits have different classes, and for a class that
    there is not.
    """
    layout = find_layout(data)
    datasets = {split: open_split(layout, split, images_needed=split != "test", box=box) for split in layout.splits}
    require_same_classes(list(datasets.values()))
    if classes is not None:
        chosen = class_map(classes)
        datasets = {split: keep_classes(dataset, chosen) for split, dataset in datasets.items()}
    return Splits(format=layout.format, root=layout.root, not_read=layout.not_read, **datasets)


def open_split(
    layout: Layout,
    split: str,
    *,
    images_needed: bool = True,
    box: BoxKind = "fbox",
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> DetectionDataset:
    """Opens one split of a layout without reading the others.

    images_needed: False where only the boxes are used, as in scoring detections. box: which boxes to read from
    CrowdHuman's files. sizes: image id -> (height, width), used for CrowdHuman's images whose size cannot be read
    anywhere else. Raises InputError as the format's reader does, and for a kind of box that the format does not have.
    """
    found, categories = _scan_parts(layout, split, box, sizes)
    for name, (_, problems) in found.items():
        source = layout.parts[name].annotations[split]
        problems.refuse_errors(source, except_for=() if images_needed else (IMAGES_NOT_FOUND,))
    return _joined({name: dataset for name, (dataset, _) in found.items()}, layout, categories)


def scan_split(
    layout: Layout, split: str, *, box: BoxKind = "fbox", sizes: Mapping[str, tuple[int, int]] | None = None
) -> tuple[DetectionDataset, Problems]:
    """As `open_split`, but notes and leaves out bad records. Raises InputError where the whole file cannot be used."""
    found, categories = _scan_parts(layout, split, box, sizes)
    dataset = _joined({name: dataset for name, (dataset, _) in found.items()}, layout, categories)
    if len(layout.parts) == 1:
        return dataset, next(iter(found.values()))[1]
    problems = Problems()
    for name, (_, theirs) in found.items():
        problems.take(theirs, place=f"{name}: ")
    for name in dataset.categories.names:
        having = [part for part, of_part in categories.items() if name in of_part.names]
        if len(having) < len(layout.parts):
            problems.add(SOME_CLASSES, f"{name}: only {' and '.join(having)}")
    return dataset, problems


def _scan_parts(
    layout: Layout, split: str, box: BoxKind, sizes: Mapping[str, tuple[int, int]] | None
) -> tuple[dict[str, tuple[DetectionDataset, Problems]], dict[str, Categories]]:
    """Returns what each part has of a split, by its name, and the classes of all parts."""
    require_boxes(layout, box)
    found: dict[str, tuple[DetectionDataset, Problems]] = {}
    categories: dict[str, Categories] = {}
    for name, part in layout.parts.items():
        own = split if split in part.annotations else next(iter(part.annotations))
        dataset, problems = part.format.scan(part.annotations[own], split=own, box=box, sizes=sizes)
        categories[name] = dataset.categories
        if own == split:
            part.format.judge(dataset, problems)
            found[name] = replace(dataset, protocol=part.format.protocol), problems
    return found, categories


def _joined(
    datasets: dict[str, DetectionDataset], layout: Layout, categories: dict[str, Categories]
) -> DetectionDataset:
    if len(layout.parts) == 1:
        return next(iter(datasets.values()))
    return join(datasets, union_of_classes(list(categories.values())))


def require_boxes(layout: Layout, box: BoxKind) -> None:
    """Raises InputError when the format of the layout does not have this kind of box."""
    for part in layout.parts.values():
        if box not in part.format.boxes:
            raise InputError(
                f"{part.root} is {part.format.name}, which has no {box}, only one box an object; leave --box out."
            )


def dataset_paths(data: Data) -> list[Path]:
    """Returns the path of each dataset; commas separate several, unless there is a file or folder of the whole name.

    Raises InputError where none is given, or one twice, and for a comma in the name of one of several.
    """
    if isinstance(data, str | Path):
        whole = str(data)
        paths = [Path(whole)] if whole.strip() else []
        if "," in whole and not Path(whole).exists():
            paths = [Path(part.strip()) for part in whole.split(",") if part.strip()]
    else:
        paths = [Path(part) for part in data]
    if not paths:
        raise InputError("No dataset is given; name a folder or an annotation file.")
    real = [os.path.realpath(path) for path in paths]
    for path in paths if len(paths) > 1 else []:
        if real.count(os.path.realpath(path)) > 1:
            raise InputError(f"{path} is given twice; name each dataset once.")
        if "," in str(path):
            raise InputError(f"{path} has a comma, which separates datasets, in its name; rename it.")
    return paths


def find_layout(data: Data) -> Layout:
    """Finds the annotation files of one dataset, or of several that are read as one.

    The content of a file tells its format, its name the split. A folder is searched as `by_split` describes. A damaged
    file counts if its name says its split. Raises InputError when there is no annotation file, or more than one for a
    split, and as `dataset_paths` does.
    """
    paths = dataset_paths(data)
    real = [Path(os.path.realpath(path)) for path in paths]
    names = [path.stem if path.is_file() else path.name for path in real]
    if len(set(names)) < len(names):
        names = [str(number + 1) for number in range(len(paths))]
    return Layout(parts={name: _find_part(path) for name, path in zip(names, paths, strict=True)})


def _find_part(path: Path) -> Part:
    if path.is_file():
        format = format_of(path)
        return Part(format=format, root=path, annotations=format.find(path))
    if not path.is_dir():
        what = "is a link that leads nowhere" if path.is_symlink() else "does not exist"
        what = "is no file and no folder" if path.exists() else what
        raise InputError(f"{path} {what}; give a dataset's folder or its annotation file.")
    for format in FORMATS:
        annotations = format.find(path)
        if annotations:
            damaged, not_read = passed_over(path, annotations, format.unlisted)
            annotations = {**annotations, **damaged}
            return Part(format=format, root=path, annotations=annotations, not_read=tuple(not_read))
    raise nothing_to_read(path, readable())


def hold_out(
    dataset: DetectionDataset, fraction: float = 0.1, seed: int = 0
) -> tuple[DetectionDataset, DetectionDataset]:
    """Divides the images of a dataset into (train, val), both in the order of the dataset and neither empty.

    fraction: the share of the images that val gets. The seed and the number of images decide which ones. `skipped`
    is empty in both, because it counts records of the whole. Raises InputError when there is only one image.
    """
    assert 0 < fraction < 1, fraction
    if len(dataset) < 2:
        raise InputError(
            f"{dataset.source} has {counted(len(dataset), 'image')}, too few to hold any out for validation; "
            f"add images or a validation split."
        )
    held = min(max(1, round(len(dataset) * fraction)), len(dataset) - 1)
    order = np.random.default_rng(seed).permutation(len(dataset))
    return (
        dataset.subset(np.sort(order[held:]), split="train"),
        dataset.subset(np.sort(order[:held]), split="val"),
    )


def require_same_classes(datasets: list[DetectionDataset]) -> None:
    """Raises InputError unless all datasets have the same category ids with the same names."""
    for other in datasets[1:]:
        one = datasets[0]
        ours, theirs = (dict(zip(d.categories.ids, d.categories.names, strict=True)) for d in (one, other))
        for id in sorted(ours.keys() | theirs.keys()):
            if ours.get(id) != theirs.get(id):
                raise InputError(
                    f"{one.source} and {other.source} have different classes: id {id} is {ours.get(id, 'missing')} "
                    f"in the one and {theirs.get(id, 'missing')} in the other; give both the same `categories`."
                )


def _content(images: int, boxes: int) -> str:
    return f"{counted(images, 'image')}, {counted(boxes, 'box')}"
