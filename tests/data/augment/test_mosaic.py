"""The four images of a mosaic keep their objects where their boxes say."""

from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.augment.drawn import COLOURS, discs, sample_of
from uncrowd.data.augment.labelled import Labelled, labelled
from uncrowd.data.augment.mosaic import MosaicConfig, mosaic
from uncrowd.data.augment.others import Others
from uncrowd.data.images.read import read_image
from uncrowd.data.transforms import image_rng

ALWAYS = MosaicConfig(probability=1.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Labelled]:
    """Twenty mosaics of images of three discs."""
    dataset = discs(tmp_path_factory.mktemp("discs"), 5, outlined=True)
    given = labelled(read_image(dataset[0].path), dataset[0], with_shapes=True)
    rngs = [image_rng(0, epoch, 0) for epoch in range(20)]
    return [mosaic(ALWAYS, given, Others(dataset, 10**6).images(0, rng, with_shapes=True), rng) for rng in rngs]


def test_a_mosaic_has_the_size_of_its_image_and_objects_of_four(made: list[Labelled]) -> None:
    assert {given.size for given in made} == {(96, 96)}
    assert max(len(given.boxes) for given in made) > 6
    assert all(len(given.boxes) == len(given.labels) == len(given.ignore) == len(given.shapes) for given in made)


def test_objects_are_where_their_boxes_say(made: list[Labelled]) -> None:
    seen = 0
    for given in made:
        for box, label, ignored in zip(given.boxes, given.labels, given.ignore, strict=True):
            width, height = (box[2:] - box[:2]).tolist()
            if not ignored and 0.9 < width / height < 1.1:  # a whole disc, or nearly
                x, y = ((box[:2] + box[2:]) / 2).int().tolist()
                colour = given.image[:, y, x].float()
                assert (colour - torch.tensor(COLOURS[label])).abs().max() < 80
                seen += 1
    assert seen > 40


def test_of_what_is_cut_off_little_is_ignored_and_boxes_are_clipped(made: list[Labelled]) -> None:
    assert any(given.ignore.any() for given in made)
    assert all(((given.boxes >= 0) & (given.boxes <= 96)).all() for given in made)


def test_whole_bodies_are_not_clipped() -> None:
    given = labelled(np.zeros((40, 60, 3), dtype=np.uint8), sample_of((40, 60), [[-20, 5, 80, 35]]), with_shapes=True)
    clipped, whole = (mosaic(ALWAYS, given, repeat(given), image_rng(0, 0, 0), clip=clip) for clip in (True, False))
    assert (clipped.boxes[:, 2] - clipped.boxes[:, 0] <= 60).all()
    assert (whole.boxes[:, 2] - whole.boxes[:, 0] > (clipped.boxes[:, 2] - clipped.boxes[:, 0])).any()


def test_it_is_a_function_of_its_generator_and_off_by_default(tmp_path: Path) -> None:
    dataset = discs(tmp_path, 5, outlined=False)
    given = labelled(read_image(dataset[0].path), dataset[0], with_shapes=True)
    rngs = [image_rng(0, epoch, 0) for epoch in (1, 1, 2)]
    one, again, other = (
        mosaic(ALWAYS, given, Others(dataset, 10**6).images(0, rng, with_shapes=True), rng).image for rng in rngs
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert mosaic(MosaicConfig(), given, iter(()), image_rng(0, 0, 0)) is given
    assert mosaic(ALWAYS, given, repeat(given), image_rng(0, 0, 0), strength=0.0) is given
    assert mosaic(ALWAYS, given, iter([given]), image_rng(0, 0, 0)) is given, "too few others can be read"
