"""Opening data: a folder or an annotation file, or several of them, become one dataset for each split."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from uncrowd.argument_types import checked_types
from uncrowd.data.classes import ClassMap, class_map, keep_classes
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.format import BoxKind
from uncrowd.data.formats.layout import Data, Layout, find_layout, require_boxes
from uncrowd.data.images.rules import IMAGES_NOT_FOUND
from uncrowd.data.problems import Problems, Rule
from uncrowd.data.splits import Splits, require_same_classes
from uncrowd.data.union import join, union_of_classes
from uncrowd.structures import Categories

SOME_CLASSES = Rule(
    kind="class in some datasets only",
    severity="warning",
    message="classes that only some of the datasets have",
    training="in the images of the others training takes their objects for background",
)


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
    if classes is not None:
        chosen = class_map(classes)
        datasets = {split: keep_classes(dataset, chosen) for split, dataset in datasets.items()}
    require_same_classes(list(datasets.values()))
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
    layout: Layout,
    split: str,
    *,
    box: BoxKind = "fbox",
    sizes: Mapping[str, tuple[int, int]] | None = None,
    classes: ClassMap | None = None,
) -> tuple[DetectionDataset, Problems]:
    """As `open_split`, but notes and leaves out bad records. Raises InputError where the whole file cannot be used.

    classes: the classes that will be kept, for what is noted of several datasets; all classes are returned.
    """
    found, categories = _scan_parts(layout, split, box, sizes)
    dataset = _joined({name: dataset for name, (dataset, _) in found.items()}, layout, categories)
    if len(layout.parts) == 1:
        return dataset, next(iter(found.values()))[1]
    problems = Problems()
    for name, (_, theirs) in found.items():
        problems.take(theirs, place=f"{name}: ")
    for name, names in (classes or {name: (name,) for name in dataset.categories.names}).items():
        having = [part for part, of_part in categories.items() if not set(names).isdisjoint(of_part.names)]
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
