"""With dense queries a trained detector takes any number of proposals; with learned ones it keeps its own."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tiny import TINY_MODEL
from uncrowd.data.transforms import ResizeConfig
from uncrowd.errors import InputError
from uncrowd.inference.load import load
from uncrowd.models.build import build_detector
from uncrowd.models.sparse_rcnn import SparseRCNNConfig
from uncrowd.structures import Categories
from uncrowd.weights.file import save_weights
from uncrowd.weights.proposals import with_proposals

DENSE = replace(TINY_MODEL, queries="dense")
IMAGE = torch.randint(255, (3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def saved(folder: Path, model: SparseRCNNConfig) -> Path:
    torch.manual_seed(0)
    categories = Categories(ids=(1, 2, 3), names=("person", "dog", "ball"))
    resize = ResizeConfig(short_side=64, max_size=96)
    save_weights(folder / "weights.safetensors", build_detector(model), categories, resize)
    return folder / "weights.safetensors"


def test_more_proposals_find_all_that_fewer_find_and_more(tmp_path: Path) -> None:
    """The points are ranked, so those of fewer are the first of more; without stages nothing else is computed."""
    file = saved(tmp_path, replace(DENSE, stages=0, num_classes=3))
    few, many = (load(file, "cpu", proposals=proposals).predict(IMAGE) for proposals in (5, 50))
    assert len(load(file, "cpu").predict(IMAGE)) == 10
    assert (len(few), len(many)) == (5, 50)
    found = {tuple(box) for box in many.boxes.tolist()}
    assert {tuple(box) for box in few.boxes.tolist()} <= found


def test_a_number_that_no_image_of_this_size_has_is_warned_of(tmp_path: Path) -> None:
    predictor = load(saved(tmp_path, DENSE), "cpu", proposals=200)
    with pytest.warns(UserWarning, match="An image of 64 x 96 pixels gives 126 detections, not 200"):
        predictor.predict(IMAGE)


def test_learned_proposals_are_as_many_as_were_learned(tmp_path: Path) -> None:
    file = saved(tmp_path, TINY_MODEL)
    assert len(load(file, "cpu", proposals=10).predict(IMAGE)) == 10
    with pytest.raises(InputError, match="has learned its 10 proposals, so it cannot have 11; only a model with dense"):
        load(file, "cpu", proposals=11)
    with pytest.raises(InputError, match="proposals is 0; give 1 or more"):
        load(saved(tmp_path, DENSE), "cpu", proposals=0)


def test_training_may_go_on_with_another_number_of_dense_queries() -> None:
    trained, other = (build_detector(replace(DENSE, proposals=proposals)) for proposals in (10, 30))
    tensors, words = with_proposals(other, trained)
    other.load_state_dict(tensors)
    assert words == ""
