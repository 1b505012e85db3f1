"""Images with rare classes come as often as in LVIS."""

from pathlib import Path

import numpy as np
import pytest

from uncrowd.data.balance import repeat_factors
from uncrowd.data.dataset import DetectionDataset
from uncrowd.structures import Categories, Sample


def dataset(*labels: list[int], ignored: tuple[int, ...] = ()) -> DetectionDataset:
    """An image for each list of labels; in the images `ignored`, all boxes are."""
    samples = [
        Sample(
            id=image,
            path=Path(f"{image}.png"),
            size=(10, 10),
            boxes=np.tile([1.0, 1, 5, 5], (len(own), 1)),
            labels=np.array(own, dtype=np.int64),
            ignore=np.full(len(own), image in ignored),
            areas=np.full(len(own), 16.0),
        )
        for image, own in enumerate(labels)
    ]
    categories = Categories(ids=(1, 2, 3, 4), names=("a", "b", "c", "never"))
    return DetectionDataset.from_samples(
        samples, source=Path("a.json"), split="train", categories=categories, folder=Path()
    )


def test_an_image_has_the_factor_of_its_rarest_class() -> None:
    factors = repeat_factors(dataset([0, 0, 0], [0, 1], [0], [0, 2, 1], [], [0], [0], [0]), rare_below=0.5)
    once, twice = np.sqrt(0.5 / 0.25), np.sqrt(0.5 / 0.125)  # b is in two images of eight, c in one
    assert factors.tolist() == pytest.approx([1, once, 1, twice, 1, 1, 1, 1])


def test_ignored_boxes_show_no_class() -> None:
    assert repeat_factors(dataset([0], [0, 1], [1], [0], ignored=(1,)), rare_below=1.0).tolist() == pytest.approx(
        [np.sqrt(2), 1, 2, np.sqrt(2)]
    )


def test_without_rare_classes_each_image_comes_once() -> None:
    assert repeat_factors(dataset([0], [0], []), rare_below=0.1).tolist() == [1, 1, 1]
