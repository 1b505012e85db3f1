"""Draws the images of a report: the worst and the best, detections beside ground truth, coloured by right and wrong."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, UInt8
from PIL import Image

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.images.read import read_image
from uncrowd.errors import InputError
from uncrowd.evaluation.coco import ImageScore
from uncrowd.evaluation.matching import Match, match_image
from uncrowd.structures import Categories, Detections, ImageId, Sample
from uncrowd.visualize.draw import PALETTE, draw_detections

# The number of best and of worst images, and their longest side: with 24 drawings a page must be small enough to mail.
MOST = 6
LONG_SIDE = 800
QUALITY = 78

# Positions in the palette; these colours stay distinct for the colour-blind.
RIGHT, WRONG, MISSED, IGNORED = 1, 2, 0, 11
COLOURS = {
    name: "rgb({}, {}, {})".format(*PALETTE[colour])
    for name, colour in {"right": RIGHT, "wrong": WRONG, "missed": MISSED, "ignored": IGNORED}.items()
}


@dataclass(frozen=True, kw_only=True)
class ShownImage:
    """The name and score of an image, and its two drawings of `size` (height, width) as data URLs."""

    name: str
    score: ImageScore
    detections: str
    ground_truth: str
    size: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class ShownImages:
    """The images in the report, and for each image that cannot be read a sentence that says why."""

    worst: list[ShownImage]
    best: list[ShownImage]
    unreadable: list[str]


def best_and_worst(
    ranked: Sequence[ImageScore],
    dataset: DetectionDataset,
    detections: Mapping[ImageId, Detections],
    threshold: float,
    max_pixels: int,
) -> ShownImages:
    """Draws up to six images with mistakes, worst first, and up to six with found objects, best first.

    ranked: all images, worst first, scored at `threshold`. No image is in both lists; with fewer than twelve images,
    each list has at most half of them, rounded up. max_pixels: width times height up to which an image is read.
    """
    indices = {sample_id: index for index, sample_id in enumerate(dataset.ids.tolist())}
    categories = dataset.categories
    no_detections = Detections(
        boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64), categories=categories
    )
    unreadable: list[str] = []

    def shown(scores: Iterable[ImageScore], most: int) -> list[ShownImage]:
        images: list[ShownImage] = []
        for score in scores:
            if len(images) == most:
                break
            sample, found = dataset[indices[score.id]], detections.get(score.id, no_detections)
            try:
                image = read_image(sample.path, sample.size, max_pixels=max_pixels)
            except InputError as error:
                unreadable.append(str(error))
            else:
                images.append(_shown(image, sample, score, found, threshold, categories))
        return images

    most = min(MOST, -(-len(ranked) // 2))
    worst = shown([score for score in ranked if score.f1 < 1], most)
    taken = {image.score.id for image in worst}
    # Of images with the same F1, the one with the most found objects was the hardest.
    with_found = [score for score in ranked if score.found and score.id not in taken]
    best = shown(sorted(with_found, key=lambda score: (-score.f1, -score.found)), most)
    return ShownImages(worst=worst, best=best, unreadable=list(dict.fromkeys(unreadable)))


def _shown(
    image: UInt8[np.ndarray, "h w 3"],
    sample: Sample,
    score: ImageScore,
    detections: Detections,
    threshold: float,
    categories: Categories,
) -> ShownImage:
    image, scale = _reduced(image)
    found = detections.above(threshold)
    match = match_image(sample, found)
    drawn = _draw_detections(image, found, match, scale)
    return ShownImage(
        name=sample.path.name,
        score=score,
        detections=_data_url(drawn),
        ground_truth=_data_url(_draw_ground_truth(image, sample, match, scale, categories)),
        size=drawn.shape[:2],
    )


def _reduced(image: UInt8[np.ndarray, "h w 3"]) -> tuple[UInt8[np.ndarray, "_h _w 3"], Float64[np.ndarray, " 4"]]:
    """Returns the image with a long side of at most `LONG_SIDE`, and the factors for its boxes (x1, y1, x2, y2)."""
    height, width = image.shape[:2]
    factor = min(1.0, LONG_SIDE / max(height, width))
    if factor == 1:
        return image, np.ones(4)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    reduced = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
    return np.asarray(reduced), np.array([size[0] / width, size[1] / height] * 2)


def _draw_detections(
    image: UInt8[np.ndarray, "h w 3"], found: Detections, match: Match, scale: Float64[np.ndarray, " 4"]
) -> UInt8[np.ndarray, "height width 3"]:
    colours = np.where(match.right, RIGHT, np.where(match.ignored, IGNORED, WRONG))
    return draw_detections(image, found.boxes.double().numpy() * scale, labels=colours, captions=found.captions)


def _draw_ground_truth(
    image: UInt8[np.ndarray, "h w 3"],
    sample: Sample,
    match: Match,
    scale: Float64[np.ndarray, " 4"],
    categories: Categories,
) -> UInt8[np.ndarray, "height width 3"]:
    colours = np.where(match.found, RIGHT, np.where(sample.ignore, IGNORED, MISSED))
    missed_on_top = np.argsort(colours != MISSED, kind="stable")
    return draw_detections(
        image,
        sample.boxes[missed_on_top] * scale,
        labels=colours[missed_on_top],
        captions=[categories.names[label] for label in sample.labels[missed_on_top]],
    )


def _data_url(image: UInt8[np.ndarray, "h w 3"]) -> str:
    with io.BytesIO() as file:
        Image.fromarray(image).save(file, format="WEBP", quality=QUALITY)
        return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
