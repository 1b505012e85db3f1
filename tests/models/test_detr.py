"""The whole DETR, with the paper's modules and without: raw pixels go in, one output a decoder layer comes out."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from tests.models.whole import assert_same, random_images, sizes_of, with_noise
from tests.plain import transformer as plain
from uncrowd import config
from uncrowd.boxes import pairwise_iou
from uncrowd.errors import InputError
from uncrowd.losses.classification import CrossEntropyConfig
from uncrowd.losses.criterion import SetCriterion
from uncrowd.losses.matcher import LossConfig
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.build import build_detector
from uncrowd.models.detr import DETR, DETRConfig
from uncrowd.structures import StageOutput, Target

ORIGINAL = DETRConfig(
    num_classes=3,
    proposals=6,
    backbone=BackboneConfig(name="test_efficientnet", norm="group", frozen_stages=0),
    width=16,
    heads=2,
    encoder_layers=1,
    decoder_layers=3,
    feedforward_width=32,
)
OURS = replace(ORIGINAL, attention="iou", interaction="dcw")
BOTH = pytest.mark.parametrize("settings", [ORIGINAL, OURS], ids=["original", "ours"])


def detr(settings: DETRConfig) -> DETR:
    torch.manual_seed(0)
    return with_noise(DETR(settings))


@torch.no_grad()
@BOTH
def test_one_output_a_layer_with_a_column_for_no_object(settings: DETRConfig) -> None:
    outputs = detr(settings)(random_images(2, 50, 70), sizes_of((50, 70), (40, 60)))
    assert len(outputs) == 3
    for output in outputs:
        assert output.logits.shape == (2, 6, 4)
        assert output.boxes.shape == (2, 6, 4)
        assert output.queries.shape == (2, 6, 16)


@torch.no_grad()
@BOTH
def test_boxes_are_shares_of_each_unpadded_image(settings: DETRConfig) -> None:
    model, images = detr(settings), random_images(2, 64, 96)
    last = model.decoder.boxes_cxcywh_norm[-2]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    last.bias.copy_(torch.tensor([0.5, 0.25, 0.25, 0.5]).logit())
    for output in model(images, sizes_of((64, 96), (32, 64))):
        torch.testing.assert_close(output.boxes[0], torch.tensor([36.0, 0, 60, 32]).expand(6, -1))
        torch.testing.assert_close(output.boxes[1], torch.tensor([24.0, 0, 40, 16]).expand(6, -1))


@torch.no_grad()
@BOTH
def test_training_without_dropout_and_evaluation_compute_the_same(settings: DETRConfig) -> None:
    model = detr(replace(settings, dropout=0.0))
    images, sizes = random_images(1, 50, 70), sizes_of((50, 70))
    assert_same(model.train()(images, sizes), model.eval()(images, sizes), tolerance=0)


@torch.no_grad()
@BOTH
def test_the_content_of_the_padding_does_not_matter(settings: DETRConfig) -> None:
    model, clean = detr(settings), torch.zeros(1, 3, 64, 96)
    clean[..., :50, :70] = random_images(1, 50, 70)
    dirty = torch.full_like(clean, torch.nan)
    dirty[..., :50, :70] = clean[..., :50, :70]
    assert_same(model(dirty, sizes_of((50, 70))), model(clean, sizes_of((50, 70))), tolerance=0)


@torch.no_grad()
@BOTH
def test_an_image_alone_gives_what_it_gives_in_a_batch(settings: DETRConfig) -> None:
    model = detr(settings).double()
    images, sizes = random_images(3, 64, 96), sizes_of((64, 96), (50, 96), (64, 70))
    together = model(images, sizes)
    for i in range(3):
        alone = model(images[i : i + 1], sizes[i : i + 1])
        assert_same(alone, [StageOutput(*(part[i : i + 1] for part in stage)) for stage in together], tolerance=1e-9)


class Patches(nn.Module):
    """A backbone that computes each cell alone, so that no convolution reaches into the padding."""

    def __init__(self, channels: int):
        super().__init__()
        self.linear = nn.Conv2d(3, channels, kernel_size=32, stride=32)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.linear(images)]


@torch.no_grad()
@BOTH
def test_after_the_backbone_more_padding_changes_nothing(settings: DETRConfig) -> None:
    """Neither in the encoder nor in positions, cross attention and boxes, for images of whole cells."""
    model = detr(settings)
    model.add_module("backbone", Patches(model.projection.in_channels))
    model.double()
    bare, sizes = random_images(1, 64, 96), sizes_of((64, 96))
    more = nn.functional.pad(bare, (0, 64, 0, 32))
    assert_same(model(more, sizes), model(bare, sizes), tolerance=1e-9)


@torch.no_grad()
@BOTH
def test_the_decoder_equals_the_plain_loops(settings: DETRConfig) -> None:
    model, seen = detr(settings).double(), []
    model.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    outputs = model(random_images(1, 64, 96), sizes_of((64, 96)))
    expected = plain.decoder(model, seen[0].features[0], seen[0].positions[0], (64, 96))
    for output, of_layer in zip(outputs, expected, strict=True):
        for actual, part in zip(output, of_layer, strict=True):
            torch.testing.assert_close(actual[0], part)


@torch.no_grad()
def test_a_cell_is_padding_where_its_upper_left_pixel_is() -> None:
    """As nearest-neighbour interpolation has it, which rounds down."""
    model, seen = detr(ORIGINAL), []
    model.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].inside))
    model(random_images(4, 64, 96), sizes_of((64, 96), (33, 65), (32, 64), (1, 1)))
    assert seen[0].unflatten(1, (2, 3)).int().tolist() == [
        [[1, 1, 1], [1, 1, 1]],
        [[1, 1, 1], [1, 1, 1]],
        [[1, 1, 0], [0, 0, 0]],
        [[1, 0, 0], [0, 0, 0]],
    ]


def boxes_given_to_layers(model: DETR, images: Tensor, sizes: Tensor) -> tuple[list[Tensor], list[StageOutput]]:
    given: list[Tensor] = []
    for layer in model.decoder.layers:
        layer.register_forward_pre_hook(lambda _, inputs: given.append(inputs[2]))
    return given, model(images, sizes)


def test_attention_compares_the_boxes_of_the_layer_before() -> None:
    """The first layer's IoU is 1 everywhere, and no gradient goes back through the boxes (Appendix C)."""
    given, outputs = boxes_given_to_layers(detr(OURS), random_images(2, 64, 96), sizes_of((64, 96), (40, 60)))
    assert pairwise_iou(given[0], given[0]).min() == 1
    assert given[0][1].tolist() == [[0, 0, 60, 40]] * 6
    for boxes, before in zip(given[1:], outputs, strict=False):
        assert torch.equal(boxes, before.boxes)
        assert not boxes.requires_grad
        assert before.boxes.requires_grad
        assert pairwise_iou(boxes, boxes).min() < 1


@torch.no_grad()
def test_iou_attention_changes_all_layers_but_the_first() -> None:
    enhanced, original = detr(replace(ORIGINAL, attention="iou")), detr(ORIGINAL)
    assert enhanced.state_dict().keys() == original.state_dict().keys()
    original.load_state_dict(enhanced.state_dict())
    images, sizes = random_images(1, 64, 96), sizes_of((64, 96))
    with_iou, without = enhanced(images, sizes), original(images, sizes)
    torch.testing.assert_close(with_iou[0].logits, without[0].logits)
    assert not torch.allclose(with_iou[1].logits, without[1].logits)


@BOTH
def test_every_parameter_learns(settings: DETRConfig) -> None:
    model = detr(replace(settings, dropout=0.0)).train()
    outputs = model(random_images(2, 64, 96), sizes_of((64, 96), (50, 70)))
    torch.stack([output.logits.square().sum() + output.boxes.square().mean() for output in outputs]).sum().backward()
    # The bias of the keys adds the same number to all logits of a row, so the softmax cancels it.
    width = settings.width
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        learns = parameter.grad.abs() > 0
        if name.endswith("attention.qkv.bias"):
            learns = torch.cat([learns[:width], learns[2 * width :]])
        assert learns.any(), name


@BOTH
def test_gradients_are_finite_in_mixed_precision(settings: DETRConfig) -> None:
    model = detr(settings).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(random_images(2, 64, 64), sizes_of((64, 64), (40, 33)))
    assert all(output.boxes.dtype == output.logits.dtype == torch.float32 for output in outputs)
    torch.stack([output.logits.square().sum() + output.boxes.square().mean() for output in outputs]).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_on_swin_every_parameter_that_is_trained_gets_a_gradient() -> None:
    """Nothing reads the norms of Swin's other maps, so they must not be trained."""
    swin = BackboneConfig(name="swin_tiny_patch4_window7_224", frozen_stages=0)
    model = detr(DETRConfig(num_classes=2, proposals=3, width=16, heads=2, backbone=swin, decoder_layers=1))
    model.backbone.body.requires_grad_(False)  # to save time
    last = model(random_images(1, 64, 64), sizes_of((64, 64)))[-1]
    (last.logits.sum() + last.boxes.sum()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)

    # its patches have sides of 4 pixels; the values of the padding up to whole patches do not matter
    assert model.multiple == 4
    image, sizes = random_images(1, 61, 70), sizes_of((61, 70))
    padded = F.pad(image, (0, 2, 0, 3), value=200)
    for ours, theirs in zip(model.eval().detect(image, sizes), model.detect(padded, sizes), strict=True):
        assert torch.equal(ours, theirs)


def test_decode_ranks_each_query_once_by_its_best_class() -> None:
    # 4 queries, 3 classes and no object. No object wins for the second query; its best class counts nevertheless.
    probabilities = torch.tensor(
        [[[0.5, 0.2, 0.1, 0.2], [0.1, 0.2, 0.0, 0.7], [0.0, 0.1, 0.9, 0.0], [0.3, 0.4, 0, 0.3]]]
    )
    boxes = torch.arange(16.0).view(1, 4, 4)
    last = StageOutput(logits=(probabilities + 1e-9).log(), boxes=boxes, queries=torch.zeros(1, 4, 16))
    other = StageOutput(logits=-last.logits, boxes=-boxes, queries=last.queries)  # earlier layers do not count
    decoded = detr(ORIGINAL).decode([other, last])
    assert decoded.labels.tolist() == [[2, 0, 1, 1]]
    torch.testing.assert_close(decoded.scores, torch.tensor([[0.9, 0.5, 0.4, 0.2]]))
    assert decoded.boxes.tolist() == boxes[:, [2, 0, 3, 1]].tolist()


@BOTH
def test_detr_overfits_two_images(settings: DETRConfig) -> None:
    """With DETR's own loss. The images are of different sizes, so one of them is padded."""
    torch.manual_seed(0)
    model = DETR(replace(settings, width=32, dropout=0.0, backbone=replace(settings.backbone, name="test_resnet")))
    images, sizes = torch.zeros(2, 3, 64, 96), sizes_of((64, 96), (48, 64))
    targets = [
        Target(boxes=boxes, labels=torch.tensor(labels), ignored=torch.zeros(0, 4), size=size)
        for boxes, labels, size in (
            (torch.tensor([[8.0, 8, 40, 40], [50, 20, 90, 60]]), [0, 2], (64, 96)),
            (torch.tensor([[10.0, 6, 50, 44]]), [1], (48, 64)),
        )
    ]
    for image, target in zip(images, targets, strict=True):
        for (x1, y1, x2, y2), label in zip(target.boxes.int().tolist(), target.labels.tolist(), strict=True):
            image[label, y1:y2, x1:x2] = 255
    criterion = SetCriterion(
        LossConfig(classes=CrossEntropyConfig(), class_weight=1.0, l1_weight=5.0, l1_of="centre_size", giou_weight=2.0)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    totals = []
    for _ in range(80):
        loss = criterion(model(images, sizes), targets, num_boxes=3).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.append(loss.item())
    assert totals[-1] < 0.25 * totals[0]
    decoded = model.eval().decode(model(images, sizes))
    assert sorted(decoded.labels[0, :2].tolist()) == [0, 2]
    assert decoded.labels[1, 0] == 1
    assert decoded.scores[1, 1] < 0.5 < decoded.scores[1, 0]


@BOTH
def test_the_configuration_survives_json(settings: DETRConfig) -> None:
    again = config.from_dict(DETRConfig, config.to_dict(settings), "here")
    assert again == settings
    assert isinstance(build_detector(again), DETR)


@pytest.mark.parametrize(
    "bad", [{"width": 20}, {"width": 24, "heads": 5}, {"dropout": 1.0}, {"proposals": 0}, {"decoder_layers": 0}]
)
def test_invalid_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        replace(ORIGINAL, **bad)
