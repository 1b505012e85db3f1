"""Reads and writes detections as COCO results or CrowdHuman's odgt; the content of a file says which it is."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from uncrowd.data.formats.odgt import is_odgt
from uncrowd.data.results.coco import CocoResults, read_coco_results, write_coco_results
from uncrowd.data.results.odgt import OdgtResults, read_odgt_results, write_odgt_results
from uncrowd.structures import Categories, Detections, ImageId


def read_results(path: Path) -> CocoResults | OdgtResults:
    """Reads a file of detections. Raises InputError as `read_coco_results` and `read_odgt_results` do."""
    as_odgt = path.is_file() and is_odgt(path)
    return (read_odgt_results if as_odgt else read_coco_results)(path)


def read_detections(
    path: Path, categories: Categories, ids: Iterable[ImageId], file_names: Iterable[str] = ()
) -> dict[ImageId, Detections]:
    """Returns the detections of each of the dataset's images `ids`, best first, in fp64; an image may have none.

    file_names: those of the images, which the file may give instead of ids. Raises InputError as `read_results` and
    `by_image` of its result do.
    """
    return read_results(path).by_image(categories, ids, file_names)


def write_detections(
    path: Path, detections: Mapping[ImageId, Detections], sizes: Mapping[ImageId, tuple[int, int]]
) -> None:
    """Writes odgt if the name ends in .odgt, else COCO results; `sizes` are the images' (height, width).

    Raises InputError as `write_coco_results` and `write_odgt_results` do.
    """
    if path.suffix == ".odgt":
        write_odgt_results(path, detections, sizes)
    else:
        write_coco_results(path, detections)
