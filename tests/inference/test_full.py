"""A detector that reports as many objects as it can says that there may be more."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.inference.cases import CATEGORIES, random_image
from tests.tiny import TINY_MODEL
from uncrowd import Detections, Predictor, TilesConfig
from uncrowd.data.transforms import ResizeConfig
from uncrowd.inference.full import note_if_full
from uncrowd.inference.merge import Grid
from uncrowd.models.build import build_detector
from uncrowd.models.sparse_rcnn import SparseRCNNConfig

TEN = SparseRCNNConfig(num_classes=1, proposals=10)
TEN_DENSE = SparseRCNNConfig(num_classes=1, proposals=10, queries="dense")


def at(centres: list[tuple[float, float]]) -> Detections:
    middle = torch.tensor(centres, dtype=torch.float32).reshape(-1, 2)
    number = len(centres)
    return Detections(
        boxes=torch.cat([middle - 2, middle + 2], dim=1),
        scores=torch.ones(number),
        labels=torch.zeros(number, dtype=torch.int64),
        categories=CATEGORIES,
    )


@pytest.mark.parametrize(
    ("number", "config", "side", "said"),
    [
        (8, TEN, 64, None),
        (9, TEN, None, "the detector reports at most 10 objects in an image, so more may be there"),
        (10, TEN, 64, "... so more may be there; cut it into tiles of 64 pixels (--tiles 64)"),
        (10, TEN_DENSE, 64, "... so more may be there; cut it into tiles of 64 pixels (--tiles 64)"),
        (10, TEN_DENSE, None, "... so more may be there; ask for more proposals (--proposals)"),
    ],
)
def test_an_image_is_full_at_nine_tenths_of_the_most(
    number: int, config: SparseRCNNConfig, side: int | None, said: str | None
) -> None:
    note = note_if_full(at([(5, 5)] * number), config, None, side)
    if said is None or note is None:
        assert note is said
    else:
        assert note.endswith(said.removeprefix("..."))


def test_each_tile_has_its_own_most() -> None:
    grid = Grid([(0, 100)], [(0, 100), (80, 180), (160, 260)])
    left, right = [(20.0, 20.0)] * 9, [(230.0, 50.0)] * 8
    both = (90.0, 50.0)
    assert note_if_full(at([*left[1:], *right]), TEN, grid, None) is None
    note = note_if_full(at([*left[1:], both, *right]), TEN, grid, None)
    assert note == (
        "the detector reports at most 10 objects in a tile, and 1 of 3 have about as many, so more may be there"
    )
    note = note_if_full(at([*left, *right, (200.0, 50.0)]), TEN, grid, 64)
    assert note is not None
    assert "2 of 3 have about as many, so more may be there; use tiles of 64 pixels (--tiles 64)" in note


@pytest.mark.parametrize(
    ("size", "tiles", "mend"),
    [
        ((300, 400), None, "ask for more proposals"),  # it is enlarged
        ((320, 640), None, "ask for more proposals"),
        ((480, 640), None, r"cut it into tiles of 320 pixels"),
        ((200, 1000), None, r"cut it into tiles of 320 pixels"),  # its long side would be too long
        ((900, 900), 640, r"use tiles of 320 pixels"),
        ((900, 900), 300, "ask for more proposals"),
    ],
)
def test_smaller_tiles_are_named_where_an_image_is_made_smaller(
    size: tuple[int, int], tiles: int | None, mend: str
) -> None:
    predictor = Predictor(
        build_detector(replace(TINY_MODEL, queries="dense")),
        CATEGORIES,
        ResizeConfig(short_side=320, max_size=640),
        tiles=None if tiles is None else TilesConfig(side=tiles, overlap=tiles // 5),
    )
    note = predictor.note_if_full(at([(20.0, 20.0)] * 10), size)
    assert note is not None
    assert re.search(f"; {mend} ", note)


def test_predicting_warns_where_there_is_a_threshold(predictor: Predictor) -> None:
    image = random_image(64, 96)
    everything = predictor.predict(image)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor.predict(image)
        predictor.predict(image, threshold=everything.scores[1].item())
    least = everything.scores.min().item()
    with pytest.warns(UserWarning, match="an image that is given without a path: the detector reports at most"):
        predictor.predict([np.zeros_like(image), image], threshold=least)
    predictor.tiles = TilesConfig(side=64, overlap=32)
    with pytest.warns(UserWarning, match=r"objects in a tile, and \d of 2 have about as many"):
        predictor.predict(image, threshold=min(least, predictor.predict(image).scores.min().item()))
