"""The formats in which `uncrowd predict` writes detections beside its own JSON."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from uncrowd.data.results.coco_dataset import writing_coco_dataset
from uncrowd.data.results.crops import crops_folder, writing_crops
from uncrowd.data.results.csv_rows import writing_csv
from uncrowd.data.results.found import Write
from uncrowd.data.results.odgt import writing_odgt
from uncrowd.data.results.voc import voc_file, writing_voc
from uncrowd.data.results.yolo import CLASSES, writing_yolo, yolo_file
from uncrowd.structures import Categories

# coco: a dataset in one JSON. csv: a row for each detection. yolo, voc: a file for each image. odgt: CrowdHuman's.
# crops: an image for each detection.
ResultFormat = Literal["coco", "csv", "yolo", "voc", "odgt", "crops"]
# These have files for each image. The others have one file for all.
OF_EACH_IMAGE: tuple[ResultFormat, ...] = ("yolo", "voc", "crops")


def writing(format: ResultFormat, folder: Path, categories: Categories) -> AbstractContextManager[Write]:
    """Returns a context that yields a function, which writes one image with its detections into `folder`."""
    match format:
        case "coco":
            return writing_coco_dataset(folder / "coco.json", categories)
        case "csv":
            return writing_csv(folder / "detections.csv")
        case "yolo":
            return writing_yolo(folder, categories)
        case "voc":
            return writing_voc(folder)
        case "odgt":
            return writing_odgt(folder / "detections.odgt")
        case "crops":
            return writing_crops(folder)


def files_of(format: ResultFormat, names: Sequence[Path]) -> list[Path]:
    """Returns the files and folders, relative to that folder, that are written for images of these names."""
    match format:
        case "coco":
            return [Path("coco.json")]
        case "csv":
            return [Path("detections.csv")]
        case "yolo":
            return [CLASSES, *map(yolo_file, names)]
        case "voc":
            return list(map(voc_file, names))
        case "odgt":
            return [Path("detections.odgt")]
        case "crops":
            return list(map(crops_folder, names))
