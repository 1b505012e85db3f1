"""The pictures of a report: the worst and the best, detections beside ground truth, right and wrong told apart."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8
from PIL import Image

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.picture import read_picture
from uncrowd.errors import InputError
from uncrowd.evaluation.coco import PictureScore
from uncrowd.evaluation.matching import Match, match_picture
from uncrowd.structures import Detections, PictureId, Sample
from uncrowd.visualize.draw import PALETTE, draw_detections

# How many of each kind, and the long side that larger pictures are reduced to: 24 drawings must stay a page to mail.
MOST = 6
LONG_SIDE = 800
QUALITY = 78

# Positions in the palette that stay distinct for the colour-blind.
RIGHT, WRONG, MISSED, IGNORED = 1, 2, 0, 11
COLOURS = {
    name: "rgb({}, {}, {})".format(*PALETTE[colour])
    for name, colour in {"right": RIGHT, "wrong": WRONG, "missed": MISSED, "ignored": IGNORED}.items()
}


@dataclass(frozen=True, kw_only=True)
class ShownPicture:
    """A picture's name and score, and its two drawings as data addresses, both of `size` (height, width)."""

    name: str
    score: PictureScore
    detections: str
    truth: str
    size: tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class ShownPictures:
    """What the report shows, and why some pictures could not be."""

    worst: list[ShownPicture]
    best: list[ShownPicture]
    unreadable: list[str]


def best_and_worst(
    ranked: Sequence[PictureScore],
    dataset: DetectionDataset,
    detections: Mapping[PictureId, Detections],
    threshold: float,
) -> ShownPictures:
    """Draws up to six pictures with mistakes, the worst first, and up to six with finds, the best first.

    ranked: the worst first, at `threshold`. No picture is in both; of few pictures each gets its half.
    """
    indices = {sample_id: index for index, sample_id in enumerate(dataset.ids.tolist())}
    unreadable: list[str] = []

    def shown(scores: Iterable[PictureScore], most: int) -> list[ShownPicture]:
        pictures: list[ShownPicture] = []
        for score in scores:
            if len(pictures) == most:
                break
            try:
                pictures.append(_shown(dataset[indices[score.id]], score, detections.get(score.id), threshold))
            except InputError as error:
                unreadable.append(str(error))
        return pictures

    most = min(MOST, -(-len(ranked) // 2))
    worst = shown([score for score in ranked if score.f1 < 1], most)
    taken = {picture.score.id for picture in worst}
    # Of pictures without a mistake, the fullest was the hardest.
    with_finds = [score for score in ranked if score.found and score.id not in taken]
    best = shown(sorted(with_finds, key=lambda score: (-score.f1, -score.found)), most)
    return ShownPictures(worst=worst, best=best, unreadable=list(dict.fromkeys(unreadable)))


def _shown(sample: Sample, score: PictureScore, detections: Detections | None, threshold: float) -> ShownPicture:
    picture, scale = _reduced(read_picture(sample.path, sample.size))
    found = detections.above(threshold) if detections is not None else None
    match = match_picture(sample, found) if found is not None else None
    drawn = _draw_detections(picture, found, match, scale)
    return ShownPicture(
        name=sample.path.name,
        score=score,
        detections=_data_address(drawn),
        truth=_data_address(_draw_truth(picture, sample, match, scale)),
        size=drawn.shape[:2],
    )


def _draw_detections(
    picture: UInt8[np.ndarray, "h w 3"], found: Detections | None, match: Match | None, scale: Float64[np.ndarray, " 4"]
) -> UInt8[np.ndarray, "height width 3"]:
    if found is None or match is None:
        return draw_detections(picture, np.zeros((0, 4)))
    captions = [f"{name} {score:.2f}" for name, score in zip(found.names, found.scores.tolist(), strict=True)]
    colours = np.where(match.right, RIGHT, np.where(match.ignored, IGNORED, WRONG))
    return draw_detections(picture, found.boxes.double().numpy() * scale, labels=colours, captions=captions)


def _draw_truth(
    picture: UInt8[np.ndarray, "h w 3"], sample: Sample, match: Match | None, scale: Float64[np.ndarray, " 4"]
) -> UInt8[np.ndarray, "height width 3"]:
    found = match.found if match is not None else np.zeros(len(sample.boxes), dtype=bool)
    colours = np.where(found, RIGHT, np.where(sample.ignore, IGNORED, MISSED))
    missed_on_top = np.argsort(np.where(found, 1, np.where(sample.ignore, 2, 0)), kind="stable")
    names = sample_names(sample)
    return draw_detections(
        picture,
        sample.boxes[missed_on_top] * scale,
        labels=colours[missed_on_top],
        captions=[names[i] for i in missed_on_top],
    )
