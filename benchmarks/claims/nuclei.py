"""Crowds composed of cut-outs of real cell nuclei, which overlap each other up to a chosen IoU.

Those of the test split are composed of the nuclei of test images; see `nuclei_images` for the source.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.claims.datasets import MadeCrowds, made_once, require_real
from benchmarks.claims.nuclei_images import names_of_test, read_masks
from hotcoco import mask as masks
from jaxtyping import Bool, Float, Float64
from PIL import Image, ImageFilter

from uncrowd.boxes import pairwise_iou
from uncrowd.errors import InputError

# Nuclei of these sides are cut out, from images that show at least so many of them.
SIDES, FEWEST = (10, 56), 4
# Nuclei let light through: a hidden one stays visible below the one in front.
OPACITY = 0.8
# The share of nuclei that are put beside another, the least IoU aimed at there, and the places tried for each.
BESIDE, LEAST_IOU, TRIES = 0.75, 0.1, 30


@dataclass(frozen=True, kw_only=True)
class ComposedNuclei(MadeCrowds):
    """Composed crowds: their pairs overlap up to an IoU of `overlap`, and each shows the nuclei of one source image."""

    overlap: float = 0.85

    @property
    def name(self) -> str:
        """The dataset in a word, such as nuclei-composed-0.85."""
        return f"nuclei-composed-{self.overlap:g}"

    def write(self, parent: Path, real: Path | None = None) -> Path:
        """Returns the folder of the dataset below `parent`, and composes it if it is not there.

        real: the folder that has the source as `nuclei`. Raises InputError if it is None or the source is not there.
        """
        source = require_real(real, "nuclei")

        def compose(folder: Path) -> None:
            for seed, (split, count) in enumerate({"train": self.train, "val": self.val, "test": self.test}.items()):
                _write_split(folder, split, self, read_source(source, split), count, seed)

        return made_once(parent / self.name, compose)


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """The pixels of a nucleus in its tight box, RGB in 0-255, and the share of each that it covers."""

    rgb: Float[np.ndarray, "h w 3"]
    cover: Float[np.ndarray, "h w"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """An image without its nuclei, RGB in 0-255, and those that are cut out."""

    ground: Float[np.ndarray, "h w 3"]
    cutouts: list[Cutout]


def read_source(folder: Path, split: str) -> list[Source]:
    """Returns the source images of a split that show enough nuclei. Raises InputError if there are none."""
    of_test = names_of_test()
    of_file = "val" if split == "val" else "train"
    try:
        records = json.loads((folder / f"instances_{of_file}.json").read_text(encoding="utf-8"))
        encoded = read_masks(folder, of_file)
    except OSError as error:
        raise InputError(f"{folder} cannot be read as nuclei with masks: {error}.") from error
    of_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in records["annotations"]:
        of_image.setdefault(annotation["image_id"], []).append(encoded[str(annotation["id"])])
    sources = [
        _source(np.asarray(Image.open(folder / "images" / image["file_name"]).convert("RGB")), of_image[image["id"]])
        for image in records["images"]
        if image["id"] in of_image and (split == "val" or (image["file_name"] in of_test) == (split == "test"))
    ]
    usable = [source for source in sources if len(source.cutouts) >= FEWEST]
    if not usable:
        raise InputError(f"{folder} has no image for {split} with {FEWEST} nuclei of {SIDES[0]} to {SIDES[1]} pixels.")
    return usable


def compose_crowd(
    config: ComposedNuclei, source: Source, rng: np.random.Generator
) -> tuple[Float[np.ndarray, "h w 3"], Float64[np.ndarray, "n 4"]]:
    """Returns an image, RGB in 0-255, and the whole boxes of its nuclei in pixels, farthest first."""
    image, boxes = _ground(source.ground, config.size, rng), np.zeros((0, 4))
    for _ in range(rng.integers(*config.objects, endpoint=True)):
        cutout = _turned(source.cutouts[rng.integers(len(source.cutouts))], rng)
        box = _place(config, cutout.cover.shape, boxes, rng)
        if box is None:
            continue
        x1, y1, x2, y2 = box.astype(int)
        pixels, cover = image[y1:y2, x1:x2], OPACITY * cutout.cover[..., None]
        pixels += cover * (cutout.rgb - pixels)
        boxes = np.concatenate([boxes, box[None]])
    return image, boxes


def _source(pixels: np.ndarray, encoded: list[dict[str, Any]]) -> Source:
    rgb = pixels.astype(np.float32)
    height, width = rgb.shape[:2]
    everywhere = np.zeros((height, width), dtype=bool)
    cutouts: list[Cutout] = []
    for each in encoded:
        mask = masks.decode(each).astype(bool)  # pyright: ignore[reportArgumentType]
        everywhere |= mask
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            continue
        (y1, y2), (x1, x2) = ((ends[0], ends[-1] + 1) for ends in (rows, columns))
        is_whole = y1 > 0 and x1 > 0 and y2 < height and x2 < width
        if is_whole and SIDES[0] <= min(y2 - y1, x2 - x1) and max(y2 - y1, x2 - x1) <= SIDES[1]:
            cutouts.append(Cutout(rgb=rgb[y1:y2, x1:x2], cover=_soft(mask[y1:y2, x1:x2])))
    around = _grown(everywhere)
    ground = rgb.copy()
    if not around.all():
        ground[around] = np.median(rgb[~around], axis=0)
    return Source(ground=ground, cutouts=cutouts)


def _soft(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Returns the mask with a soft edge, which stays inside it."""
    blurred = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.BoxBlur(1))
    return np.asarray(blurred, dtype=np.float32) / 255 * mask


def _grown(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Returns the mask with 3 pixels around it, in which nuclei still shine."""
    return np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(7))) > 0


def _ground(
    ground: Float[np.ndarray, "h w 3"], size: tuple[int, int], rng: np.random.Generator
) -> Float[np.ndarray, "h w 3"]:
    """Returns a random window of the ground, mirrored at its edges where it is too small."""
    missing = [(0, max(side - given, 0)) for side, given in zip(size, ground.shape[:2], strict=True)]
    padded = np.pad(ground, [*missing, (0, 0)], mode="symmetric")
    top, left = (int(rng.integers(given - side + 1)) for side, given in zip(size, padded.shape[:2], strict=True))
    return padded[top : top + size[0], left : left + size[1]].copy()


def _turned(cutout: Cutout, rng: np.random.Generator) -> Cutout:
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    rgb, cover = np.rot90(cutout.rgb, turns), np.rot90(cutout.cover, turns)
    return Cutout(rgb=rgb[:, ::-1] if mirrored else rgb, cover=cover[:, ::-1] if mirrored else cover)


def _place(
    config: ComposedNuclei, sides: tuple[int, ...], boxes: Float64[np.ndarray, "n 4"], rng: np.random.Generator
) -> Float64[np.ndarray, " 4"] | None:
    """Returns a box of (height, width) `sides` that overlaps none by more than the limit; None if none was found.

    Most are put beside another, on a line through its centre, where their IoU is nearest to a random aim.
    """
    size, canvas = np.array(sides[1::-1], dtype=float), np.array(config.size[::-1], dtype=float)
    for _ in range(TRIES):
        corners = np.floor(rng.uniform(0, 1, 2) * (canvas - size + 1))[None]
        aim = 0.0
        if len(boxes) and rng.random() < BESIDE:
            other, angle = boxes[rng.integers(len(boxes))], rng.uniform(0, 2 * np.pi)
            steps = np.linspace(0, 1.5 * max(other[2:] - other[:2]), 60)[:, None]
            centre = (other[:2] + other[2:] - size) / 2
            corners = np.round(centre + steps * (np.cos(angle), np.sin(angle)))
            aim = rng.uniform(LEAST_IOU, config.overlap)
        places = np.concatenate([corners, corners + size], axis=1)
        ious = pairwise_iou(torch.from_numpy(places), torch.from_numpy(boxes)).numpy().max(axis=1, initial=0)
        fits = (places[:, :2] >= 0).all(axis=1) & (places[:, 2:] <= canvas).all(axis=1) & (ious <= config.overlap)
        if fits.any():
            return places[fits][np.abs(ious[fits] - aim).argmin()]
    return None


def _write_split(
    folder: Path, split: str, config: ComposedNuclei, sources: list[Source], count: int, seed: int
) -> None:
    images, annotations = [], []
    (folder / split).mkdir(parents=True)
    (folder / "annotations").mkdir(exist_ok=True)
    for number in range(1, count + 1):
        rng = np.random.default_rng((seed, number))
        pixels, boxes = compose_crowd(config, sources[rng.integers(len(sources))], rng)
        name = f"{number:06d}.jpg"
        Image.fromarray(np.clip(pixels.round(), 0, 255).astype(np.uint8)).save(folder / split / name, quality=92)
        images.append({"id": number, "file_name": name, "height": config.size[0], "width": config.size[1]})
        for x1, y1, x2, y2 in boxes.tolist():
            box, identity = [x1, y1, x2 - x1, y2 - y1], len(annotations) + 1
            annotation = {"id": identity, "image_id": number, "category_id": 1, "bbox": box, "iscrowd": 0}
            annotations.append({**annotation, "area": box[2] * box[3]})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "nucleus"}]}
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content), encoding="utf-8")
