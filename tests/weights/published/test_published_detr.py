"""DETR's published checkpoints are imported completely, except rows of category ids that COCO never used."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.weights.published.checkpoints import as_detr, detr_name, small_detr
from uncrowd.errors import InputError
from uncrowd.models.detr import DETR, DETRConfig
from uncrowd.weights.published import Published, read_published
from uncrowd.weights.published.detr import recognises, rename_file
from uncrowd.weights.published.pth import PthFile

WIDTH, HIDDEN = 256, 2048
ATTENTION = {
    "in_proj_weight": (3 * WIDTH, WIDTH),
    "in_proj_bias": (3 * WIDTH,),
    "out_proj.weight": (WIDTH, WIDTH),
    "out_proj.bias": (WIDTH,),
}
# A layer of the published R50, as DETR builds it, without the parts that only decoders have.
LAYER = {f"self_attn.{name}": shape for name, shape in ATTENTION.items()}
LAYER |= {"linear1.weight": (HIDDEN, WIDTH), "linear1.bias": (HIDDEN,)}
LAYER |= {"linear2.weight": (WIDTH, HIDDEN), "linear2.bias": (WIDTH,)}
LAYER |= {f"{norm}.{kind}": (WIDTH,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")}
DECODER_LAYER = LAYER | {f"multihead_attn.{name}": shape for name, shape in ATTENTION.items()}
DECODER_LAYER |= {"norm3.weight": (WIDTH,), "norm3.bias": (WIDTH,)}
HEADS = {
    "transformer.decoder.norm.weight": (WIDTH,),
    "transformer.decoder.norm.bias": (WIDTH,),
    "class_embed.weight": (92, WIDTH),
    "class_embed.bias": (92,),
    "bbox_embed.layers.0.weight": (WIDTH, WIDTH),
    "bbox_embed.layers.0.bias": (WIDTH,),
    "bbox_embed.layers.1.weight": (WIDTH, WIDTH),
    "bbox_embed.layers.1.bias": (WIDTH,),
    "bbox_embed.layers.2.weight": (4, WIDTH),
    "bbox_embed.layers.2.bias": (4,),
    "query_embed.weight": (100, WIDTH),
    "input_proj.weight": (WIDTH, 2048, 1, 1),
    "input_proj.bias": (WIDTH,),
}
# These of COCO's category ids 0 to 90.
NEVER_USED = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)


def read(tensors: dict[str, Tensor], folder: Path) -> Published:
    torch.save({"model": tensors}, folder / "detr.pth")
    return read_published(folder / "detr.pth")


def test_every_tensor_of_the_published_model_is_used_exactly_once() -> None:
    """The tensors are on the meta device: they have names and shapes of R50, but no values."""
    config = DETRConfig()
    with torch.device("meta"):
        wanted = DETR(config).state_dict()
        given = {detr_name(name): tensor for name, tensor in wanted.items() if name.startswith("backbone.")}
        given |= {name: torch.empty(shape) for name, shape in HEADS.items()}
        for kind, layer in (("encoder", LAYER), ("decoder", DECODER_LAYER)):
            for i in range(6):
                given |= {f"transformer.{kind}.layers.{i}.{name}": torch.empty(s) for name, s in layer.items()}
    assert {"backbone.0.body.conv1.weight", "backbone.0.body.layer1.0.downsample.1.running_var"} <= given.keys()
    assert given.keys() == {detr_name(name) for name in wanted}
    assert recognises(given)
    renamed = rename_file(PthFile("a file", given, {}))
    assert renamed.config == config
    assert {name: t.shape for name, t in renamed.tensors.items()} == {name: t.shape for name, t in wanted.items()}


@torch.no_grad()
def test_a_file_becomes_the_same_model_without_the_rows_that_were_never_used(tmp_path: Path) -> None:
    original = small_detr(91)
    published = read(as_detr(original), tmp_path)
    assert published.naming == "DETR"
    assert published.model.config == small_detr(80).config
    assert published.notes[0].startswith("11 of the 92 rows of the class head were left out")
    kept = [row for row in range(92) if row not in NEVER_USED]
    assert len(kept) == 81
    images, sizes = torch.randint(256, (1, 3, 64, 64)), torch.tensor([[64, 64]])
    for ours, expected in zip(published.model.eval()(images, sizes), original(images, sizes), strict=True):
        torch.testing.assert_close(ours.logits, expected.logits[..., kept])
        assert torch.equal(ours.boxes, expected.boxes)


def test_another_number_of_rows_is_kept_and_noted(tmp_path: Path) -> None:
    original = small_detr(3)
    published = read(as_detr(original), tmp_path)
    assert published.model.config == original.config
    assert published.notes[0].startswith("the class head has 4 rows, not COCO's 92")
    for name, tensor in original.state_dict().items():
        assert torch.equal(published.model.state_dict()[name], tensor), name


def test_assumed_settings_are_noted(tmp_path: Path) -> None:
    assert re.search(
        r"heads, the dropout, and the pixel mean.*dilated \(DC5\)", read(as_detr(small_detr(3)), tmp_path).notes[-1]
    )


def test_counters_of_batch_norm_are_left_out(tmp_path: Path) -> None:
    tensors = as_detr(small_detr(3)) | {"backbone.0.body.bn1.num_batches_tracked": torch.tensor(7)}
    assert "1 num_batches_tracked tensors were left out" in " ".join(read(tensors, tmp_path).notes)


def test_surplus_and_missing_tensors_are_listed(tmp_path: Path) -> None:
    tensors = as_detr(small_detr(3))
    del tensors["transformer.decoder.layers.1.norm3.bias"]
    tensors["mask_head.lay1.weight"] = torch.zeros(3)
    with pytest.raises(InputError) as caught:
        read(tensors, tmp_path)
    assert "decoder.layers.1.task_features.feedforward.norm.bias: only in the model, (16,)" in str(caught.value)
    assert "mask_head.lay1.weight: only in the file, (3,)" in str(caught.value)


@pytest.mark.parametrize(
    "missing", ["query_embed.weight", "class_embed.weight", "backbone.0.body.layer1.0.conv2.weight"]
)
def test_half_of_a_checkpoint_is_refused(tmp_path: Path, missing: str) -> None:
    tensors = {name: tensor for name, tensor in as_detr(small_detr(3)).items() if name != missing}
    with pytest.raises(InputError, match=r"is not a complete DETR: \S+ \(our name\) is missing"):
        read(tensors, tmp_path)


def test_successors_of_detr_are_not_recognised() -> None:
    assert not recognises({"transformer.decoder.layers.0.cross_attn.sampling_offsets.weight": torch.zeros(1)})
