"""Finds the dataset's images that a file of detections names, by ids of another type or by file names."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from uncrowd.data.formats.values import as_known
from uncrowd.structures import ImageId

# The id of an image as it stands in a file of detections.
FoundId = int | float | str


def index_images(found: Iterable[FoundId], ids: Sequence[ImageId], file_names: Sequence[str]) -> dict[FoundId, int]:
    """Returns the index in `ids` of each image that a file of detections names; images the dataset lacks are left out.

    file_names: those of the dataset's images, in the order of `ids`. They are used only if not all ids match, and only
    if each image in the file is the path, name or stem of exactly one of them.
    """
    found = set(found)
    by_id = _among(found, {id: index for index, id in enumerate(ids)})
    if len(by_id) == len(found):
        return by_id
    by_name = _among(found, _unique_names(file_names))
    return by_name if len(by_name) == len(found) else by_id


def _among(found: set[FoundId], index_of: dict[ImageId, int]) -> dict[FoundId, int]:
    known = {id: as_known(id, index_of) for id in found}
    return {id: index_of[key] for id, key in known.items() if key is not None}


def _unique_names(file_names: Sequence[str]) -> dict[ImageId, int]:
    """Returns the index of each path, file name and stem that only one image has."""
    indices: dict[ImageId, set[int]] = {}
    for index, path in enumerate(file_names):
        for name in (path, PurePosixPath(path).name, PurePosixPath(path).stem):
            indices.setdefault(name, set()).add(index)
    return {name: min(of) for name, of in indices.items() if len(of) == 1}
