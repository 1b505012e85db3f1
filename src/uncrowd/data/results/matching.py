"""Finds the dataset's images that a file of detections names, by ids of another type or by file names."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath, PureWindowsPath

from uncrowd.data.formats.values import as_known
from uncrowd.structures import ImageId

# The id of an image as it stands in a file of detections.
FoundId = int | float | str


def index_images(found: Iterable[FoundId], ids: Sequence[ImageId], file_names: Sequence[str]) -> dict[FoundId, int]:
    """Returns the index in `ids` of each image that a file of detections names; images the dataset lacks are left out.

    file_names: those of the dataset's images, in the order of `ids`. They are used only if not all ids match, and only
    if each image in the file is the path, name or stem of exactly one of them, or has its name in another folder, and
    no two are the same.
    """
    found = set(found)
    by_id = _among({id: id for id in found}, {id: index for index, id in enumerate(ids)})
    if len(by_id) == len(found):
        return by_id
    index_of = _unique_names(file_names)
    by_name = _among({id: _without_folder(id) for id in found}, index_of) | _among({id: id for id in found}, index_of)
    return by_name if len(set(by_name.values())) == len(found) else by_id


def _among(meant: dict[FoundId, FoundId], index_of: dict[ImageId, int]) -> dict[FoundId, int]:
    known = {id: as_known(value, index_of) for id, value in meant.items()}
    return {id: index_of[key] for id, key in known.items() if key is not None}


def _without_folder(id: FoundId) -> FoundId:
    return PureWindowsPath(id).name if isinstance(id, str) else id  # both kinds of slashes


def _unique_names(file_names: Sequence[str]) -> dict[ImageId, int]:
    """Returns the index of each path, file name and stem that only one image has."""
    indices: dict[ImageId, set[int]] = {}
    for index, path in enumerate(file_names):
        for name in (path, PurePosixPath(path).name, PurePosixPath(path).stem):
            indices.setdefault(name, set()).add(index)
    return {name: min(of) for name, of in indices.items() if len(of) == 1}
