"""The paper's COCO run is the one of its Section 4 and Detectron2's schedule."""

from uncrowd.engine.optim import learning_rate
from uncrowd.experiments.coco import coco_r50_100, coco_r50_100_sparse_rcnn

TRAIN2017 = 118_287  # pictures, those without boxes included


def test_full_method_trains_as_the_paper_says() -> None:
    experiment = coco_r50_100()
    assert (experiment.train.batch_size, experiment.train.epochs) == (16, 36)
    assert experiment.augment.short_sides == (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
    assert (experiment.augment.max_size, experiment.augment.horizontal_flip, experiment.augment.crop) == (
        1333,
        0.5,
        None,
    )
    assert (experiment.resize.short_side, experiment.resize.max_size) == (800, 1333)
    backbone = experiment.model.backbone
    assert (backbone.name, backbone.norm, backbone.frozen_stages) == ("resnet50.tv_in1k", "frozen_batch", 2)
    assert (experiment.model.proposals, experiment.model.stages) == (100, 6)
    assert (experiment.model.stage.attention, experiment.model.stage.interaction) == ("iou", "dcw")


def test_rate_drops_after_27_and_33_epochs() -> None:
    optim, steps = coco_r50_100().optim, TRAIN2017 // 16
    rates = [learning_rate(optim, epoch * steps, steps, 16) for epoch in (1, 26, 27, 32, 33, 35)]
    assert [f"{rate:.2g}" for rate in rates] == ["2.5e-05", "2.5e-05", "2.5e-06", "2.5e-06", "2.5e-07", "2.5e-07"]


def test_baseline_differs_in_the_two_modules_alone() -> None:
    ours, baseline = coco_r50_100(), coco_r50_100_sparse_rcnn()
    assert (baseline.model.stage.attention, baseline.model.stage.interaction) == ("content", "entangled")
    assert (baseline.train, baseline.optim, baseline.augment, baseline.model.backbone) == (
        ours.train,
        ours.optim,
        ours.augment,
        ours.model.backbone,
    )
