"""Boxes in another convention are found in a whole file, and boxes in ours give no alarm, wherever they lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uncrowd.data.formats.convention import (
    AREAS_OF_CORNERS,
    CENTRES,
    CORNERS,
    FRACTIONS,
    other_convention,
)

IMAGE_SIZES = np.array([(480, 640), (1080, 1920), (1200, 800)])
# The smallest and the largest side of a box as a share of its image, and how far beyond the edge its centre may be.
SCENES = {
    "any": (0.02, 0.9),
    "tiny": (0.002, 0.01),
    "small": (0.02, 0.15),
    "filling the image": (0.6, 1.0),
}


def draw(seed: int, count: int, scene: str, clip: str) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [x, y, width, height] of objects anywhere, and the (height, width) of their images.

    clip: "all" cuts them to their images, "none" leaves them as they are, as CrowdHuman does, and "above" lets them
    reach below their image alone, as people who stand near the camera do.
    """
    rng = np.random.default_rng(seed)
    sizes = IMAGE_SIZES[rng.integers(0, len(IMAGE_SIZES), count)]
    least, most = SCENES[scene]
    width_height = rng.uniform(least, most, (count, 2)) * sizes[:, ::-1]
    low = rng.uniform(0, 1, (count, 2)) * sizes[:, ::-1] - width_height / 2
    high = low + width_height
    if clip != "none":
        low, high[:, 0] = np.maximum(low, 0), np.minimum(high[:, 0], sizes[:, 1])
    if clip == "all":
        high[:, 1] = np.minimum(high[:, 1], sizes[:, 0])
    return np.concatenate([low, high - low], axis=1).round(2), sizes


scenes = st.builds(
    draw,
    st.integers(0, 2**32),
    st.integers(0, 300),
    st.sampled_from(sorted(SCENES)),
    st.sampled_from(["all", "none", "above"]),
)


def corners(boxes_xywh: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)


def centres(boxes_xywh: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes_xywh[:, :2] + boxes_xywh[:, 2:] / 2, boxes_xywh[:, 2:]], axis=1)


def fractions(boxes_xywh: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    return boxes_xywh / sizes[:, [1, 0, 1, 0]]


def areas(boxes_xywh: np.ndarray) -> np.ndarray:
    return boxes_xywh[:, 2] * boxes_xywh[:, 3]


@given(scene=scenes)
def test_boxes_in_our_convention_give_no_alarm(scene):
    boxes_xywh, sizes = scene
    assert other_convention(boxes_xywh, sizes, areas(boxes_xywh)) is None
    assert other_convention(boxes_xywh, sizes, 0.6 * areas(boxes_xywh)) is None  # of masks


@given(seed=st.integers(0, 2**32), scene=st.sampled_from(["any", "small", "filling the image"]))
def test_another_convention_is_found(seed, scene):
    boxes_xywh, sizes = draw(seed, 300, scene, "all")

    def found(boxes: np.ndarray, areas: np.ndarray | None = None):
        rule, mask = other_convention(boxes, sizes, areas) or (None, np.zeros(0))
        return rule if mask.any() else None

    assert found(corners(boxes_xywh)) == CORNERS
    assert found(corners(boxes_xywh), areas(boxes_xywh)) == AREAS_OF_CORNERS
    assert found(centres(boxes_xywh)) == CENTRES
    assert found(fractions(boxes_xywh, sizes)) == FRACTIONS
    assert found(fractions(centres(boxes_xywh), sizes)) == FRACTIONS


@pytest.mark.parametrize("seed", range(3))
def test_fractions_and_the_areas_of_corners_show_in_a_few_boxes(seed):
    boxes_xywh, sizes = draw(seed, 6, "any", "all")
    found = other_convention(corners(boxes_xywh), sizes, areas(boxes_xywh))
    assert found is not None
    assert found[0] == AREAS_OF_CORNERS
    found = other_convention(fractions(boxes_xywh, sizes)[:1], sizes[:1])
    assert found is not None
    assert found[0] == FRACTIONS


def test_a_box_of_whole_pixels_in_the_corner_is_no_fraction():
    assert other_convention(np.array([[0.0, 0.0, 1.0, 1.0]]), np.array([[480, 640]])) is None


def test_annotations_of_a_larger_image_are_not_taken_for_another_convention():
    """The images were scaled down and the boxes were not: they leave at the right, but fit no convention."""
    boxes_xywh, sizes = draw(0, 300, "any", "all")
    assert other_convention(boxes_xywh * 2, sizes) is None
