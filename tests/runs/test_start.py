"""A run starts from every weight of a file, takes other classes only on request, and says each difference."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny import TINY_MODEL
from uncrowd.data.transforms import ResizeConfig
from uncrowd.errors import InputError
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.recipes import EXPERIMENTS, Experiment, small_data
from uncrowd.recipes.coco import R50
from uncrowd.runs.start import experiments_of, initialise, small_data_from
from uncrowd.structures import Categories
from uncrowd.weights.file import save_weights

PETS = Categories(ids=(1, 2, 3), names=("cat", "dog", "emu"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, SparseRCNN]:
    """Returns a weights file of three classes and its model."""
    torch.manual_seed(0)
    model = SparseRCNN(TINY_MODEL)
    file = tmp_path_factory.mktemp("weights") / "pets.safetensors"
    save_weights(file, model, PETS, ResizeConfig())
    return str(file), model


def begun(config: SparseRCNNConfig) -> SparseRCNN:
    torch.manual_seed(1)
    return SparseRCNN(config)


def test_all_weights_are_taken(trained: tuple[str, SparseRCNN]) -> None:
    file, source = trained
    model = begun(TINY_MODEL)
    assert initialise(model, PETS, ResizeConfig(), file, new_class_head=False) == f"all weights from {file}"
    for name, tensor in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_other_classes_need_the_flag(trained: tuple[str, SparseRCNN]) -> None:
    file, source = trained
    birds = Categories(ids=(1, 2), names=("emu", "kiwi"))
    model = begun(replace(TINY_MODEL, num_classes=2))
    with pytest.raises(InputError, match=r"knows the classes cat, dog, emu, the data has emu, kiwi;.*--new-class-head"):
        initialise(model, birds, ResizeConfig(), file, new_class_head=False)
    words = initialise(model, birds, ResizeConfig(), file, new_class_head=True)
    classes = "1 kept by name (emu), 1 initialised (kiwi), 2 dropped (cat, dog)"
    assert words == f"all weights from {file}, but for a new class head of 2 classes: {classes}"
    assert torch.equal(model.proposal_queries, source.proposal_queries)
    row = [stage.get_parameter("class_logits.weight")[0] for stage in model.head.stages]
    assert all(
        torch.equal(ours, stage.get_parameter("class_logits.weight")[2])
        for ours, stage in zip(row, source.head.stages, strict=True)
    )


def test_another_order_of_the_same_classes_is_not_the_same(trained: tuple[str, SparseRCNN]) -> None:
    turned = Categories(ids=(1, 2, 3), names=("emu", "dog", "cat"))
    with pytest.raises(InputError, match="--new-class-head"):
        initialise(begun(TINY_MODEL), turned, ResizeConfig(), trained[0], new_class_head=False)
    assert "3 kept by name (emu, dog, cat)" in initialise(
        begun(TINY_MODEL), turned, ResizeConfig(), trained[0], new_class_head=True
    )


def test_a_new_head_without_weights_is_refused() -> None:
    with pytest.raises(InputError, match=r"name them with --start-from\."):
        initialise(begun(TINY_MODEL), PETS, ResizeConfig(), None, new_class_head=True)


def test_the_flags_that_fit_are_said(trained: tuple[str, SparseRCNN]) -> None:
    other = replace(TINY_MODEL, stages=3, stage=replace(TINY_MODEL.stage, feedforward_width=32))
    with pytest.raises(InputError, match=r"does not fit the model in \d+ tensors") as caught:
        initialise(begun(other), PETS, ResizeConfig(), trained[0], new_class_head=False)
    first = str(caught.value).splitlines()[0]
    assert first.endswith("; give its settings: --model.stages 2 --model.stage.feedforward-width 64")


def test_an_experiment_that_trains_such_a_model_is_named(
    trained: tuple[str, SparseRCNN], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitting() -> Experiment:
        return Experiment(name="fitting", model=TINY_MODEL)

    monkeypatch.setitem(EXPERIMENTS, "fitting", fitting)
    with pytest.raises(InputError, match=r"; train fitting, or give its settings: --model\.stages 2\n"):
        initialise(begun(replace(TINY_MODEL, stages=3)), PETS, ResizeConfig(), trained[0], new_class_head=False)


@pytest.mark.parametrize(
    ("proposals", "words"),
    [
        (12, "but for 2 of the 12 proposals, which are initialised"),
        (7, "but for the last 3 of its 10 proposals, which are left out"),
    ],
)
def test_the_number_of_proposals_may_differ(trained: tuple[str, SparseRCNN], proposals: int, words: str) -> None:
    file, source = trained
    model = begun(replace(TINY_MODEL, proposals=proposals))
    initial = model.proposal_queries.detach().clone()
    assert initialise(model, PETS, ResizeConfig(), file, new_class_head=False) == f"all weights from {file}, {words}"
    kept = min(proposals, 10)
    assert torch.equal(model.proposal_queries[:kept], source.proposal_queries[:kept])
    assert torch.equal(model.proposal_queries[kept:], initial[kept:])
    assert torch.equal(model.proposal_boxes_cxcywh_norm[:kept], source.proposal_boxes_cxcywh_norm[:kept])
    ours, theirs = (each.state_dict()["head.stages.0.class_logits.weight"] for each in (model, source))
    assert torch.equal(ours, theirs)


def test_the_groups_of_proposals_may_differ(trained: tuple[str, SparseRCNN]) -> None:
    file, source = trained
    model = begun(replace(TINY_MODEL, query_groups=2))
    initial = model.proposal_queries.detach().clone()
    said = initialise(model, PETS, ResizeConfig(), file, new_class_head=False)
    assert said == f"all weights from {file}", "inference has one group, as before"
    assert torch.equal(model.proposal_queries, torch.cat([source.proposal_queries, initial[10:]]))


def test_the_recipe_for_small_data_takes_the_model_of_the_weights(trained: tuple[str, SparseRCNN]) -> None:
    assert small_data_from(None) == small_data()
    assert small_data_from(trained[0]) == replace(small_data(), model=TINY_MODEL)


def test_experiments_of_a_model_train_just_that() -> None:
    with torch.device("meta"):
        ours, other = (SparseRCNN(each) for each in (SparseRCNNConfig(backbone=R50), TINY_MODEL))
    assert experiments_of(ours) == ["coco-r50-100", "coco-r50-100-12-epochs", "coco-r50-100-24-epochs"]
    assert experiments_of(other) == []


def test_settings_without_a_trace_in_the_tensors_are_said(trained: tuple[str, SparseRCNN]) -> None:
    """Tensors do not show the heads and the kind of attention. Settings of training alone are not mentioned."""
    backbone = replace(TINY_MODEL.backbone, drop_path=0.1)
    stage = replace(TINY_MODEL.stage, attention="content", heads=8, zero_deltas=True)
    other = replace(TINY_MODEL, backbone=backbone, stage=stage, lower_duplicates=3.0)
    words = initialise(begun(other), PETS, ResizeConfig(), trained[0], new_class_head=False)
    assert re.search(r"NOTE: .*stage\.attention was 'iou' and is 'content', stage\.heads was 4 and is 8$", words)


def test_another_size_of_images_is_said(trained: tuple[str, SparseRCNN]) -> None:
    words = initialise(begun(TINY_MODEL), PETS, ResizeConfig(short_side=320), trained[0], new_class_head=False)
    assert words.endswith("NOTE: they were trained with other settings: resize.short_side was 800 and is 320")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        initialise(begun(TINY_MODEL), PETS, ResizeConfig(), str(tmp_path / "no.safetensors"), new_class_head=False)
