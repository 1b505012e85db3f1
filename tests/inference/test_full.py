"""A detector that reports as many objects as it can says that there may be more."""

import warnings

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
    ("number", "config", "said"),
    [
        (8, TEN, None),
        (
            9,
            TEN,
            "the detector reports at most 10 objects in an image, so more may be there; cut it into tiles (--tiles)",
        ),
        (10, TEN_DENSE, "... so more may be there; ask for more proposals (--proposals)"),
    ],
)
def test_an_image_is_full_at_nine_tenths_of_the_most(number: int, config: SparseRCNNConfig, said: str | None) -> None:
    note = note_if_full(at([(5, 5)] * number), config, None, tiles=False)
    if said is None or note is None:
        assert note is said
    else:
        assert note.endswith(said.removeprefix("..."))


def test_each_tile_has_its_own_most() -> None:
    grid = Grid([(0, 100)], [(0, 100), (80, 180), (160, 260)])
    left, right = [(20.0, 20.0)] * 9, [(230.0, 50.0)] * 8
    both = (90.0, 50.0)
    assert note_if_full(at([*left[1:], *right]), TEN, grid, tiles=True) is None
    note = note_if_full(at([*left[1:], both, *right]), TEN, grid, tiles=True)
    assert note == (
        "the detector reports at most 10 objects in a tile, and 1 of 3 have about as many, so more may be there; "
        "use smaller tiles (--tiles)"
    )
    note = note_if_full(at([*left, *right, (200.0, 50.0)]), TEN_DENSE, grid, tiles=True)
    assert note is not None
    assert "2 of 3 have about as many, so more may be there; ask for more proposals (--proposals)" in note


@pytest.mark.parametrize(
    ("size", "tiles", "where", "mend"),
    [
        ((300, 400), None, "in an image", "cut it into tiles (--tiles)"),
        ((300, 400), 400, "in an image", "use smaller tiles (--tiles)"),
        ((900, 900), 640, "in a tile", "use smaller tiles (--tiles)"),
    ],
)
def test_a_predictor_says_if_its_image_or_a_tile_is_full(
    size: tuple[int, int], tiles: int | None, where: str, mend: str
) -> None:
    predictor = Predictor(
        build_detector(TINY_MODEL),
        CATEGORIES,
        ResizeConfig(short_side=320, max_size=640),
        tiles=None if tiles is None else TilesConfig.of_side(tiles),
    )
    note = predictor.note_if_full(at([(20.0, 20.0)] * 10), size)
    assert note is not None
    assert where in note
    assert note.endswith(f"; {mend}")


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
