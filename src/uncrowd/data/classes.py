"""A class map: the classes of a dataset that count, under their own names or several under a new one."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote

import numpy as np
import torch
from jaxtyping import Int64

from uncrowd.data.dataset import DetectionDataset
from uncrowd.errors import InputError
from uncrowd.structures import Categories, Detections
from uncrowd.words import first, nearest

# New name -> the classes of the dataset that it stands for, in the order of the labels.
ClassMap = Mapping[str, Sequence[str]]

# A name in double quotes, in which "" is a quote, or one as it is.
_NAME = r'\s*(?:"((?:[^"]|"")*)"|(.*?))\s*'


def class_map(classes: ClassMap | Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Returns a class map as its items or as words such as "person=pedestrian,rider" and "car" give it.

    In a word, double quotes keep a name with = or a comma together: '"a=b"="c,d",e' stands for c,d and e as a=b.
    Raises InputError when it is empty, or has a class twice.
    """
    if isinstance(classes, Mapping):
        pairs = [(name, tuple([of] if isinstance(of, str) else of)) for name, of in classes.items()]
    else:
        words = [classes] if isinstance(classes, str) else classes
        pairs = [_pair(word) for word in words]
    members = [member for _, of in pairs for member in of]
    for given in ([name for name, _ in pairs], members):
        for name in given:
            if given.count(name) > 1:
                raise InputError(f"The class {name} is given twice in the class map; give it once.")
    if not members or not all(of and name for name, of in pairs):
        raise InputError("The class map has an empty name; write person=pedestrian,rider or car.")
    return dict(pairs)


def _pair(word: str) -> tuple[str, tuple[str, ...]]:
    found = re.match(rf"{_NAME}(=|$)", word, re.DOTALL)
    assert found is not None, word
    if not found[3]:
        name = word if found[1] is None else _name(found)
        return name, (name,)
    return _name(found), split_names(word[found.end() :])


def split_names(text: str) -> tuple[str, ...]:
    """Returns the names with commas between them, but no empty one; double quotes keep one with a comma together."""
    return tuple(filter(None, (_name(found) for found in re.finditer(rf"{_NAME}(?:,|$)", text, re.DOTALL))))


def unquoted(text: str) -> str:
    """Returns the name that is in double quotes, or the text as it is."""
    found = re.fullmatch(_NAME, text, re.DOTALL)
    return text if found is None or found[1] is None else _name(found)


def _name(found: re.Match[str]) -> str:
    return found[2] if found[1] is None else found[1].replace('""', '"')


def keep_classes(dataset: DetectionDataset, classes: ClassMap) -> DetectionDataset:
    """Returns the dataset with the classes of the map alone, in its order; boxes of all other classes are left out.

    Images stay, if without boxes. A class gets the id of the first one that it stands for. Raises InputError for a
    class that the dataset does not have.
    """
    categories, new_label = _labels(dataset.categories, classes, dataset.source)
    labels = new_label[dataset.labels]
    kept = labels >= 0
    before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(kept)])
    return replace(
        dataset,
        categories=categories,
        offsets=before[dataset.offsets],
        boxes=dataset.boxes[kept],
        labels=labels[kept],
        ignore=dataset.ignore[kept],
        areas=dataset.areas[kept],
        outlines=None if dataset.outlines is None else dataset.outlines.take(np.flatnonzero(kept)),
    )


def keep_classes_of(detections: Detections, classes: ClassMap, source: Path) -> Detections:
    """Returns the detections whose classes the map names, as `keep_classes` does with the boxes of the dataset."""
    categories, new_label = _labels(detections.categories, classes, source)
    labels = torch.from_numpy(new_label)[detections.labels]
    kept = labels >= 0
    return replace(detections[kept], labels=labels[kept], categories=categories)


def _labels(categories: Categories, classes: ClassMap, source: Path) -> tuple[Categories, Int64[np.ndarray, " c"]]:
    """Returns the classes of the map, and for each label of `categories` the new one, or -1."""
    label_of = {name: label for label, name in enumerate(categories.names)}
    new_label = np.full(len(categories), -1, dtype=np.int64)
    ids: list[int] = []
    for label, members in enumerate(classes.values()):
        for member in members:
            if member not in label_of:
                parts = [part for each in member.split(",") if (part := each.strip())]
                mend = nearest(member, label_of)
                if parts and all(part in label_of for part in parts):
                    mend = f" (write {' '.join(map(quote, parts))}, without commas)"
                raise InputError(f"{source} has no class {member}{mend}; it has {first(label_of, 30)}.")
            new_label[label_of[member]] = label
        ids.append(categories.ids[label_of[members[0]]])
    return Categories(ids=tuple(ids), names=tuple(classes)), new_label
