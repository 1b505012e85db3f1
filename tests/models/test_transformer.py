"""DETR's layers equal torch's own where those exist, and the loops of tests/plain with the paper's modules."""

from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from tests.plain import transformer as plain
from tests.plain.iou import self_iou
from uncrowd.models.attention import MultiHeadAttention
from uncrowd.models.feedforward import FeedForward
from uncrowd.models.transformer import (
    DecoderAttentionKind,
    DecoderInteractionKind,
    DecoderLayer,
    EncoderLayer,
    Memory,
    sine_positions,
)

Module = TypeVar("Module", bound=nn.Module)
WIDTH, HEADS, HIDDEN = 16, 4, 24
ROWS, COLUMNS = 2, 3
VARIANTS = [("content", "entangled"), ("iou", "entangled"), ("content", "dcw"), ("iou", "dcw")]
# Some overlap, two do not, one has no area.
BOXES = torch.tensor([[0, 0, 10, 10], [5, 5, 15, 15], [100, 100, 110, 110], [7, 7, 7, 7]], dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def with_noise(module: Module) -> Module:
    """Returns the module in double precision, with noise on all parameters, also on biases and norms."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return module.double().eval()


def decoder_layer(attention: DecoderAttentionKind = "iou", interaction: DecoderInteractionKind = "dcw") -> DecoderLayer:
    return with_noise(DecoderLayer(WIDTH, HEADS, HIDDEN, dropout=0.1, attention=attention, interaction=interaction))


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def image(images: int = 1, rows: int = ROWS, columns: int = COLUMNS) -> Memory:
    inside = torch.ones(images, rows * columns, dtype=torch.bool)
    return Memory(random(images, rows * columns, WIDTH), random(images, rows * columns, WIDTH), inside)


def padded(memory: Memory) -> Memory:
    """Returns the same image of 2 x 3 cells in 4 x 5, with large numbers in the padding."""
    features, positions = (torch.full((len(memory.inside), 4, 5, WIDTH), 1e3, dtype=torch.float64) for _ in range(2))
    features[:, :ROWS, :COLUMNS] = memory.features.unflatten(1, (ROWS, COLUMNS))
    positions[:, :ROWS, :COLUMNS] = memory.positions.unflatten(1, (ROWS, COLUMNS))
    inside = torch.zeros(len(memory.inside), 4, 5, dtype=torch.bool)
    inside[:, :ROWS, :COLUMNS] = True
    return Memory(features.flatten(1, 2), positions.flatten(1, 2), inside.flatten(1))


def copy_attention(theirs: nn.MultiheadAttention, ours: MultiHeadAttention) -> None:
    weight, bias, out = theirs.in_proj_weight, theirs.in_proj_bias, theirs.out_proj
    assert weight is not None
    assert bias is not None
    ours.qkv.load_state_dict({"weight": weight, "bias": bias})
    ours.out.load_state_dict({"weight": out.weight, "bias": out.bias})


def copy_feedforward(
    theirs: nn.TransformerEncoderLayer | nn.TransformerDecoderLayer, norm: nn.LayerNorm, ours: FeedForward
) -> None:
    ours.linear1.load_state_dict(theirs.linear1.state_dict())
    ours.linear2.load_state_dict(theirs.linear2.state_dict())
    ours.norm.load_state_dict(norm.state_dict())


# In training, the same seed gives both layers the same dropout, but only for a single image.
IN_TRAINING = pytest.mark.parametrize(("training", "images"), [(False, 2), (True, 1)], ids=["evaluation", "training"])


@torch.no_grad()
@IN_TRAINING
def test_an_encoder_layer_equals_torchs_own(training: bool, images: int) -> None:
    """Without positions, which torch's layer does not have."""
    theirs = with_noise(nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, batch_first=True))
    ours = EncoderLayer(WIDTH, HEADS, HIDDEN, dropout=0.1).double().eval()
    copy_attention(theirs.self_attn, ours.attention)
    ours.attention_norm.load_state_dict(theirs.norm1.state_dict())
    copy_feedforward(theirs, theirs.norm2, ours.feedforward)
    features, _, inside = padded(image(images))
    torch.manual_seed(1)
    actual = ours.train(training)(Memory(features, torch.zeros_like(features), inside)).features
    torch.manual_seed(1)
    expected = theirs.train(training)(features, src_key_padding_mask=~inside)
    torch.testing.assert_close(actual[inside], expected[inside])


@torch.no_grad()
@IN_TRAINING
def test_a_decoder_layer_equals_torchs_own(training: bool, images: int) -> None:
    theirs = with_noise(nn.TransformerDecoderLayer(WIDTH, HEADS, HIDDEN, batch_first=True))
    ours = decoder_layer("content", "entangled")
    copy_attention(theirs.self_attn, ours.self_attention)
    copy_attention(theirs.multihead_attn, ours.cross_attention)
    ours.self_norm.load_state_dict(theirs.norm1.state_dict())
    ours.cross_norm.load_state_dict(theirs.norm2.state_dict())
    feedforward = ours.task_features.feedforward
    assert isinstance(feedforward, FeedForward)
    copy_feedforward(theirs, theirs.norm3, feedforward)
    features, _, inside = padded(image(images))
    queries = random(images, 4, WIDTH)
    nowhere = Memory(features, torch.zeros_like(features), inside)
    torch.manual_seed(1)
    actual = ours.train(training)(queries, torch.zeros_like(queries), BOXES.expand(images, -1, -1), nowhere)
    torch.manual_seed(1)
    expected = theirs.train(training)(queries, features, memory_key_padding_mask=~inside)
    for part in actual:
        torch.testing.assert_close(part, expected)


@torch.no_grad()
def test_an_encoder_layer_equals_the_plain_loops() -> None:
    layer, memory = with_noise(EncoderLayer(WIDTH, HEADS, HIDDEN, dropout=0.1)), image()
    cells, placed = memory.features[0], memory.features[0] + memory.positions[0]
    everywhere = torch.ones(len(cells), len(cells), dtype=cells.dtype)
    gathered = plain.attention(layer.attention, placed, placed, cells, everywhere)
    expected = plain.feedforward(layer.feedforward, plain.norm(layer.attention_norm, cells + gathered))
    torch.testing.assert_close(layer(memory).features[0], expected)


@torch.no_grad()
@pytest.mark.parametrize(("attention", "interaction"), VARIANTS)
def test_a_decoder_layer_equals_the_plain_loops(
    attention: DecoderAttentionKind, interaction: DecoderInteractionKind
) -> None:
    layer, memory = decoder_layer(attention, interaction), image()
    queries, positions = random(1, 4, WIDTH), random(1, 4, WIDTH)
    overlap = torch.tensor(self_iou(BOXES.tolist()), dtype=torch.float64)
    expected = plain.decoder_layer(
        layer,
        queries[0],
        positions[0],
        overlap if attention == "iou" else torch.ones_like(overlap),
        memory.features[0],
        memory.positions[0],
    )
    for actual, part in zip(layer(queries, positions, BOXES[None], memory), expected, strict=True):
        torch.testing.assert_close(actual[0], part)


@torch.no_grad()
@pytest.mark.parametrize(("attention", "interaction"), VARIANTS)
def test_padding_is_not_attended_to(attention: DecoderAttentionKind, interaction: DecoderInteractionKind) -> None:
    encoder, decoder = (
        with_noise(EncoderLayer(WIDTH, HEADS, HIDDEN, dropout=0.1)),
        decoder_layer(attention, interaction),
    )
    memory, queries = image(2), random(2, 4, WIDTH)
    alone, together = encoder(encoder(memory)), encoder(encoder(padded(memory)))
    torch.testing.assert_close(together.features[together.inside], alone.features.flatten(0, 1))
    given = (queries, random(2, 4, WIDTH), BOXES.expand(2, -1, -1))
    for actual, expected in zip(decoder(*given, together), decoder(*given, alone), strict=True):
        torch.testing.assert_close(actual, expected)


@torch.no_grad()
def test_equal_boxes_turn_iou_attention_into_plain_attention() -> None:
    enhanced, plain_one = decoder_layer("iou"), decoder_layer("content")
    plain_one.load_state_dict(enhanced.state_dict())
    memory, queries, positions = image(), random(1, 4, WIDTH), random(1, 4, WIDTH)
    apart, equal = BOXES[None], BOXES[:1].expand(1, 4, 4)
    expected = plain_one(queries, positions, apart, memory).queries
    torch.testing.assert_close(enhanced(queries, positions, equal, memory).queries, expected)
    assert not torch.allclose(enhanced(queries, positions, apart, memory).queries, expected)


def test_the_two_tasks_share_no_feed_forward_and_no_mask() -> None:
    """A loss on the class features alone gives the box branch no gradient, and vice versa."""
    layer, memory, queries = decoder_layer(), image(), random(1, 4, WIDTH)
    for task, other in (("class", "box"), ("box", "class")):
        layer.zero_grad()
        features = layer(queries, queries, BOXES[None], memory)._asdict()[f"{task}_features"]
        features.square().sum().backward()
        of_task = {name: p.grad for name, p in layer.named_parameters() if f"{task}_branch" in name}
        of_other = [p.grad for name, p in layer.named_parameters() if f"{other}_branch" in name]
        assert len(of_task) == len(of_other) == 10
        assert all(grad is not None and grad.any() for grad in of_task.values()), of_task
        assert all(grad is None or not grad.any() for grad in of_other)


@pytest.mark.parametrize("width", [8, 16])
def test_positions_equal_the_plain_loops_over_the_unpadded_image(width: int) -> None:
    sizes = [(3, 4), (2, 4), (3, 1)]
    inside = torch.zeros(3, 3, 4, dtype=torch.bool)
    for mask, (rows, columns) in zip(inside, sizes, strict=True):
        mask[:rows, :columns] = True
    actual = sine_positions(inside, width, torch.float64)
    assert actual.shape == (3, 3, 4, width)
    for of_image, (rows, columns) in zip(actual, sizes, strict=True):
        for row in range(rows):
            for column in range(columns):
                expected = plain.sine_position(row, column, rows, columns, width)
                assert of_image[row, column].tolist() == pytest.approx(expected, abs=1e-12)


def test_positions_of_padding_are_finite() -> None:
    inside = torch.zeros(1, 3, 4, dtype=torch.bool)
    inside[0, :1, :1] = True
    assert sine_positions(inside, WIDTH, torch.float32).isfinite().all()


def test_layers_start_as_detrs_do() -> None:
    """As in nn.MultiheadAttention, Xavier treats the three projections as one matrix, and their biases are zero."""
    layer = DecoderLayer(64, 8, 128, dropout=0.1, attention="iou", interaction="dcw")
    for attention in (layer.self_attention, layer.cross_attention):
        assert not attention.qkv.bias.any()
        assert not attention.out.bias.any()
        bound = (6 / (64 + 3 * 64)) ** 0.5
        assert attention.qkv.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
        assert attention.qkv.weight.abs().max() <= bound
