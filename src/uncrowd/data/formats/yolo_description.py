"""Reads what describes a YOLO dataset: data.yaml, or the classes.txt and folders that Label Studio exports."""

from pathlib import Path
from reprlib import repr as short  # an alias in YAML may stand for any number of values
from typing import Any, NamedTuple

import yaml

from uncrowd.data.formats.files import whole_text
from uncrowd.data.formats.foreign import flaw
from uncrowd.data.formats.values import as_whole
from uncrowd.data.images.folders import SPLIT_WORDS
from uncrowd.data.images.listing import Listings
from uncrowd.errors import InputError
from uncrowd.words import printable

# What stands for no value.
_NOTHING = ("", "~", "null")
# The most classes without names, which are numbered.
_UNNAMED = 10_000


class Description(NamedTuple):
    """What a dataset says of itself.

    names: of the classes by number. bases: the folders to which paths are relative, the likeliest first. splits: for
    each split its folders and lists of images, as the file writes them. keypoints: each label goes on with key points
    after its box.
    """

    names: dict[int, str]
    bases: list[Path]
    splits: dict[str, list[str]]
    keypoints: bool = False


def read_description(file: Path) -> Description:
    """Reads data.yaml, or classes.txt beside images/ and labels/. Raises InputError where it cannot be used."""
    names, bases, splits, keypoints = _of_folder(file) if file.suffix.lower() == ".txt" else _of_yaml(file)
    if not names:
        raise InputError(f"{file} names no classes; write them as a list, such as names: [cat, dog].")
    taken: dict[str, int] = {}
    for number, name in names.items():
        if not name.strip() or printable(name) != name:
            raise InputError(
                f"{file} has {short(name)} as the name of class {number}; give it a name that can be printed."
            )
        if taken.setdefault(name, number) != number:
            raise InputError(f"{file} has two classes named {name}, {taken[name]} and {number}; rename one.")
    return Description(names, bases, splits, keypoints)


def _of_yaml(file: Path) -> Description:
    raw = _load(file)
    here, given = file.parent, raw.get("path", "")
    if not isinstance(given, str):
        raise InputError(f"{file} has {short(given)} as path; write one folder, or leave it out.")
    bases = [here / given, here] if given else [here]
    splits: dict[str, list[str]] = {}
    for key, value in raw.items():
        split = SPLIT_WORDS.get(str(key).lower())
        if split is None:
            continue
        entries = value if isinstance(value, list) else [value]
        if not all(isinstance(entry, str) for entry in entries):
            raise InputError(f"{file} has {short(value)} as {key}; write a folder of images, or a list of folders.")
        entries = [entry for entry in entries if entry.lower() not in _NOTHING]
        if entries and splits.setdefault(split, entries) != entries:
            raise InputError(f"{file} names the images of its {split} split twice, also as {key}; keep one of the two.")
    if not splits:
        raise InputError(f"{file} names no images; write their folders, such as train: images/train.")
    return Description(_names(raw, file), [base for base in bases if base.is_dir()], splits, "kpt_shape" in raw)


class _Loader(yaml.BaseLoader):
    """Reads all values as text, as they are written: a class may be called `no`, which YAML takes for false."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuses a key that is given twice, of which PyYAML would keep the last value."""
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    problem = f"the key {short(key.value)} is given twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                keys.add(key.value)
        return super().construct_mapping(node, deep)


def _load(file: Path) -> dict[str, Any]:
    try:
        raw: Any = yaml.load(file.read_bytes(), Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        raise InputError(f"{file} is no YAML{where} ({error.problem}); correct it.") from error
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        what = " ".join(str(error).split())
        raise InputError(f"{file} cannot be read as YAML ({what}); correct it or export it again.") from error
    if not isinstance(raw, dict):
        what = flaw(file) or "has no names, train and val; give YOLO's data.yaml"
        raise InputError(f"{file} {what}.")
    return raw


def _names(raw: dict[str, Any], file: Path) -> dict[int, str]:
    given, nc = raw.get("names"), raw.get("nc", "")
    number = as_whole(nc)
    if nc not in _NOTHING and (number is None or number < 0 or (not given and number > _UNNAMED)):
        raise InputError(f"{file} has {short(nc)} as nc; write the number of its classes, or only their names.")
    if not given and number is not None:  # as Ultralytics names them
        return {label: f"class_{label}" for label in range(number)}
    pairs = list(given.items() if isinstance(given, dict) else enumerate(given) if isinstance(given, list) else [])
    names: dict[int, str] = {}
    for key, name in pairs:
        label = as_whole(key)
        if label is None or label < 0 or not isinstance(name, str):
            raise InputError(
                f"{file} has {short(key)}: {short(name)} among its names; write a number and a name for each class."
            )
        names[label] = name
    if number is not None and number != len(names):
        raise InputError(f"{file} has {len(names)} names but nc is {number}; correct one of them.")
    return names


def _of_folder(file: Path) -> Description:
    """What classes.txt, in the dataset's folder or in labels/, and the folders in images/ say."""
    root = root_of(file)
    lines = [line.strip() for line in whole_text(file).rstrip().splitlines()]
    if "" in lines:
        raise InputError(f"{file} has an empty line {lines.index('') + 1}; write a class on each line, or remove it.")
    images = Listings().descend(str(root), ("images",))
    if images is None:
        raise InputError(f"{file} has no folder named images beside it; give the dataset's data.yaml.")
    below = {name: SPLIT_WORDS.get(name.lower()) for name in sorted(Listings().of(images).folders)}
    splits: dict[str, list[str]] = {}
    for name, split in below.items():
        if split is not None:
            splits.setdefault(split, []).append(f"images/{name}")
    return Description(dict(enumerate(lines)), [root], splits or {"train": ["images"]})


def root_of(classes: Path) -> Path:
    """Returns the folder of the dataset whose classes.txt this is."""
    return classes.parent.parent if classes.parent.name.lower() == "labels" else classes.parent
