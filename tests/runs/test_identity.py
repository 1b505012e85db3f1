"""The settings and the data that a run must share with its checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import tiny_experiment
from uncrowd.config import differences
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.packed_outlines import Outlines
from uncrowd.runs.identity import MAY_CHANGE, MAY_DIFFER, completed, identity
from uncrowd.structures import Outline


@pytest.fixture(scope="module")
def datasets(crowd: Path) -> tuple[DetectionDataset, DetectionDataset]:
    splits = open_dataset(crowd)
    assert splits.train is not None
    assert splits.val is not None
    return splits.train, splits.val


@pytest.mark.parametrize("setting", MAY_CHANGE)
def test_what_a_resumed_run_may_change(datasets: tuple[DetectionDataset, DetectionDataset], setting: str) -> None:
    changed = tiny_experiment(**{setting: True if setting in ("compile", "recompute") else 3})
    found = differences(identity(tiny_experiment(), *datasets), identity(changed, *datasets))
    assert {name for name, *_ in found} == {f"configuration.train.{setting}"} <= MAY_DIFFER


def test_any_other_setting_makes_another_run(datasets: tuple[DetectionDataset, DetectionDataset]) -> None:
    ours, theirs = (identity(tiny_experiment(seed=seed), *datasets) for seed in (0, 1))
    assert differences(ours, theirs) == [("configuration.train.seed", 0, 1)]


def test_a_moved_box_makes_another_run(datasets: tuple[DetectionDataset, DetectionDataset]) -> None:
    train, val = datasets
    moved = train.boxes.copy()
    moved[0] += 1
    found = differences(
        identity(tiny_experiment(), train, val), identity(tiny_experiment(), replace(train, boxes=moved), val)
    )
    assert [name for name, *_ in found] == ["training data.contents"]


def test_a_changed_outline_makes_another_run(datasets: tuple[DetectionDataset, DetectionDataset]) -> None:
    """Paste and affine changes use outlines."""
    train, val = datasets
    outlines: list[Outline | None] = [None] * len(train.boxes)
    contents = []
    for row in (None, 0, 1):
        drawn = outlines.copy()
        if row is not None:
            drawn[row] = (np.array([[1, 1], [9, 1], [9, 9]], dtype=np.float32),)
        made = identity(tiny_experiment(), replace(train, outlines=Outlines.pack(drawn)), val)
        contents.append(made["training data"]["contents"])
    assert contents[0] == identity(tiny_experiment(), train, val)["training data"]["contents"]
    assert len(set(contents)) == 3


def test_an_earlier_version_called_images_pictures(datasets: tuple[DetectionDataset, DetectionDataset]) -> None:
    facts = identity(tiny_experiment(), *datasets)
    earlier = dict(facts["training data"])
    earlier["pictures"] = earlier.pop("images")
    assert completed(facts | {"training data": earlier}) == facts
