"""Keeps the detections of a test split in a small file, so that a new measure needs no new training."""

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from uncrowd.errors import InputError
from uncrowd.structures import Categories, Detections, ImageId
from uncrowd.whole_file import whole_file


def write_kept(file: Path, detections: Mapping[ImageId, Detections], *, best: int) -> None:
    """Writes the `best` detections of each image as a compressed npz, whole or not at all.

    It has float16 boxes (xyxy, in image pixels) and scores, labels, and for each image its id and number of
    detections. Raises InputError if the file cannot be written.
    """
    found = list(detections.values())
    arrays = {
        "ids": np.array(list(detections)),
        "counts": np.array([min(len(each), best) for each in found], dtype=np.int32),
        "boxes": np.concatenate([np.zeros((0, 4)), *(each.boxes[:best].numpy() for each in found)]).astype(np.float16),
        "scores": np.concatenate([np.zeros(0), *(each.scores[:best].numpy() for each in found)]).astype(np.float16),
        "labels": np.concatenate([np.zeros(0), *(each.labels[:best].numpy() for each in found)]).astype(np.uint8),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as beside, beside.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def read_kept(file: Path, categories: Categories) -> dict[ImageId, Detections]:
    """Returns the detections of each image in fp32, best first. Raises InputError if they cannot be read."""
    try:
        with np.load(file) as content:
            arrays = {name: content[name] for name in ("ids", "counts", "boxes", "scores", "labels")}
    except (OSError, EOFError, BadZipFile, ValueError, KeyError) as error:
        raise InputError(f"{file} cannot be read as kept detections: {error}.") from error
    ends = np.cumsum(arrays["counts"])
    return {
        id: Detections(
            boxes=torch.from_numpy(arrays["boxes"][end - count : end].astype(np.float32)),
            scores=torch.from_numpy(arrays["scores"][end - count : end].astype(np.float32)),
            labels=torch.from_numpy(arrays["labels"][end - count : end].astype(np.int64)),
            categories=categories,
        )
        for id, count, end in zip(arrays["ids"].tolist(), arrays["counts"], ends, strict=True)
    }
