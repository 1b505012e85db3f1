"""Hands samples and detections to hotcoco, under numbers of our own: ids of images may be texts."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import hotcoco
import numpy as np
from jaxtyping import Float

from uncrowd.evaluation.protocol import check_same_dataset
from uncrowd.structures import Categories, Detections, ImageId, Sample


def match_all(
    samples: Sequence[Sample],
    detections: Mapping[ImageId, Detections],
    categories: Categories,
    *,
    ious: Sequence[float],
    max_dets: int,
) -> hotcoco.COCOeval:
    """Returns hotcoco's matching of all images at once, which holds what its analyses need.

    The images have the numbers 1, 2, ... in the order of `samples`, and the classes their labels. Only objects of any
    size are matched. max_dets: the most detections of an image and class that count. Raises InputError for detections
    of images or classes that the dataset does not have.
    """
    check_same_dataset(samples, detections, categories)
    annotation_ids = count(1)
    numbered = list(enumerate(samples, start=1))
    truth = hotcoco.COCO(
        {
            "images": [{"id": number} for number, _ in numbered],
            "annotations": [a for number, sample in numbered for a in ground_truth(number, sample, annotation_ids)],
            "categories": hotcoco_categories(categories),
        }
    )
    rows = [hotcoco_detections(number, detections.get(sample.id)) for number, sample in numbered]
    matching = hotcoco.COCOeval(truth, truth.load_res(np.concatenate([np.zeros((0, 7)), *rows])), "bbox")
    params = matching.params
    params.iou_thrs, params.max_dets = list(ious), [max_dets]
    params.area_rng, params.area_rng_lbl = [[0.0, 1e10]], ["all"]
    matching.params = params
    matching.evaluate()
    return matching


def most_in_an_image(detections: Mapping[ImageId, Detections]) -> int:
    """Returns the largest number of detections of an image, at least 1."""
    return max(1, *map(len, detections.values())) if detections else 1


def in_pycocotools_order(samples: Iterable[Sample]) -> list[Sample]:
    """Returns the samples by id, as pycocotools sorts images; their order breaks ties between equal scores."""
    return sorted(samples, key=lambda sample: (isinstance(sample.id, str), sample.id))


def hotcoco_categories(categories: Categories) -> list[dict[str, Any]]:
    """Returns the classes with their labels as ids."""
    return [{"id": label, "name": name} for label, name in enumerate(categories.names)]


def ground_truth(number: int, sample: Sample, annotation_ids: Iterable[int]) -> list[dict[str, Any]]:
    """Returns the annotations of image `number`; what is ignored is a crowd."""
    columns = (_xywh(sample.boxes).tolist(), sample.labels.tolist(), sample.areas.tolist(), sample.ignore.tolist())
    return [
        {"id": id, "image_id": number, "category_id": label, "bbox": box, "area": area, "iscrowd": int(ignore)}
        for box, label, area, ignore, id in zip(*columns, annotation_ids, strict=False)
    ]


def hotcoco_detections(number: int, found: Detections | None) -> Float[np.ndarray, "n 7"]:
    """Returns one row per detection: image, x, y, width, height, score, class."""
    if found is None:
        return np.zeros((0, 7))
    rows = np.empty((len(found), 7))
    rows[:, 0] = number
    rows[:, 1:5] = _xywh(found.boxes.numpy())
    rows[:, 5] = found.scores.numpy()
    rows[:, 6] = found.labels.numpy()
    assert np.isfinite(rows).all(), "a detection is NaN or infinite"
    return rows


def _xywh(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    """Converts xyxy boxes of one image to xywh in fp64, in which the difference of two fp32 numbers is exact."""
    boxes = boxes.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes
