"""The paper's runs follow its Section 4 and Detectron2's schedules; those of DETR follow Appendix C."""

from dataclasses import replace

import pytest

from uncrowd.data.transforms import CropConfig
from uncrowd.engine.optim import learning_rate
from uncrowd.losses.classification import CrossEntropyConfig, FocalConfig
from uncrowd.models.detr import DETRConfig
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.recipes import EXPERIMENTS, RECIPES, Experiment, coco

COCO_SIDES = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
CROWDHUMAN_SIDES = (640, 672, 704, 736, 768, 800)
IMAGES = {"coco": 118_287, "crowdhuman": 15_000}  # COCO's train2017 with its images without boxes
BASELINE, OURS = ("content", "entangled"), ("iou", "dcw")
# name -> backbone, proposals, attention and interaction, epochs, epochs after which the rate drops
SPARSE_RCNNS = {
    "coco-r50-100": ("resnet50", 100, OURS, 36, (27, 33)),
    "coco-r50-100-sparse-rcnn": ("resnet50", 100, BASELINE, 36, (27, 33)),
    "coco-r101-100": ("resnet101", 100, OURS, 36, (27, 33)),
    "coco-r101-100-sparse-rcnn": ("resnet101", 100, BASELINE, 36, (27, 33)),
    "coco-r50-300": ("resnet50", 300, OURS, 36, (27, 33)),
    "coco-r50-300-sparse-rcnn": ("resnet50", 300, BASELINE, 36, (27, 33)),
    "coco-r101-300": ("resnet101", 300, OURS, 36, (27, 33)),
    "coco-r101-300-sparse-rcnn": ("resnet101", 300, BASELINE, 36, (27, 33)),
    "coco-swin-t-300": ("swin_tiny_patch4_window7_224", 300, OURS, 36, (27, 33)),
    "coco-swin-t-300-sparse-rcnn": ("swin_tiny_patch4_window7_224", 300, BASELINE, 36, (27, 33)),
    "coco-resnext101-300-sparse-rcnn": ("resnext101_64x4d", 300, BASELINE, 36, (27, 33)),
    "coco-r50-100-iou-esa": ("resnet50", 100, ("iou", "entangled"), 36, (27, 33)),
    "coco-r50-100-dcw": ("resnet50", 100, ("content", "dcw"), 36, (27, 33)),
    "coco-r50-100-no-attention": ("resnet50", 100, ("none", "entangled"), 36, (27, 33)),
    "coco-r50-100-iou-only": ("resnet50", 100, ("iou_only", "entangled"), 36, (27, 33)),
    "coco-r50-100-half": ("resnet50", 100, ("content", "half"), 36, (27, 33)),
    "coco-r50-100-full": ("resnet50", 100, ("content", "full"), 36, (27, 33)),
    "coco-r50-100-12-epochs": ("resnet50", 100, OURS, 12, (8, 11)),
    "coco-r50-100-24-epochs": ("resnet50", 100, OURS, 24, (16, 22)),
    "coco-r50-100-sparse-rcnn-12-epochs": ("resnet50", 100, BASELINE, 12, (8, 11)),
    "coco-r50-100-sparse-rcnn-24-epochs": ("resnet50", 100, BASELINE, 24, (16, 22)),
    "crowdhuman-r50-500": ("resnet50", 500, OURS, 50, (40,)),
    "crowdhuman-r50-500-sparse-rcnn": ("resnet50", 500, BASELINE, 50, (40,)),
    "crowdhuman-r50-500-iou-esa": ("resnet50", 500, ("iou", "entangled"), 50, (40,)),
    "crowdhuman-r50-500-dcw": ("resnet50", 500, ("content", "dcw"), 50, (40,)),
    "crowdhuman-r50-500-no-attention": ("resnet50", 500, ("none", "entangled"), 50, (40,)),
    "crowdhuman-r50-500-iou-only": ("resnet50", 500, ("iou_only", "entangled"), 50, (40,)),
    "crowdhuman-r50-500-half": ("resnet50", 500, ("content", "half"), 50, (40,)),
    "crowdhuman-r50-500-full": ("resnet50", 500, ("content", "full"), 50, (40,)),
}


def of_the_paper() -> dict[str, Experiment]:
    return {name: build() for name, build in EXPERIMENTS.items() if name.startswith(("coco-", "crowdhuman-"))}


def test_no_two_experiments_share_a_name() -> None:
    assert list(EXPERIMENTS) == [build().name for build in RECIPES]


def test_no_two_experiments_are_the_same() -> None:
    experiments = [replace(build(), name="") for build in EXPERIMENTS.values()]
    assert len(set(experiments)) == len(experiments)


def test_every_run_of_the_paper_is_there() -> None:
    assert set(of_the_paper()) == {*SPARSE_RCNNS, "coco-detr-r50", "coco-detr-r50-iou-esa-dcw"}


def test_crowds_are_trained_as_ddq_was_published() -> None:
    experiment = EXPERIMENTS["crowd"]()
    model, optim, train = experiment.model, experiment.optim, experiment.train
    assert isinstance(model, SparseRCNNConfig)
    assert (model.queries, model.stages, model.proposals) == ("dense", 2, 500)
    assert (model.stage.attention, model.stage.interaction) == OURS
    assert (optim.learning_rate, optim.weight_decay, optim.clip_norm, optim.warmup_steps) == (1e-4, 0.05, 10.0, 2000)
    assert (train.epochs, train.batch_size, optim.milestones) == (36, 16, (27.0, 33.0))
    assert experiment.augment.short_sides == CROWDHUMAN_SIDES


@pytest.mark.parametrize("name", SPARSE_RCNNS)
def test_sparse_rcnns_train_as_the_paper_says(name: str) -> None:
    backbone, proposals, modules, epochs, drops = SPARSE_RCNNS[name]
    experiment = EXPERIMENTS[name]()
    model, dataset = experiment.model, name.partition("-")[0]
    assert isinstance(model, SparseRCNNConfig)
    assert (model.backbone.name.partition(".")[0], model.backbone.pretrained) == (backbone, "timm")
    assert (model.proposals, model.stages, model.num_classes) == (proposals, 6, 80 if dataset == "coco" else 1)
    assert (model.stage.attention, model.stage.interaction) == modules
    assert (experiment.train.epochs, experiment.train.batch_size, experiment.protocol) == (epochs, 16, dataset)

    augment, resize, loss, optim = experiment.augment, experiment.resize, experiment.loss, experiment.optim
    assert augment.short_sides == (COCO_SIDES if dataset == "coco" else CROWDHUMAN_SIDES)
    assert (augment.max_size, augment.horizontal_flip, augment.vertical_flip) == (1333, 0.5, 0.0)
    assert augment.clip_boxes, "as the release does, to the full bodies of CrowdHuman too"
    crop = CropConfig(probability=0.5, short_sides=(400, 500, 600), sides=(384, 600))
    assert augment.crop == (crop if proposals == 300 else None)
    assert (resize.short_side, resize.max_size) == (800, 1333)
    assert (loss.class_weight, loss.l1_weight, loss.giou_weight, loss.l1_of) == (2, 5, 2, "corners")
    assert (loss.classes, loss.ignore_above) == (FocalConfig(alpha=0.25, gamma=2.0), None)
    assert (optim.weight_decay, optim.clip_norm, optim.backbone_factor) == (1e-4, 1.0, 1.0)
    assert (optim.warmup_steps, optim.warmup_factor) == (1000, 0.01)

    steps = IMAGES[dataset] // 16
    rates = [f"{learning_rate(optim, epoch * steps, steps, 16):.2g}" for epoch in range(2, epochs)]
    passed = [sum(epoch >= drop for drop in drops) for epoch in range(2, epochs)]
    assert rates == [("2.5e-05", "2.5e-06", "2.5e-07")[drops] for drops in passed]


@pytest.mark.parametrize(
    ("name", "attention", "interaction"),
    [("coco-detr-r50", "content", "entangled"), ("coco-detr-r50-iou-esa-dcw", "iou", "dcw")],
)
def test_detr_trains_as_its_own_recipe_says_but_50_epochs(name: str, attention: str, interaction: str) -> None:
    experiment = EXPERIMENTS[name]()
    model, optim, loss, augment = experiment.model, experiment.optim, experiment.loss, experiment.augment
    assert isinstance(model, DETRConfig)
    assert (model.backbone.name, model.backbone.pretrained, model.num_classes) == ("resnet50.tv_in1k", "timm", 80)
    assert (model.proposals, model.attention, model.interaction) == (100, attention, interaction)
    assert (model.width, model.heads, model.feedforward_width, model.dropout) == (256, 8, 2048, 0.1)
    assert (model.encoder_layers, model.decoder_layers) == (6, 6)
    assert (experiment.train.epochs, experiment.train.batch_size, experiment.protocol) == (50, 16, "coco")
    assert (optim.learning_rate, optim.backbone_factor, optim.weight_decay) == (1e-4, 0.1, 1e-4)
    assert (optim.clip_norm, optim.warmup_steps, optim.milestones, optim.decay) == (0.1, 0, (40,), 0.1)
    assert (loss.class_weight, loss.l1_weight, loss.giou_weight, loss.l1_of) == (1, 5, 2, "centre_size")
    assert loss.classes == CrossEntropyConfig(no_object=0.1)
    assert (augment.short_sides, augment.max_size, augment.horizontal_flip) == (COCO_SIDES, 1333, 0.5)
    assert augment.crop == CropConfig(probability=0.5, short_sides=(400, 500, 600), sides=(384, 600))


def test_resnets_are_frozen_up_to_res2_and_swin_is_not() -> None:
    for name, experiment in of_the_paper().items():
        backbone = experiment.model.backbone
        expected = (0, 0.2) if "swin" in name else (2, 0.0)
        assert (backbone.frozen_stages, backbone.drop_path) == expected, name
        assert backbone.norm == "frozen_batch", name


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_came_after_the_paper_is_off(name: str) -> None:
    augment, train = EXPERIMENTS[name]().augment, EXPERIMENTS[name]().train
    choices = (augment.mosaic, augment.paste, augment.affine, augment.colour, augment.blur, augment.noise)
    assert not any(choice.probability for choice in choices)
    assert (train.patience, train.rare_below, train.recompute) == (None, 0, False)


def test_the_baseline_differs_in_the_two_modules_alone() -> None:
    ours, baseline = coco.coco_r50_100(), coco.coco_r50_100_sparse_rcnn()
    assert isinstance(ours.model, SparseRCNNConfig)
    stage = replace(ours.model.stage, attention="content", interaction="entangled")
    assert baseline == replace(ours, name="coco-r50-100-sparse-rcnn", model=replace(ours.model, stage=stage))
