"""Which columns of a dataset of the Hub hold images and objects, and what their values mean.

The usual layout is a column of images and a column `objects` with `bbox` and `category`, either as one list for each or
as a list of objects. The names of both columns and of the class vary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from uncrowd.errors import InputError
from uncrowd.words import first

BOXES = ("bbox", "bboxes")
CLASSES = ("category", "categories", "category_id", "label", "labels", "class", "classes")
# The class of objects that have none, as in datasets of faces alone.
ONLY_CLASS = "object"


class Row(NamedTuple):
    """One image and its objects, as the dataset has them.

    content, path: the bytes of the image, or where they are. size: (height, width) if the dataset says it. classes: a
    number or a name for each box. areas, crowds: None where the dataset has none.
    """

    id: Any
    content: bytes | None
    path: str | None
    size: tuple[int, int] | None
    boxes: Sequence[Any]
    classes: Sequence[int | str]
    areas: Sequence[Any] | None
    crowds: Sequence[Any] | None


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns that are read.

    image: that of the images. objects: that of the objects; None where boxes and classes are columns themselves. boxes,
    classes: what they are called there; without classes all objects are of `ONLY_CLASS`. names: the classes in the
    order of their numbers, empty where the dataset does not name them.
    """

    image: str
    objects: str | None
    boxes: str
    classes: str | None
    names: tuple[str, ...]

    def read(self, record: Mapping[str, Any], where: str) -> Row:
        """Returns what a row means. Raises InputError, with the row's name `where`, for an object without a class."""
        objects = record if self.objects is None else record[self.objects]
        boxes = _values(objects, self.boxes) or []
        classes = [ONLY_CLASS] * len(boxes) if self.classes is None else _values(objects, self.classes) or []
        if len(boxes) != len(classes):
            raise InputError(f"{where} has {len(boxes)} boxes and {len(classes)} classes; each box needs one class.")
        for name in classes:
            known = isinstance(name, str) or (isinstance(name, int) and name >= 0)
            if not known or (self.names and isinstance(name, int) and name >= len(self.names)):
                raise InputError(f"{where} has an object of the class {name!r}, which the dataset does not have.")
        image = record[self.image] or {}
        height, width = record.get("height"), record.get("width")
        return Row(
            id=record.get("image_id"),
            content=image.get("bytes"),
            path=image.get("path"),
            size=(height, width) if isinstance(height, int) and isinstance(width, int) else None,
            boxes=boxes,
            classes=classes,
            areas=_values(objects, "area"),
            crowds=_values(objects, "iscrowd"),
        )


def find_columns(features: Mapping[str, Any], name: str) -> Columns:
    """Returns the columns of a dataset. features: the types of its columns. name: that of the dataset, for messages.

    Raises InputError where there is no column of images or none of boxes, and where several could be meant.
    """
    images = [column for column, feature in features.items() if _is_image(feature)]
    image = _chosen(images, "image", name, features, "of images")
    holders = {column: _fields(feature) for column, feature in features.items()}
    if any(key in features for key in BOXES):
        objects, fields = None, features
    else:
        having = [column for column, of in holders.items() if any(key in of for key in BOXES)]
        objects = _chosen(having, "objects", name, features, "`objects` with `bbox`")
        fields = holders[objects]
    boxes = next(key for key in BOXES if key in fields)
    classes = next((key for key in CLASSES if key in fields), None)
    names = () if classes is None else getattr(_element(fields[classes]), "names", None) or ()
    return Columns(image=image, objects=objects, boxes=boxes, classes=classes, names=tuple(names))


def _chosen(having: list[str], usual: str, name: str, features: Mapping[str, Any], what: str) -> str:
    if not having:
        raise InputError(f"{name} has no column {what}; it has {first(features, 20)}, so it is no detection dataset.")
    if len(having) > 1 and usual not in having:
        raise InputError(
            f"{name} has several columns {what} ({', '.join(having)}) and none of the name {usual}; rename one with "
            "the library `datasets` and give the folder that its save_to_disk writes."
        )
    return usual if usual in having else having[0]


def _is_image(feature: Any) -> bool:
    """Whether a column holds images; written by other programs, it may lack the type but has bytes and path."""
    return type(feature).__name__ == "Image" or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})


def _fields(feature: Any) -> Mapping[str, Any]:
    """The types of what a column of objects has for each of them; empty for any other column."""
    inner = _element(feature)
    return inner if isinstance(inner, dict) else {}


def _element(feature: Any) -> Any:
    """The type inside of lists, which are written `[type]` too."""
    while isinstance(feature, list) or hasattr(feature, "feature"):
        feature = feature[0] if isinstance(feature, list) else feature.feature
    return feature


def _values(objects: Any, key: str) -> Sequence[Any] | None:
    """The value of each object, whether they are a list of objects or one list for each key; None if it is missing."""
    if isinstance(objects, list):
        return [each.get(key) for each in objects] if any(key in each for each in objects) else None
    return (objects or {}).get(key)
