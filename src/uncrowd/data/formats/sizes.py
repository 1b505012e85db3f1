"""The size of each image where annotation files may leave it out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from uncrowd.data.images.read import displayed_sizes
from uncrowd.errors import InputError

Size = tuple[int, int]


def known_sizes(
    ids: Sequence[str], written: Sequence[Size | None], paths: Sequence[Path] | None, given: Mapping[str, Size]
) -> list[Size | None]:
    """Returns (height, width) of each image as written, else from its file's header, else as given by id, else None.

    written: what the annotations say. paths: of the images; None where they were not found. A header is read only where
    nothing is written; its size is that after the EXIF orientation is applied.
    """
    unwritten = [row for row, size in enumerate(written) if size is None]
    found = [] if paths is None else displayed_sizes([paths[row] for row in unwritten])
    read = {row: size for row, size in zip(unwritten, found, strict=False) if not isinstance(size, InputError)}
    return [size or read.get(row) or given.get(id) for row, (id, size) in enumerate(zip(ids, written, strict=True))]
