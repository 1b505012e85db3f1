"""Draws seeded crowded scenes with controlled overlap, and writes them as a COCO dataset.

People, dogs and balls stand on a textured ground that is seen from slightly above. An object that is lower in the image
is nearer: it is larger and in front of those farther away. An object that others hide keeps its full box, as in
CrowdHuman. A box that leaves the image, by at most about a third, is clipped, as in COCO.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor

from uncrowd import boxes as box_ops
from uncrowd.data.synthetic.figures import ball, bounds, dog, person, render
from uncrowd.data.synthetic.ground import draw_grain, draw_ground
from uncrowd.data.synthetic.painting import Placed, paint, visible_shares
from uncrowd.errors import InputError
from uncrowd.structures import Categories

# COCO's ids of these classes; they are not contiguous, so code that takes an id for a label fails.
CATEGORIES = Categories(ids=(1, 18, 37), names=("person", "dog", "sports ball"))
FIGURES = (person, dog, ball)
FREQUENCIES = (0.5, 0.25, 0.25)

# The height of a person far away and nearby, as a share of the image's short side.
SCALES = (0.26, 0.62)
# The share of a box that must be in the image; it is more than half, so the centre is inside too.
MIN_INSIDE = 0.65
# The number of places compared for each object, and of the best ones tried before the object is left out.
PLACES = 128
TRIES = 32
# How far the sum of best IoUs may stray from its aim while a scene is built, so that overlaps vary.
STRAY = 0.3
# The cost of overlapping more than one object, which makes many small groups instead of one heap.
EXTRA_COST = 0.3


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """The kind of scenes to draw. Raises InputError if a value is out of range.

    size: (height, width) of the image. objects: the fewest and the most objects in an image; all numbers between are
    equally likely. overlap: the average of `mean_best_iou` over scenes. textures: the family of grounds and surfaces;
    families share no texture, so test scenes can differ from training scenes. min_visible: the share of each object
    that must be visible. classes: names of `CATEGORIES`; no others are drawn, and a dataset has no others. scale: a
    factor on the size of all objects.
    """

    size: tuple[int, int] = (192, 256)
    objects: tuple[int, int] = (8, 16)
    overlap: float = 0.3
    textures: int = 0
    min_visible: float = 0.25
    classes: tuple[str, ...] = CATEGORIES.names
    scale: float = 1.0

    def __post_init__(self) -> None:
        if min(self.size) < 32:
            raise InputError(f"Scenes of {self.size} pixels are too small to draw in; use 32 or more for each side.")
        if not 0 <= self.objects[0] <= self.objects[1]:
            raise InputError(f"objects is {self.objects}; give the fewest, then the most.")
        if self.textures < 0:
            raise InputError(f"There is no texture family {self.textures}; use 0 or more.")
        if not 0 <= self.overlap <= 0.5:
            raise InputError(f"overlap is {self.overlap}; use 0 to 0.5.")
        if not 0 <= self.min_visible <= 0.5:
            raise InputError(f"min_visible is {self.min_visible}; use 0 to 0.5.")
        if not self.classes or not set(self.classes) <= set(CATEGORIES.names):
            raise InputError(f"classes is {self.classes}; use one or more of {', '.join(CATEGORIES.names)}.")
        if not 32 / min(self.size) <= self.scale <= 1:
            least = 32 / min(self.size)
            raise InputError(f"scale is {self.scale}; use {least:.2g} to 1, so that objects are large enough to draw.")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """An image (RGB) and its objects, farthest first.

    boxes: those of the whole silhouettes, hidden or not, clipped to the image, in image pixels. labels: indices into
    `CATEGORIES`. visible: the share of each silhouette in the image that no other object hides.
    """

    image: UInt8[np.ndarray, "h w 3"]
    boxes: Float[np.ndarray, "n 4"]
    labels: Int64[np.ndarray, " n"]
    visible: Float[np.ndarray, " n"]


def mean_best_iou(boxes: list[Float[np.ndarray, "_ 4"]]) -> float:
    """Returns how crowded images are: each object's largest IoU with another in its image, averaged over all objects.

    boxes: one array of xyxy boxes for each image. An object that is alone counts as 0. Without objects, it returns 0.
    """
    best = [_best_ious(torch.from_numpy(image)) for image in boxes if len(image)]
    return torch.cat(best).mean().item() if best else 0.0


def draw_scene(config: SceneConfig, seed: int | tuple[int, ...]) -> Scene:
    """Draws the scene of this seed, which is always the same. An object is left out if a crowd has no place for it."""
    ground, objects = place_objects(config, np.random.default_rng(seed))
    return Scene(
        image=paint(ground, objects),
        boxes=np.array([placed.box for placed in objects]).reshape(-1, 4),
        labels=np.array([placed.label for placed in objects], dtype=np.int64),
        visible=visible_shares(objects, config.size),
    )


def place_objects(
    config: SceneConfig, generator: np.random.Generator
) -> tuple[Float[np.ndarray, "h w 3"], list[Placed]]:
    """Returns the ground of a scene, RGB in [0, 1], and its objects, farthest first."""
    ground_rng, rng = generator.spawn(2)
    height, width = config.size
    horizon = float(height * ground_rng.uniform(0.12, 0.28))
    ground = draw_ground(config.textures, ground_rng, height, width, horizon)
    grain = draw_grain(config.textures, ground_rng, min(config.size))
    objects: list[Placed] = []
    for _ in range(rng.integers(*config.objects, endpoint=True)):
        placed = _place(config, objects, horizon, grain, rng)
        if placed is not None:
            objects.append(placed)
    return ground, sorted(objects, key=lambda placed: placed.feet)


def write_dataset(folder: Path, split: str, config: SceneConfig, images: int, seed: int) -> Path:
    """Writes scenes as FOLDER/SPLIT/000001.jpg ... and FOLDER/annotations/instances_SPLIT.json, and returns the latter.

    The same arguments write the same bytes, so splits need different seeds to have different images. Raises InputError
    if the folder cannot be written to.
    """
    scenes = (draw_scene(config, (seed, index)) for index in range(images))
    annotation_file = folder / "annotations" / f"instances_{split}.json"
    records, annotations = [], []
    try:
        (folder / split).mkdir(parents=True, exist_ok=True)
        annotation_file.parent.mkdir(exist_ok=True)
        for image_id, scene in enumerate(scenes, start=1):
            name = f"{image_id:06d}.jpg"
            Image.fromarray(scene.image).save(folder / split / name, quality=92)
            records.append({"id": image_id, "file_name": name, "height": config.size[0], "width": config.size[1]})
            annotations += _annotations(scene, image_id, first_id=len(annotations) + 1)
        annotation_file.write_text(json.dumps(_coco(records, annotations, config.classes)), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error}); give another folder.") from error
    return annotation_file


def _place(
    config: SceneConfig,
    others: list[Placed],
    horizon: float,
    grain: Float[np.ndarray, "gh gw"],
    rng: np.random.Generator,
) -> Placed | None:
    """Places one more object where the overlap gets closest to its aim; None if every place hides too much."""
    label = int(rng.choice(len(FIGURES), p=_frequencies(config.classes)))
    figure = FIGURES[label](rng)
    places = _candidates(config, others, horizon, rng)
    x, y, scale = places.T
    boxes = bounds(figure) * scale[:, None] + np.stack([x, y, x, y], axis=1)
    clipped = box_ops.clip(torch.from_numpy(boxes), *config.size)
    is_inside = box_ops.area(clipped) >= MIN_INSIDE * box_ops.area(torch.from_numpy(boxes))
    stray = STRAY if config.overlap else 0.0  # an aim above 0 would make objects overlap
    aim = config.overlap * (len(others) + 1) + rng.uniform(-stray, stray)
    sums, extra = _overlaps(clipped, others)
    misses = (sums - aim).abs() + EXTRA_COST * extra
    best_first = [index for index in misses.argsort(stable=True).tolist() if is_inside[index]]
    for index in best_first[:TRIES]:
        sprite = render(figure, x[index], y[index], scale[index], grain)
        candidate = Placed(label=label, whole=boxes[index], box=clipped[index].numpy(), feet=y[index], sprite=sprite)
        everyone = sorted([*others, candidate], key=lambda placed: placed.feet)
        if visible_shares(everyone, config.size).min() >= config.min_visible:
            return candidate
    return None


def _frequencies(classes: tuple[str, ...]) -> Float[np.ndarray, " c"]:
    """Returns the probability of each class of `CATEGORIES`: 0 for one that is not drawn."""
    drawn = np.array(FREQUENCIES) * [name in classes for name in CATEGORIES.names]
    return drawn / drawn.sum()


def _candidates(
    config: SceneConfig, others: list[Placed], horizon: float, rng: np.random.Generator
) -> Float[np.ndarray, "places 3"]:
    """Returns places to stand and their scales, (x, y, pixels for a figure's unit): half random, half beside others."""
    height, width = config.size
    x = rng.uniform(0.02 * width, 0.98 * width, PLACES)
    y = rng.uniform(horizon + 0.08 * height, 1.05 * height, PLACES)
    if others:
        half = PLACES // 2
        beside = [others[index].box for index in rng.integers(len(others), size=half)]
        x1, y1, x2, y2 = np.stack(beside, axis=1)
        x[:half] = (x1 + x2) / 2 + rng.normal(0, 0.4, half) * (x2 - x1)
        y[:half] = np.clip(y2 + rng.normal(0, 0.15, half) * (y2 - y1), y.min(), 1.05 * height)
    nearness = (y - horizon) / (height - horizon)
    unit = config.scale * min(height, width)
    scale = unit * (SCALES[0] + (SCALES[1] - SCALES[0]) * nearness) * rng.uniform(0.85, 1.15, PLACES)
    return np.stack([x, y, scale], axis=1)


def _overlaps(
    candidates: Float[Tensor, "places 4"], others: list[Placed]
) -> tuple[Float[Tensor, " places"], Float[Tensor, " places"]]:
    """Returns, for a further object at each candidate, the sum of all best IoUs, and the sum of its own other IoUs."""
    if not others:
        return candidates.new_zeros(len(candidates)), candidates.new_zeros(len(candidates))
    boxes = torch.from_numpy(np.array([other.box for other in others]))
    ious = box_ops.pairwise_iou(candidates, boxes)
    own = ious.amax(dim=1)
    return torch.maximum(ious, _best_ious(boxes)).sum(dim=1) + own, ious.sum(dim=1) - own


def _best_ious(boxes: Float[Tensor, "n 4"]) -> Float[Tensor, " n"]:
    return box_ops.pairwise_iou(boxes, boxes).fill_diagonal_(0).amax(dim=1)


def _annotations(scene: Scene, image_id: int, first_id: int) -> list[dict[str, object]]:
    # Corners are rounded before they become sizes, so that no box leaves the image.
    boxes_xywh = box_ops.xyxy_to_xywh(torch.from_numpy(scene.boxes.round(2))).tolist()
    return [
        {
            "id": first_id + index,
            "image_id": image_id,
            "category_id": CATEGORIES.ids[label],
            "bbox": [round(value, 2) for value in box],
            "area": round(box[2] * box[3], 2),
            "iscrowd": 0,
            "visible": round(visible, 3),
        }
        for index, (box, label, visible) in enumerate(
            zip(boxes_xywh, scene.labels.tolist(), scene.visible.tolist(), strict=True)
        )
    ]


def _coco(
    images: list[dict[str, object]], annotations: list[dict[str, object]], classes: tuple[str, ...]
) -> dict[str, object]:
    return {
        "info": {"description": "Synthetic crowded scenes, drawn by uncrowd"},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": id_, "name": name}
            for id_, name in zip(CATEGORIES.ids, CATEGORIES.names, strict=True)
            if name in classes
        ],
    }
