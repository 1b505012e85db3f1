"""The whole model: raw pixels go in, one output a stage comes out, the same for an image alone and in a batch."""

from dataclasses import replace

import jaxtyping
import pytest
import torch

from tests.models.whole import assert_same, random_images, sizes_of, with_noise
from uncrowd.boxes import pairwise_iou
from uncrowd.errors import InputError
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.structures import StageOutput

TINY = SparseRCNNConfig(
    num_classes=3,
    proposals=6,
    stages=2,
    backbone=BackboneConfig(name="test_efficientnet", norm="group", frozen_stages=0),
    stage=StageConfig(width=16, heads=2, dynamic_width=8, feedforward_width=32),
)


@pytest.fixture
def model() -> SparseRCNN:
    torch.manual_seed(0)
    return with_noise(SparseRCNN(TINY))


def test_a_backbone_whose_maps_a_pyramid_cannot_add_is_refused_at_once() -> None:
    backbone = BackboneConfig(name="legacy_xception", frozen_stages=0)
    with (
        torch.device("meta"),
        pytest.raises(InputError, match="'legacy_xception' turns 96 x 96 pixels into maps of 23"),
    ):
        SparseRCNN(SparseRCNNConfig(backbone=backbone))


@torch.no_grad()
def test_one_output_a_stage(model: SparseRCNN) -> None:
    outputs = model(random_images(2, 50, 70), sizes_of((50, 70), (40, 60)))
    assert len(outputs) == 2
    for output in outputs:
        assert output.logits.shape == (2, 6, 3)
        assert output.boxes.shape == (2, 6, 4)
        assert output.queries.shape == (2, 6, 16)


@torch.no_grad()
def test_groups_of_proposals_are_for_training_alone() -> None:
    """In evaluation, the first group gives the very outputs of a model that has no other."""
    torch.manual_seed(0)
    grouped, alone = SparseRCNN(replace(TINY, query_groups=3)), SparseRCNN(TINY)
    proposals = ("proposal_boxes_cxcywh_norm", "proposal_queries")
    alone.load_state_dict({n: t[:6] if n in proposals else t for n, t in grouped.state_dict().items()})
    images, sizes = random_images(2, 50, 70), sizes_of((50, 70), (40, 60))
    in_training = grouped.train()(images, sizes)
    for ours, theirs, first in zip(
        grouped.eval()(images, sizes), alone.eval()(images, sizes), in_training, strict=True
    ):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        assert first.boxes.shape == (6, 6, 4)
        torch.testing.assert_close(first.boxes[::3], ours.boxes, rtol=1e-4, atol=1e-2)
        assert not torch.equal(first.logits[0], first.logits[1])


def test_queries_from_the_image_reach_the_first_stage_with_scores() -> None:
    """So its attention may learn from them, which learned proposals do not allow."""
    torch.manual_seed(0)
    model = SparseRCNN(replace(TINY, queries="dense", stages=1, stage=replace(TINY.stage, attention="iou_learned")))
    model(random_images(1, 64, 64), sizes_of((64, 64)))[-1].logits.sum().backward()
    gradient = model.head.stages[0].get_parameter("attention.score_weight").grad
    assert gradient is not None
    assert gradient.any()


@torch.no_grad()
def test_groups_of_queries_from_the_image_are_chosen_anew_in_training() -> None:
    """The first group has the points of a model that has no other, and in evaluation there is only this one."""
    torch.manual_seed(0)
    grouped, alone = (SparseRCNN(replace(TINY, queries="dense", query_groups=groups)) for groups in (3, 1))
    alone.load_state_dict(grouped.state_dict())
    images, sizes = random_images(2, 50, 70), sizes_of((50, 70), (40, 60))
    assert_same(grouped.eval()(images, sizes), alone.eval()(images, sizes), tolerance=0)
    _, _, *in_training = grouped.train()(images, sizes, proposals=6)
    _, _, *of_one = alone.train()(images, sizes, proposals=6)
    for ours, theirs in zip(in_training, of_one, strict=True):
        assert ours.boxes.shape == (6, 6, 4)
        torch.testing.assert_close(ours.boxes[::3], theirs.boxes, rtol=1e-4, atol=1e-2)
        assert not torch.equal(ours.boxes[0], ours.boxes[1])
        assert not torch.equal(ours.boxes[1], ours.boxes[2])


def test_groups_without_stages_are_refused() -> None:
    with pytest.raises(InputError, match="query_groups is 2; without stages no group learns, so give 1"):
        replace(TINY, queries="dense", stages=0, query_groups=2)


@torch.no_grad()
def test_bytes_and_floats_are_the_same_image(model: SparseRCNN) -> None:
    images, sizes = random_images(1, 50, 70), sizes_of((50, 70))
    assert_same(model(images.float(), sizes), model(images, sizes), tolerance=0)


@torch.no_grad()
def test_training_and_evaluation_compute_the_same(model: SparseRCNN) -> None:
    images, sizes = random_images(1, 50, 70), sizes_of((50, 70))
    assert_same(model.train()(images, sizes), model.eval()(images, sizes), tolerance=0)


@torch.no_grad()
def test_the_content_of_the_padding_does_not_matter(model: SparseRCNN) -> None:
    clean = torch.zeros(1, 3, 64, 96)
    clean[..., :50, :70] = random_images(1, 50, 70)
    dirty = torch.full_like(clean, torch.nan)
    dirty[..., :50, :70] = clean[..., :50, :70]
    assert_same(model(dirty, sizes_of((50, 70))), model(clean, sizes_of((50, 70))), tolerance=0)


@torch.no_grad()
def test_the_model_pads_to_its_own_multiple(model: SparseRCNN) -> None:
    bare = random_images(1, 50, 70)
    padded = torch.nn.functional.pad(bare, (0, 96 - 70, 0, 64 - 50))
    assert_same(model(bare, sizes_of((50, 70))), model(padded, sizes_of((50, 70))), tolerance=0)


@torch.no_grad()
def test_an_image_alone_gives_what_it_gives_in_a_batch(model: SparseRCNN) -> None:
    """In double precision, so that the tolerance can be far below what another padding would change."""
    model.double()
    images, sizes = random_images(3, 64, 96), sizes_of((64, 96), (50, 96), (64, 70))
    together = model(images, sizes)
    for i in range(3):
        alone = model(images[i : i + 1], sizes[i : i + 1])
        assert_same(alone, [StageOutput(*(part[i : i + 1] for part in stage)) for stage in together], tolerance=1e-9)


def test_proposals_start_as_the_whole_unpadded_image(model: SparseRCNN) -> None:
    fresh, seen = SparseRCNN(TINY), []
    fresh.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    fresh(random_images(2, 64, 96), sizes_of((64, 96), (40, 60)))
    assert seen[0][0].tolist() == [[0, 0, 96, 64]] * 6
    assert seen[0][1].tolist() == [[0, 0, 60, 40]] * 6
    assert pairwise_iou(seen[0], seen[0]).min() == 1  # so the first stage's attention is plain attention


def test_normalised_pixels_and_zero_padding(model: SparseRCNN) -> None:
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    mean = torch.tensor(TINY.backbone.mean)
    model(mean[:, None, None].expand(1, 3, 40, 40) + torch.tensor(TINY.backbone.std)[:, None, None], sizes_of((40, 40)))
    assert seen[0].shape == (1, 3, 64, 64)
    torch.testing.assert_close(seen[0][..., :40, :40], torch.ones(1, 3, 40, 40))
    assert not seen[0][..., 40:, :].any()
    assert not seen[0][..., :, 40:].any()


def test_decode_ranks_the_best_n_of_all_classes(model: SparseRCNN) -> None:
    logits = torch.tensor([[[0.0, 3, -5], [2, -5, -5], [-5, -5, 1], [-9, -9, -9]]])  # 4 proposals, 3 classes
    boxes = torch.arange(16.0).view(1, 4, 4)
    last = StageOutput(logits=logits, boxes=boxes, queries=torch.zeros(1, 4, 16))
    other = StageOutput(logits=-logits, boxes=-boxes, queries=last.queries)  # earlier stages do not count
    decoded = model.decode([other, last])
    assert decoded.labels.tolist() == [[1, 0, 2, 0]]
    torch.testing.assert_close(decoded.scores, torch.tensor([[3.0, 2, 1, 0]]).sigmoid())
    assert decoded.boxes.tolist() == boxes[:, [0, 1, 2, 0]].tolist()  # the first box comes back with two labels

    once = model.decode([other, last], one_label=True)
    assert once.labels.tolist() == [[1, 0, 2, 0]]
    assert once.boxes.tolist() == boxes[:, [0, 1, 2, 3]].tolist()  # each box with its best label
    torch.testing.assert_close(once.scores, torch.tensor([[3.0, 2, 1, -9]]).sigmoid())


def test_gradients_are_finite_in_mixed_precision(model: SparseRCNN) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model(random_images(2, 64, 64), sizes_of((64, 64), (64, 64)))
    assert all(output.boxes.dtype == torch.float32 for output in outputs)
    torch.stack(
        [output.logits.float().square().sum() + output.boxes.square().mean() for output in outputs]
    ).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@torch.no_grad()
def test_it_can_be_exported(model: SparseRCNN, monkeypatch: pytest.MonkeyPatch) -> None:
    # While tracing, sizes are symbols, which the shape checks of the tests do not understand.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    images, sizes = random_images(1, 64, 96), sizes_of((64, 96))
    exported = torch.export.export(model, (images, sizes)).module()
    other = images.flip(-1)  # other boxes, on other levels
    assert_same(exported(other, sizes), model(other, sizes), tolerance=1e-5)
