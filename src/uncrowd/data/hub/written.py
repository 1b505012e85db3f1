"""Writes the rows of a split as COCO: its images as they are, and one JSON with boxes and classes."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import Any

from uncrowd.data.formats.values import as_id, as_truth, is_file_name
from uncrowd.data.hub.box_order import BoxOrder, Judge, to_xywh
from uncrowd.data.hub.columns import Row
from uncrowd.data.hub.opened import content_of
from uncrowd.data.images.file import open_image
from uncrowd.data.images.read import image_sizes
from uncrowd.data.results.appended import appended
from uncrowd.errors import InputError
from uncrowd.structures import ImageId

# So many images of a split show the order of its boxes, before the others are fetched.
FIRST_IMAGES = 200
SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}


class FetchedClasses:
    """The classes of a dataset with their ids, which are its own numbers, or for names without numbers their order."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._named = bool(names)
        self._names: dict[int | str, str] = dict(enumerate(names))
        self._ids: dict[int | str, int] = {number: number for number in range(len(names))}

    def id_of(self, name: int | str) -> int:
        """Returns the id of a class, which is new if it was not seen before."""
        if name not in self._ids:
            self._ids[name] = len(self._ids) if isinstance(name, str) else name
            self._names[name] = str(name)
        return self._ids[name]

    @property
    def records(self) -> list[dict[str, Any]]:
        """COCO's list of them."""
        return [{"id": id, "name": self._names[key]} for key, id in sorted(self._ids.items(), key=lambda pair: pair[1])]


class SplitWriter:
    """Writes one split below a folder: SPLIT/ with the images, and annotations/instances_SPLIT.json.

    order: that of the numbers of a box; None for xywh that is judged. relative: boxes are shares of the image.
    """

    def __init__(
        self, folder: Path, split: str, categories: FetchedClasses, *, order: BoxOrder | None, relative: bool
    ) -> None:
        self._images_folder, self._file = folder / split, folder / "annotations" / f"instances_{split}.json"
        self._categories = categories
        self._order: BoxOrder = order or "xywh"
        self._judge = Judge() if order is None else None
        self._relative = relative
        self._records: list[dict[str, Any]] = []
        self._ids: set[ImageId] = set()
        self._names: set[str] = set()
        self._numbers = count(1)

    @contextmanager
    def writing(self) -> Iterator[Callable[[Row, str], None]]:
        """Yields a function that writes a row of the split, whose name in messages is its second argument.

        The list of classes is written at the end, when those of the other splits are known too.
        """
        self._images_folder.mkdir(parents=True)
        self._file.parent.mkdir(exist_ok=True)

        def rest() -> str:
            lists = {"images": self._records, "categories": self._categories.records}
            return json.dumps(lists)[1:] + "\n"

        def end(some: bool) -> str:
            return f"\n],\n{rest()}" if some else '{"annotations": [],\n' + rest()

        with appended(self._file, '{"annotations": [\n', ",\n", end) as append:

            def write(row: Row, where: str) -> None:
                lines = [json.dumps(annotation) for annotation in self._add(row, where)]
                if lines:
                    append(",\n".join(lines))
                if len(self._records) == FIRST_IMAGES:
                    self.judge(where)

            yield write

    def judge(self, where: str) -> None:
        """Raises InputError if the boxes so far seem to be in another order, unless the user gave one."""
        if self._judge is not None:
            self._judge.refuse_other_orders(where)

    def _add(self, row: Row, where: str) -> Iterator[dict[str, Any]]:
        number = len(self._records) + 1
        where = f"{where}, row {number}"
        if row.content is None and row.path is None:
            raise InputError(f"{where} has no image; leave it out of the dataset.")
        content = content_of(row.path or "", where) if row.content is None else row.content
        height, width = _size(content, row, where)
        name = self._name(row, content, number)
        (self._images_folder / name).write_bytes(content)
        id = self._id(row, where, number)
        self._records.append({"id": id, "file_name": name, "height": height, "width": width})
        scale = (float(width), float(height)) if self._relative else (1.0, 1.0)
        for index, (box, of_class) in enumerate(zip(row.boxes, row.classes, strict=True)):
            bbox = to_xywh(box, self._order, scale)
            area = None if row.areas is None else row.areas[index]
            if self._judge is not None:
                self._judge.add(bbox, (height, width), area)
            yield {
                "id": next(self._numbers),
                "image_id": id,
                "category_id": self._categories.id_of(of_class),
                "bbox": bbox,
                "iscrowd": int(row.crowds is not None and bool(as_truth(row.crowds[index]))),
                **({} if area is None else {"area": area}),
            }

    def _id(self, row: Row, where: str, number: int) -> ImageId:
        id = number if row.id is None else as_id(row.id)
        if id is None or id in self._ids:
            said = "twice; a dataset needs one row for each image" if id is not None else "which is no id"
            raise InputError(f"{where} has the image_id {row.id!r} {said}.")
        self._ids.add(id)
        return id

    def _name(self, row: Row, content: bytes, number: int) -> str:
        """The name that the dataset gives the image, with a number where another has it; else the row's number."""
        given = PurePosixPath((row.path or "").replace("\\", "/")).name
        name = PurePosixPath(given if is_file_name(given) else f"{number:06d}")
        if not name.suffix:
            name = name.with_name(name.name + _suffix(content))
        numbered = (f"{name.stem}_{other}{name.suffix}" for other in count(number))
        unique = next(each for each in chain([name.name], numbered) if each not in self._names)
        self._names.add(unique)
        return unique


def _size(content: bytes, row: Row, where: str) -> tuple[int, int]:
    """(height, width) as the file has it, or as the row says it of a file that cannot be read."""
    try:
        return image_sizes(content)[1]
    except InputError as error:
        if row.size is None:
            raise InputError(f"{where}: {error}") from error
        return row.size


def _suffix(content: bytes) -> str:
    try:
        with open_image(content) as image:
            format = image.format or "JPEG"
    except InputError:
        format = "JPEG"
    return SUFFIXES.get(format, f".{format.lower()}")
