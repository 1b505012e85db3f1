"""A line is a complete experiment, whose length and schedule come from its budget."""

from pathlib import Path

import pytest
from benchmarks.claims.datasets import DrawnCrowds
from benchmarks.claims.lines import all_lines
from benchmarks.claims.ours import OurDetector, small_data_1_wide
from benchmarks.claims.rates import needs
from benchmarks.claims.settings import LONG, SHORT, Budget

from uncrowd.data.formats.open import open_dataset
from uncrowd.errors import InputError
from uncrowd.models.build import build_detector
from uncrowd.models.sparse_rcnn import SparseRCNNConfig


def test_the_first_lines_are_the_four_corners_of_tables_3_and_4() -> None:
    lines = all_lines()
    assert len(lines) == len({line.name for line in lines})
    assert [line.name for line in lines[:4]] == [
        "drawn-0.5_small-data-1-content-entangled_short_0",
        "drawn-0.5_small-data-1-content-dcw_short_0",
        "drawn-0.5_small-data-1-iou-entangled_short_0",
        "drawn-0.5_small-data-1-iou-dcw_short_0",
    ]
    assert {line.name.count("_") for line in lines if line.rate is None} == {3}, "names can be taken apart"
    assert [line.seed for line in lines[:16]] == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4


def test_lines_that_others_need_come_before_them() -> None:
    lines = all_lines()
    names = [line.name for line in lines]
    needed = [(name, before) for line, name in zip(lines, names, strict=True) for before in needs(line)]
    asked = {
        "dense-1-zero-quality-iou-dcw-from-drawn-0.5",
        "dense-1-zero-quality-iou-dcw-from-nuclei",
        "dense-1-zero-quality-paste-iou-dcw-from-nuclei",
        "dense-1-zero-quality-paste-own-iou-dcw-from-nuclei",
    }
    assert {name.split("_")[1] for name, _ in needed} == {"faster-rcnn-1", "fcos-1", "yolo26n-1"} | asked
    assert all(names.index(before) < names.index(name) for name, before in needed)
    assert names[16:19] == [f"drawn-0.5_faster-rcnn-1_rates_0_{rate}" for rate in ("0.0002", "0.0004", "0.0008")]


def test_every_line_has_whole_epochs() -> None:
    for line in all_lines():
        epochs = line.budget.epochs(line.dataset.train)
        assert epochs * (line.dataset.train // line.budget.batch) == line.budget.steps


def test_the_control_has_as_many_parameters_as_dcw() -> None:
    def parameters(detector: OurDetector) -> int:
        model = build_detector(detector.experiment(DrawnCrowds(overlap=0.5), SHORT, seed=0).model)
        return sum(parameter.numel() for parameter in model.parameters())

    wide = OurDetector(attention="content", interaction="entangled", recipe=small_data_1_wide())
    with_dcw = parameters(OurDetector(attention="content", interaction="dcw"))
    assert parameters(wide) == pytest.approx(with_dcw, rel=1e-4)


def test_an_experiment_has_the_detectors_stage_and_the_budgets_length() -> None:
    detector = OurDetector(attention="content", interaction="half")
    short = detector.experiment(DrawnCrowds(overlap=0.5), SHORT, seed=3)
    assert isinstance(short.model, SparseRCNNConfig)
    assert (short.model.stage.attention, short.model.stage.interaction) == ("content", "half")
    assert (short.train.epochs, short.train.evaluate_every, short.train.seed) == (20, 4, 3)
    assert short.optim.milestones == (16.0,)
    assert short.train.ema_decay is not None
    long = detector.experiment(DrawnCrowds(overlap=0.5), LONG, seed=3)
    assert (long.train.epochs, long.train.evaluate_every, long.optim.milestones) == (80, 16, (64.0,))


def test_an_experiment_has_the_image_sizes_of_its_dataset_and_twice_as_many_proposals_as_objects() -> None:
    detector = OurDetector(attention="iou", interaction="dcw")
    small = detector.experiment(DrawnCrowds(overlap=0.5), SHORT, seed=0)
    assert (small.augment, small.resize) == (detector.recipe.augment, detector.recipe.resize)
    assert small.model.proposals == 40
    large = detector.experiment(DrawnCrowds(overlap=0.5, size=(256, 320), objects=(40, 80)), SHORT, seed=0)
    assert (large.augment.short_sides, large.augment.max_size) == ((224, 240, 256, 272, 288), 480)
    assert (large.resize.short_side, large.resize.max_size) == (256, 480)
    assert large.model.proposals == 160


@pytest.mark.parametrize(
    ("steps", "images", "reason"),
    [
        (1000, 472, "no whole number of passes"),
        (10, 7, "no whole number of passes"),
        (1001, 400, "no whole number of passes"),
        (10, 400, "no whole number of passes"),
        (350, 400, "7 epochs cannot be cut into 5 equal parts"),
    ],
)
def test_a_budget_that_does_not_fit_the_images_is_refused(steps: int, images: int, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Budget(name="odd", steps=steps).epochs(images)


def test_drawn_crowds_have_one_class_and_are_drawn_once(tmp_path: Path) -> None:
    crowds = DrawnCrowds(overlap=0.1, size=(64, 96), objects=(2, 4), train=2, val=1, test=1)
    folder = crowds.write(tmp_path)
    splits = open_dataset(folder)
    assert [(dataset.split, len(dataset)) for dataset in splits.present] == [("train", 2), ("val", 1), ("test", 1)]
    assert splits.present[0].categories.names == ("person",)
    before = folder.stat().st_mtime_ns
    assert crowds.write(tmp_path) == folder
    assert folder.stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == ["drawn-0.1"]
