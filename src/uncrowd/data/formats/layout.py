"""Finding data: the annotation files of a folder, or of several datasets that are read as one, before they are read."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from uncrowd.data.formats.files import in_order
from uncrowd.data.formats.format import BoxKind, Format
from uncrowd.data.formats.passed_over import nothing_to_read, passed_over
from uncrowd.data.formats.recognise import FORMATS, format_of, readable
from uncrowd.errors import InputError

# A folder or an annotation file; "A,B" or a list of them is read as one dataset.
Data = str | Path | Sequence[str | Path]


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
        return list(in_order({split: part for part in self.parts.values() for split in part.annotations}))

    @property
    def files(self) -> list[Path]:
        """All annotation files."""
        return [file for part in self.parts.values() for file in part.annotations.values()]

    @property
    def not_read(self) -> tuple[str, ...]:
        """As in `Part`."""
        return tuple(sentence for part in self.parts.values() for sentence in part.not_read)


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


def require_boxes(layout: Layout, box: BoxKind) -> None:
    """Raises InputError when the format of the layout does not have this kind of box."""
    for part in layout.parts.values():
        if box not in part.format.boxes:
            raise InputError(
                f"{part.root} is {part.format.name}, which has no {box}, only one box an object; leave --box out."
            )
