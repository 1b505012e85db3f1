"""Boxes follow the pixels of a warped image: by the outline where it is known, otherwise by the ellipse in the box."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.data.augment.drawn import disc, polygon, sample_of
from uncrowd.data.augment.affine import AffineConfig, warp
from uncrowd.data.augment.labelled import Labelled, labelled
from uncrowd.data.augment.shapes import bounds
from uncrowd.data.transforms import image_rng
from uncrowd.errors import InputError

SIZE = (120, 160)
STRONG = AffineConfig(probability=1.0, rotation=20.0, scale=(0.6, 1.2), shear=10.0)


def painted(kind: str) -> Labelled:
    """A red rectangle or ellipse on black, in a box of 60 x 30 pixels, the rectangle with its outline."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    pixels = np.zeros((*SIZE, 3), dtype=np.uint8)
    inside = (abs(columns - 75) < 30) & (abs(rows - 55) < 15)
    if kind == "ellipse":
        inside = ((columns - 75) / 30) ** 2 + ((rows - 55) / 15) ** 2 <= 1
    pixels[inside] = (255, 0, 0)
    outlines = (polygon((45, 40), (105, 40), (105, 70), (45, 70)),) if kind == "rectangle" else ()
    return labelled(pixels, sample_of(SIZE, [[45, 40, 105, 70]], outlines), with_shapes=True)


def found(image: Tensor) -> Tensor:
    """The box around the red pixels."""
    rows, columns = torch.nonzero(image[0] - image[1].int() > 100, as_tuple=True)
    return torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


@pytest.mark.parametrize("kind", ["rectangle", "ellipse"])
def test_a_box_is_where_its_object_is_found(kind: str) -> None:
    for index in range(15):
        warped = warp(STRONG, painted(kind), image_rng(0, 0, index))
        torch.testing.assert_close(warped.boxes, found(warped.image)[None], atol=1.5, rtol=0)
        assert warped.size == SIZE


def test_the_box_of_a_whole_body_keeps_its_share_beyond_a_visible_outline() -> None:
    """The outline of the visible half would make it smaller."""
    half = painted("ellipse")
    half = half._replace(shapes=[(np.array([[45.0, 40], [75, 40], [75, 70], [45, 70]]),)])
    for index in range(5):
        whole = warp(STRONG, painted("ellipse"), image_rng(0, 0, index))
        warped = warp(STRONG, half, image_rng(0, 0, index))
        assert torch.equal(warped.boxes, whole.boxes)
        assert warped.shapes[0] is not None
        assert half.shapes[0] is not None
        assert bounds(warped.shapes[0]) != bounds(half.shapes[0]), "the outline itself moves"


def test_scale_alone_scales_a_box_about_the_centre() -> None:
    config = AffineConfig(probability=1.0, rotation=0.0, scale=(0.5, 0.5), shear=0.0)
    warped = warp(config, painted("ellipse"), image_rng(0, 0, 0))
    torch.testing.assert_close(warped.boxes, torch.tensor([[62.5, 50.0, 92.5, 65.0]]))


def test_what_is_uncovered_gets_the_mean_colour() -> None:
    config = AffineConfig(probability=1.0, rotation=0.0, scale=(0.5, 0.5), shear=0.0)
    given = painted("rectangle")
    corner = warp(config, given, image_rng(0, 0, 0)).image[:, 0, 0].float()
    torch.testing.assert_close(corner, given.image.float().mean(dim=(1, 2)), atol=1.0, rtol=0)


def test_an_image_without_boxes_and_several_polygons_and_no_chance() -> None:
    empty = labelled(np.zeros((*SIZE, 3), dtype=np.uint8), sample_of(SIZE, []), with_shapes=True)
    assert warp(STRONG, empty, image_rng(0, 0, 0)).boxes.shape == (0, 4)
    one, other = disc(30, 30, 10), disc(80, 60, 20)
    assert isinstance(one, tuple)
    assert isinstance(other, tuple)
    parts = painted("ellipse")._replace(shapes=[(*one, *other)])
    shape = warp(STRONG, parts, image_rng(0, 0, 0)).shapes[0]
    assert shape is not None
    assert [polygon.shape for polygon in shape] == [(48, 2), (48, 2)]
    given, rng = painted("ellipse"), image_rng(0, 0, 0)
    assert warp(replace(STRONG, probability=0.0), given, rng) is given
    assert rng.random() == image_rng(0, 0, 0).random(), "nothing was drawn"


@pytest.mark.parametrize("setting", [{"rotation": 60.0}, {"shear": -1.0}, {"scale": (2.0, 1.0)}, {"probability": 2.0}])
def test_impossible_settings_are_refused(setting) -> None:
    with pytest.raises(InputError, match=next(iter(setting))):
        AffineConfig(**setting)
