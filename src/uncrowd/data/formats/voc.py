"""Pascal VOC's annotations (http://host.robots.ox.ac.uk/pascal/VOC/): an XML file with the objects of each image.

Either as in the devkit, JPEGImages/, Annotations/ and lists of images in ImageSets/Main/, or as labelImg and Roboflow
write them: folders of XML files, in train/, valid/ and test/ if there are splits, beside the images or in Annotations/.
"""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from uncrowd.data.dataset import DetectionDataset, PackedBoxes, pack_boxes, pack_ids
from uncrowd.data.formats.collector import collector_paused
from uncrowd.data.formats.convention import FRACTIONS, are_fractions, as_text
from uncrowd.data.formats.files import whole_text
from uncrowd.data.formats.format import Format, whatever_box
from uncrowd.data.formats.records import Box, counts_in_scores, judge_box
from uncrowd.data.formats.sizes import known_sizes
from uncrowd.data.formats.values import is_file_name
from uncrowd.data.formats.voc_layout import all_files, annotations_folder, find_splits, place_of
from uncrowd.data.formats.voc_xml import Annotated, Object, parse
from uncrowd.data.images.find import find_images
from uncrowd.data.images.listing import Listings, fold, has_suffix
from uncrowd.data.images.rules import IMAGES_NOT_FOUND
from uncrowd.data.problems import Names, Problems, Rule
from uncrowd.structures import Categories

BAD_XML = Rule(
    kind="damaged annotation file",
    severity="error",
    message="XML files that cannot be read as annotations",
    training="copy or export them again",
)
NO_XML = Rule(
    kind="no annotation file",
    severity="error",
    message="images of the list without an XML file",
    training="add it, without objects where nothing is in the image, or remove the image from the list",
)
WITHOUT_XML = Rule(
    kind="images without an XML file",
    severity="warning",
    message="images without an XML file of the same name",
    training="training does not use them; add one without objects where nothing is in the image",
)
NO_SIZE = Rule(
    kind="no image size",
    severity="error",
    message="images whose size is not known",
    training="put the images where they can be read, or add width and height to their XML files",
)
NO_NAME = Rule(
    kind="object without class",
    severity="error",
    message="objects without the name of a class",
    training="add it, or remove the objects",
)
UNCLEAR_DIFFICULT = Rule(
    kind="unclear difficult",
    severity="error",
    message="objects whose `difficult` is neither 0 nor 1",
    training="write 1 for an object to be ignored and 0 for others",
)
NO_BOX = Rule(
    kind="no box",
    severity="warning",
    message="objects whose bndbox is not four numbers",
    training="training leaves them out",
    skips=True,
)
FROM_ZERO = Rule(
    kind="pixels from 0",
    severity="note",
    message="boxes that begin at pixel 0, although Pascal VOC counts from 1",
    training="so all boxes of the dataset are read as counted from 0",
)


class _Record(NamedTuple):
    """What is kept of an image's XML file."""

    file: Path
    size: tuple[int, int] | None
    objects: list[Object]


def read_voc(annotations: Path, split: str = "train", *, images_needed: bool = True) -> DetectionDataset:
    """Reads one split of a Pascal VOC dataset. Of images whose XML file has no size the headers are read.

    annotations: a list in ImageSets/Main/, or a folder of XML files. images_needed: as in `read_coco`.

    The id of an image is the name of its XML file without .xml. Classes are those of all splits, sorted by name, with
    ids from 1 on. Difficult objects become ignored boxes. VOC counts pixels from 1 and includes the last, so the box
    (xmin, ymin, xmax, ymax) becomes (xmin - 1, ymin - 1, xmax, ymax), as in Detectron2. Many tools count from 0: if a
    box of the dataset begins below 1, no box is moved. Boxes are not clipped to the image; `skipped` counts those that
    training leaves out.

    Raises InputError when files are missing or damaged, when the images are not found, and when an object has no name.
    """
    dataset, problems = scan_voc(annotations, split)
    problems.refuse_errors(annotations, except_for=() if images_needed else (IMAGES_NOT_FOUND,))
    return dataset


@collector_paused()
def scan_voc(
    annotations: Path, split: str = "train", *, sizes: Mapping[str, tuple[int, int]] | None = None
) -> tuple[DetectionDataset, Problems]:
    """As `read_voc`, but notes and leaves out bad records instead of refusing the dataset.

    sizes: id -> (height, width), used for images whose size is not known otherwise. Raises InputError only where
    nothing can be read.
    """
    problems = Problems()
    everything = _parsed(all_files(annotations))
    objects = [found for each in everything.values() if isinstance(each, Annotated) for found in each.objects]
    names = sorted({found.name for found in objects if found.name is not None})
    offset = 0.0 if any(_begins_at_zero(found.box) for found in objects) else 1.0
    records = _records(annotations, everything, problems)
    stems = [record.file.stem for record in records]
    folder, files = _find_images(annotations, split, stems, everything, records, problems)
    paths = None if IMAGES_NOT_FOUND in problems else [folder / file for file in files]
    if annotations.is_dir() and paths is not None:
        problems.add_all(WITHOUT_XML, _without_xml(folder, files, everything))
    found = known_sizes(stems, [record.size for record in records], paths, sizes or {})
    good = [row for row, size in enumerate(found) if size is not None]
    for record, size in zip(records, found, strict=True):
        if size is None:
            problems.add(NO_SIZE, str(record.file))
    known = [size for size in found if size is not None]
    labels = {name: label for label, name in enumerate(names)}
    dataset = DetectionDataset(
        source=annotations,
        split=split,
        categories=Categories(ids=tuple(range(1, len(names) + 1)), names=tuple(names)),
        folder=folder,
        ids=pack_ids([stems[row] for row in good]) if good else np.array([], dtype=np.str_),
        file_names=np.array([files[row] for row in good], dtype=np.str_),
        sizes=np.array(known, dtype=np.int64).reshape(-1, 2),
        **_pack([records[row] for row in good], known, labels, offset, problems),
        skipped=problems.skipped,
        annotated=True,
    )
    return dataset, problems


def _parsed(files: list[Path]) -> dict[Path, Annotated | str]:
    """What each XML file holds, or why it cannot be read."""
    with ThreadPoolExecutor() as pool:  # the time goes into waiting for the disk
        return dict(zip(files, pool.map(parse, files), strict=True))


def _records(annotations: Path, everything: dict[Path, Annotated | str], problems: Problems) -> list[_Record]:
    if annotations.is_dir():
        files = [file for file in everything if file.parent == annotations]
    else:
        files = _in_list(annotations, problems)
    records = []
    for file in files:
        found = everything.get(file)
        if isinstance(found, Annotated):
            records.append(_Record(file, found.size, found.objects))
        elif found is not None:
            problems.add(BAD_XML, f"{file}: {found}")
    return records


def _in_list(file: Path, problems: Problems) -> list[Path]:
    """The XML files of the images that a file in ImageSets/Main/ lists, each once."""
    lines = whole_text(file).splitlines()
    folder = annotations_folder(file)
    listings = Listings()
    found: dict[Path, None] = {}
    for line in lines:
        name = line.strip().removesuffix(".xml")
        stems = [name, *([name.rpartition(".")[0]] if has_suffix(name) else [])]  # some lists name the images
        named = [f"{stem}.xml" for stem in stems if is_file_name(stem) and "/" not in stem]
        path = next(filter(None, (listings.file(str(folder), (xml,)) for xml in named)), None)
        if path is not None:
            found[Path(path)] = None
        elif name:
            problems.add(NO_XML, name)
    return list(found)


def _find_images(
    annotations: Path,
    split: str,
    stems: list[str],
    everything: dict[Path, Annotated | str],
    records: list[_Record],
    problems: Problems,
) -> tuple[Path, list[str]]:
    """Returns the folder of the images and their files: those named as the XML files, else those that these name."""
    place = place_of(annotations, split)
    by_stem = Problems()
    folder, files = find_images(place, stems, split, by_stem, suffixed=False)
    if IMAGES_NOT_FOUND in by_stem:
        named = [found.file_name if isinstance(found := everything[r.file], Annotated) else None for r in records]
        if all(is_file_name(name) for name in named):
            by_name = Problems()
            elsewhere = find_images(place, [name or "" for name in named], split, by_name)
            if IMAGES_NOT_FOUND not in by_name:
                problems.take(by_name)
                return elsewhere
    problems.take(by_stem)
    return folder, files


def _without_xml(folder: Path, files: list[str], everything: dict[Path, Annotated | str]) -> list[str]:
    """Returns the images of a folder for which there is no XML file, where images have the names of their XML files."""
    stems = {fold(file.stem) for file in everything}
    if not all(fold(Path(file).stem) in stems for file in files):
        return []
    listed = Listings().of(str(folder)).by_stem
    return [str(folder / name) for stem, names in listed.items() if stem not in stems for name in names]


def _pack(
    records: list[_Record],
    sizes: list[tuple[int, int]],
    labels: dict[str, int],
    offset: float,
    problems: Problems,
) -> PackedBoxes:
    """Returns the boxes that can be used as the columns that `pack_boxes` makes of them."""
    of_image: list[int] = []
    good: list[tuple[Box, int, bool, float]] = []
    for row, (record, size) in enumerate(zip(records, sizes, strict=True)):
        for position, found in enumerate(record.objects):
            where = f"{record.file}, object {position + 1}"
            if found.name is None:
                problems.add(NO_NAME, where)
                continue
            if found.difficult is None:
                problems.add(UNCLEAR_DIFFICULT, where)
            if found.box is None:
                problems.add(NO_BOX, f"{where}: {found.written}")
                continue
            x1, y1, x2, y2 = found.box
            if _begins_at_zero(found.box):
                problems.add(FROM_ZERO, f"{where}: {found.written}")
            box = x1 - offset, y1 - offset, x2, y2
            rule = judge_box(box, size)
            if rule is not None:
                problems.add(rule, f"{where}: {found.written}")
            if counts_in_scores(box):
                of_image.append(row)
                area = (box[2] - box[0]) * (box[3] - box[1])
                good.append((box, labels[found.name], bool(found.difficult), area))
    return pack_boxes(good, of_image, len(records))


def judge_corners(dataset: DetectionDataset, problems: Problems) -> None:
    """Adds to `problems` if all boxes are fractions of their images."""
    if are_fractions(dataset.boxes):
        problems.add_all(FRACTIONS, Names(range(len(dataset.boxes)), lambda row: as_text(dataset.boxes[row])))


def _begins_at_zero(box: Box | None) -> bool:
    return box is not None and all(map(math.isfinite, box)) and min(box[:2]) < 1


def _recognises(file: Path) -> bool:
    return file.suffix == ".txt" and file.parent.name == "Main" and annotations_folder(file).is_dir()


VOC = Format(
    name="Pascal VOC",
    protocol="coco",
    recognises=_recognises,
    find=find_splits,
    scan=whatever_box(scan_voc),
    judge=judge_corners,
)
