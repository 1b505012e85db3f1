"""The weights file: everything is restored, nothing is guessed, and a full disk destroys no older file."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from uncrowd import config
from uncrowd.data.transforms import ResizeConfig
from uncrowd.errors import InputError
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.build import build_detector
from uncrowd.models.detr import DETR, DETRConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig
from uncrowd.structures import Categories
from uncrowd.thresholds import ScoreThresholds
from uncrowd.weights import file as module
from uncrowd.weights.file import HEADER, load_exactly, load_weights, read_safetensors, save_weights

TINY = SparseRCNNConfig(
    num_classes=2,
    proposals=4,
    stages=1,
    backbone=BackboneConfig(name="test_efficientnet", norm="group", frozen_stages=0),
    stage=StageConfig(width=16, heads=2, dynamic_width=4, feedforward_width=32),
)
CATEGORIES = Categories(ids=(1, 90), names=("person", "toothbrush"))
PREPROCESSING = ResizeConfig(short_side=640, max_size=1000)


@pytest.fixture
def model() -> SparseRCNN:
    torch.manual_seed(0)
    model = build_detector(TINY).eval()
    assert isinstance(model, SparseRCNN)
    return model


def test_round_trip_to_the_bit(model: SparseRCNN, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "model.safetensors"
    save_weights(path, model, CATEGORIES, PREPROCESSING)
    loaded = load_weights(path)
    assert loaded.categories == CATEGORIES
    assert loaded.preprocessing == PREPROCESSING
    assert loaded.model.config == TINY
    assert not loaded.model.training
    images, sizes = torch.randint(256, (1, 3, 64, 64)), torch.tensor([[64, 64]])
    for ours, theirs in zip(loaded.model(images, sizes), model(images, sizes), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]


def test_of_a_pretrained_backbone_only_the_name_of_its_file_is_kept(tmp_path: Path) -> None:
    backbone = replace(TINY.backbone, pretrained="/home/me/backbone.safetensors")
    save_weights(
        tmp_path / "model.safetensors", SparseRCNN(replace(TINY, backbone=backbone)), CATEGORIES, PREPROCESSING
    )
    assert b"/home/me" not in (tmp_path / "model.safetensors").read_bytes()
    assert load_weights(tmp_path / "model.safetensors").model.config.backbone.pretrained == "backbone.safetensors"


def test_a_shared_stage_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = build_detector(replace(TINY, stages=4, stage=replace(TINY.stage, weights="shared"))).eval()
    save_weights(path, model, CATEGORIES, PREPROCESSING)
    tensors, _ = read_safetensors(path)
    assert sum(name.endswith(".box_deltas.weight") for name in tensors) == 2
    loaded = load_weights(path).model
    assert loaded.config == model.config
    images, sizes = torch.randint(256, (1, 3, 64, 64)), torch.tensor([[64, 64]])
    assert torch.equal(loaded(images, sizes)[3].boxes, model(images, sizes)[3].boxes)


def test_a_class_may_have_the_name_of_a_setting(tmp_path: Path, model: SparseRCNN) -> None:
    names = ("pictures", "images")
    thresholds = ScoreThresholds(f1=dict(zip(names, (0.25, 0.5), strict=True)), count=dict.fromkeys(names, 0.5))
    save_weights(tmp_path / "w.safetensors", model, Categories(ids=(1, 2), names=names), PREPROCESSING, thresholds)
    assert load_weights(tmp_path / "w.safetensors").thresholds == thresholds


def test_other_classes_are_refused_with_a_table(model: SparseRCNN) -> None:
    other = SparseRCNN(replace(TINY, num_classes=5))
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(InputError) as error:
        load_exactly(other, model.state_dict(), "model.safetensors")
    assert str(error.value).splitlines() == [
        "model.safetensors does not fit the model in 2 tensors:",
        "  head.stages.0.class_logits.weight: (2, 16) in the file, (5, 16) in the model",
        "  head.stages.0.class_logits.bias: (2,) in the file, (5,) in the model",
    ]
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())  # nothing was loaded


def test_missing_and_surplus_tensors_are_named(model: SparseRCNN) -> None:
    state = model.state_dict()
    del state["proposal_queries"]
    state["stray"] = torch.zeros(3)
    with pytest.raises(InputError) as error:
        load_exactly(model, state, "here")
    assert "proposal_queries: only in the model, (4, 16)" in str(error.value)
    assert "stray: only in the file, (3,)" in str(error.value)


def test_a_long_table_is_cut(model: SparseRCNN) -> None:
    with pytest.raises(InputError, match=r"\.\.\. and \d+ more"):
        load_exactly(model, {}, "here")


def test_files_that_are_not_weights(tmp_path: Path, model: SparseRCNN) -> None:
    with pytest.raises(InputError, match=r"missing\.safetensors does not exist"):
        load_weights(tmp_path / "missing.safetensors")
    with pytest.raises(InputError, match=r"no run was finished there; give weights or the folder of a finished run\.$"):
        load_weights(tmp_path)
    (tmp_path / "text.safetensors").write_text("no tensors at all, but long enough for a header")
    with pytest.raises(InputError, match=r"text\.safetensors is not a safetensors file"):
        load_weights(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "others.safetensors")
    with pytest.raises(InputError, match="`uncrowd import`"):
        load_weights(tmp_path / "others.safetensors")


def test_a_folder_of_a_run_stands_for_its_last_weights(tmp_path: Path, model: SparseRCNN) -> None:
    save_weights(tmp_path / "best.safetensors", model, Categories(ids=(3, 4), names=("a", "b")), PREPROCESSING)
    with pytest.raises(InputError, match=r"no run was finished there; .*best\.safetensors holds the best so far"):
        load_weights(tmp_path)
    save_weights(tmp_path / "weights.safetensors", model, CATEGORIES, PREPROCESSING)
    assert load_weights(tmp_path).categories == CATEGORIES
    with pytest.raises(InputError, match=rf"there; {tmp_path} is the run that was finished last\.$"):
        load_weights(tmp_path.parent)


def test_a_truncated_file(tmp_path: Path, model: SparseRCNN) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, model, CATEGORIES, PREPROCESSING)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match="or is damaged"):
        load_weights(path)


@pytest.mark.parametrize("description", ["{", "[]", "{}", '{"model": {}}', "[" * 100_000])
def test_a_damaged_description(tmp_path: Path, description: str) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors", {HEADER: description})
    with pytest.raises(InputError, match=r"model\.safetensors (has a damaged description|is not a valid Description)"):
        load_weights(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stages": 10**9}, "stages is 1000000000; give 100 or less"),
        ({"proposals": 10**12}, "does not fit the model in 2 tensors"),
        ({"proposals": 10**30}, "describes a model that cannot be built"),
        ({"stages": 2}, r"head\.stages\.1\.\S+: only in the model"),
    ],
)
def test_a_description_of_an_absurd_model(
    tmp_path: Path, model: SparseRCNN, changes: dict[str, int], said: str
) -> None:
    """It is compared with the tensors of the file before any memory is taken."""
    description = {
        "model": {"kind": "SparseRCNNConfig", **config.to_dict(TINY), **changes},
        "categories": config.to_dict(CATEGORIES),
        "preprocessing": config.to_dict(PREPROCESSING),
    }
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors", {HEADER: json.dumps(description)})
    with pytest.raises(InputError, match=said):
        load_weights(tmp_path / "model.safetensors")


def test_whole_numbers_in_place_of_others(model: SparseRCNN) -> None:
    tensors = model.state_dict()
    tensors["proposal_boxes_cxcywh_norm"] = tensors["proposal_boxes_cxcywh_norm"].to(torch.int64)
    with pytest.raises(InputError, match=r"proposal_boxes_cxcywh_norm: torch\.int64 in the file, torch\.float32 in"):
        load_exactly(model, tensors, "model.safetensors")


@pytest.mark.parametrize("part", ["model", "preprocessing"])
def test_a_description_of_another_version(tmp_path: Path, part: str) -> None:
    description = {
        "model": {"kind": "SparseRCNNConfig", **config.to_dict(TINY)},
        "categories": config.to_dict(CATEGORIES),
        "preprocessing": config.to_dict(PREPROCESSING),
    }
    description[part] |= {"speed": "ludicrous"}
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors", {HEADER: json.dumps(description)})
    with pytest.raises(InputError, match="speed"):
        load_weights(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("ids", "names"), [((1,), ("a",)), ((1, 2, 3), ("a", "b", "c")), ((1, 1), ("a", "b")), ((), ())]
)
def test_a_description_of_other_classes_than_the_models(
    tmp_path: Path, model: SparseRCNN, ids: tuple[int, ...], names: tuple[str, ...]
) -> None:
    save_weights(tmp_path / "model.safetensors", model, Categories(ids=ids, names=names), PREPROCESSING)
    with pytest.raises(InputError, match=r"model\.safetensors has a damaged description.* for 2 classes; save or"):
        load_weights(tmp_path / "model.safetensors")


@pytest.mark.parametrize("names", [("a", "a"), ("a", " a"), ("a", ""), ("a", " "), ("a", "b\n1"), ("a", "\x1b[2J")])
def test_class_names_that_name_no_class(tmp_path: Path, model: SparseRCNN, names: tuple[str, str]) -> None:
    save_weights(tmp_path / "model.safetensors", model, Categories(ids=(1, 2), names=names), PREPROCESSING)
    with pytest.raises(InputError, match=r"model\.safetensors has class names that are blank, shared or hold .* \('"):
        load_weights(tmp_path / "model.safetensors")


def test_weights_that_are_not_finite(tmp_path: Path, model: SparseRCNN) -> None:
    with torch.no_grad():
        model.proposal_queries[1, 2] = torch.nan
    save_weights(tmp_path / "model.safetensors", model, CATEGORIES, PREPROCESSING)
    with pytest.raises(InputError, match=r"model\.safetensors holds numbers that are not .* in proposal_queries; give"):
        load_weights(tmp_path / "model.safetensors")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, model: SparseRCNN, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, model, CATEGORIES, PREPROCESSING)
    before = path.read_bytes()

    def half_written(tensors: object, filename: Path, metadata: object) -> None:
        filename.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", half_written)
    with pytest.raises(InputError, match="No space left on device"):
        save_weights(path, model, CATEGORIES, PREPROCESSING)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_file_in_place_of_a_folder(tmp_path: Path, model: SparseRCNN) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save_weights(tmp_path / "file" / "model.safetensors", model, CATEGORIES, PREPROCESSING)


def test_the_weights_of_a_detr_may_say_channel_weighting(tmp_path: Path) -> None:
    """An earlier version wrote that key; this one writes `interaction`."""
    path = tmp_path / "detr.safetensors"
    tiny = DETRConfig(
        num_classes=2, proposals=4, backbone=TINY.backbone, interaction="dcw", width=16, encoder_layers=0,
        decoder_layers=1, feedforward_width=32,
    )  # fmt: skip
    save_weights(path, DETR(tiny), CATEGORIES, PREPROCESSING)
    tensors, header = module.read_safetensors(path)
    earlier = header[HEADER].replace('"interaction": "dcw"', '"channel_weighting": true')
    assert "interaction" not in earlier
    save_file(tensors, path, {HEADER: earlier})
    assert load_weights(path).model.config == tiny


THRESHOLDS = ScoreThresholds(f1={"person": 0.41, "toothbrush": 0.4}, count={"person": 0.35, "toothbrush": 0.4})


def test_thresholds_are_kept(model: SparseRCNN, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, model, CATEGORIES, PREPROCESSING, THRESHOLDS)
    assert load_weights(path).thresholds == THRESHOLDS
    save_weights(path, model, CATEGORIES, PREPROCESSING)
    assert load_weights(path).thresholds is None


def test_lowering_duplicates_can_be_chosen_at_inference_without_thresholds(model: SparseRCNN, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, model, CATEGORIES, PREPROCESSING, THRESHOLDS)
    loaded = load_weights(path, lower_duplicates=4.0)
    assert loaded.model.config == replace(TINY, lower_duplicates=4.0)
    assert loaded.thresholds is None, "they were chosen for other scores"


def test_an_infinite_power_lowers_no_duplicates(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for trained_with, kept in ((None, THRESHOLDS), (3.0, None)):
        save_weights(
            path, SparseRCNN(replace(TINY, lower_duplicates=trained_with)), CATEGORIES, PREPROCESSING, THRESHOLDS
        )
        loaded = load_weights(path, lower_duplicates=math.inf)
        assert (loaded.model.config, loaded.thresholds) == (TINY, kept)


def test_a_file_of_before_there_were_thresholds_is_read(model: SparseRCNN, tmp_path: Path) -> None:
    description = {
        "model": {"kind": "SparseRCNNConfig", **config.to_dict(TINY)},
        "categories": {"ids": [1, 90], "names": ["person", "toothbrush"]},
        "preprocessing": config.to_dict(PREPROCESSING),
    }
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors", {HEADER: json.dumps(description)})
    loaded = load_weights(tmp_path / "model.safetensors")
    assert (loaded.categories, loaded.thresholds) == (CATEGORIES, None)


@pytest.mark.parametrize(
    ("f1", "said"),
    [
        ({"person": 0.4}, "has thresholds for other classes than its own: threshold names no number for toothbrush"),
        ({"person": 0.4, "toothbrush": 7}, "scores are between 0 and 1"),
        ({"person": "a", "toothbrush": 1}, "instead of a number"),
    ],
)
def test_thresholds_that_do_not_fit(model: SparseRCNN, tmp_path: Path, f1: dict[str, float], said: str) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, model, CATEGORIES, PREPROCESSING, THRESHOLDS)
    tensors, header = module.read_safetensors(path)
    description = json.loads(header[HEADER])
    description["thresholds"]["f1"] = f1
    save_file(tensors, path, {HEADER: json.dumps(description)})
    with pytest.raises(InputError, match=said):
        load_weights(path)
