"""Draws the objects that somebody annotated in an image."""

import numpy as np
from jaxtyping import Float, UInt8

from uncrowd.structures import Categories, Sample
from uncrowd.visualize.draw import draw_detections


def draw_ground_truth(
    image: UInt8[np.ndarray, "h w 3"], sample: Sample, categories: Categories, scale: Float[np.ndarray, " 4"]
) -> UInt8[np.ndarray, "_height _width 3"]:
    """Draws the boxes of the sample, the smallest on top, with their classes if there are several.

    scale: factors for its boxes (x1, y1, x2, y2), if the image was resized. Ignored boxes are dashed and grey.
    """
    smallest_on_top = np.argsort(sample.areas, kind="stable")
    labels = sample.labels[smallest_on_top]
    return draw_detections(
        image,
        sample.boxes[smallest_on_top] * scale,
        labels=labels,
        captions=[categories.names[label] for label in labels.tolist()] if need_captions(categories) else None,
        ignored=sample.ignore[smallest_on_top],
    )


def need_captions(categories: Categories) -> bool:
    """Returns whether boxes get captions: with a single class, they would only hide the crowd."""
    return len(categories) > 1
