"""`uncrowd import`: a published checkpoint becomes a weights file that every verb takes, and no pickle runs code."""

import json
from pathlib import Path

import pytest
import torch

import uncrowd as package
from tests.data.coco_files import content
from tests.weights.published.checkpoints import as_detectron2, as_detr, save_mmdetection, small_detr
from uncrowd.models.backbone import BackboneConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.models.stage import StageConfig


def checkpoint(file: Path, classes: int = 2) -> Path:
    """Writes a checkpoint with the authors' parameter names and the smallest backbone that can be imported."""
    stage = StageConfig(width=16, dynamic_width=4, feedforward_width=32)
    backbone = BackboneConfig(name="resnet18")
    torch.manual_seed(0)
    model = SparseRCNN(SparseRCNNConfig(num_classes=classes, proposals=5, stages=1, backbone=backbone, stage=stage))
    torch.save({"model": as_detectron2(model)}, file)
    return file


def test_a_published_checkpoint_becomes_weights(uncrowd, shapes, tmp_path):
    source, weights = checkpoint(tmp_path / "model.pth"), tmp_path / "w.safetensors"
    said = uncrowd("import", source, weights)
    assert (said.status, said.err) == (0, "")
    assert f"{source} holds the authors' release, in Detectron2's naming: all its weights were used" in said.out

    held = json.loads(uncrowd("info", weights).out)
    assert held["categories"] == {"1": "class 1", "2": "class 2"}
    assert (held["model"]["num_classes"], held["model"]["proposals"]) == (2, 5)
    assert held["preprocessing"] == {"short_side": 800, "max_size": 1333}

    predictor = package.load(weights, "cpu")
    assert len(predictor.predict(shapes / "images/val1.png")) <= 5
    assert uncrowd("predict", weights, shapes / "images/val1.png", "--out", tmp_path / "out").status == 0


def test_detrs_class_head_is_reduced_to_cocos_classes_with_a_note(uncrowd, shapes, tmp_path):
    source, weights = tmp_path / "detr.pth", tmp_path / "w.safetensors"
    torch.save({"model": as_detr(small_detr(91))}, source)
    said = uncrowd("import", source, weights)
    assert (said.status, said.err) == (0, "")
    assert f"{source} holds DETR: " in said.out
    assert "NOTE: 11 of the 92 rows of the class head were left out" in said.out
    assert "80 classes: person, bicycle" in said.out
    assert json.loads(uncrowd("info", weights).out)["categories"]["90"] == "toothbrush"
    assert uncrowd("predict", weights, shapes / "images/val1.png", "--out", tmp_path / "out").status == 0


@pytest.mark.parametrize(
    ("classes", "some"),
    [(1, {"1": "person"}), (80, {"1": "person", "13": "stop sign", "90": "toothbrush"})],
)
def test_the_classes_of_crowdhuman_and_coco_are_known(uncrowd, tmp_path, classes, some):
    uncrowd("import", checkpoint(tmp_path / "model.pth", classes), tmp_path / "w.safetensors")
    categories = json.loads(uncrowd("info", tmp_path / "w.safetensors").out)["categories"]
    assert len(categories) == classes
    assert some.items() <= categories.items()


def test_the_classes_of_mmdetection_are_read_from_the_checkpoint(uncrowd, tmp_path):
    source = save_mmdetection(tmp_path / "model.pth", ("cat", "dog", "emu"))
    said = uncrowd("import", source, tmp_path / "w.safetensors")
    assert (said.status, said.err) == (0, "")
    assert f"{source} holds mmdetection's Sparse R-CNN: all its weights were used" in said.out
    assert "NOTE: 1 num_batches_tracked tensors were left out" in said.out
    assert "3 classes: cat, dog, emu\n" in said.out
    categories = json.loads(uncrowd("info", tmp_path / "w.safetensors").out)["categories"]
    assert categories == {"1": "cat", "2": "dog", "3": "emu"}


def test_classes_come_from_an_annotation_file_whose_images_need_not_be_there(uncrowd, refused, tmp_path):
    (tmp_path / "labels.json").write_text(json.dumps(content()))
    source = checkpoint(tmp_path / "model.pth")
    flags = (tmp_path / "w.safetensors", "--categories", tmp_path / "labels.json")
    assert uncrowd("import", source, *flags).status == 0
    assert json.loads(uncrowd("info", flags[0]).out)["categories"] == {"3": "cat", "7": "dog"}

    source = checkpoint(tmp_path / "model.pth", classes=4)
    assert "has 2 categories, the checkpoint 4" in refused("import", source, *flags, "--overwrite")


class WantsToRun:
    """A pickle that makes a file when it is opened."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_code_in_a_pickle_is_not_run(uncrowd, refused, shapes, tmp_path):
    torch.save({"model": WantsToRun(tmp_path / "ran")}, tmp_path / "model.pth")
    said = uncrowd("import", tmp_path / "model.pth", tmp_path / "w.safetensors")
    assert (said.status, said.out) == (2, "")
    assert "cannot be read without running code" in said.err
    refused("predict", tmp_path / "model.pth", shapes / "images/val1.png")
    refused("eval", tmp_path / "model.pth", "--data", shapes)
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "model.pth", weights_only=False)  # it would have
    assert (tmp_path / "ran").exists()


def test_files_that_are_not_published_checkpoints_are_refused(refused, uncrowd, tmp_path):
    weights = tmp_path / "w.safetensors"
    assert "does not exist" in refused("import", tmp_path / "nothing.pth", weights)
    (tmp_path / "text.pth").write_text("no checkpoint")
    assert "text.pth is not a PyTorch checkpoint" in refused("import", tmp_path / "text.pth", weights)
    torch.save({"model": {"conv.weight": torch.zeros(3)}}, tmp_path / "other.pth")
    assert "no detector known here" in refused("import", tmp_path / "other.pth", weights)

    whole = torch.load(checkpoint(tmp_path / "part.pth"))
    del whole["model"]["init_proposal_boxes.weight"]
    torch.save(whole, tmp_path / "part.pth")
    said = uncrowd("import", tmp_path / "part.pth", weights)
    assert said.status == 2
    assert "does not fit the model in 1 tensors:\n  proposal_boxes_cxcywh_norm: only in the model, (5, 4)" in said.err
    assert not weights.exists()


def test_a_path_that_cannot_be_written_is_refused(refused, tmp_path):
    (tmp_path / "file").write_text("where a folder should be")
    source = checkpoint(tmp_path / "model.pth")
    assert "cannot be written" in refused("import", source, tmp_path / "file/w.safetensors")


def test_another_suffix_and_the_input_itself_are_refused_as_output(refused, tmp_path):
    source = checkpoint(tmp_path / "model.pth")
    assert "w.pth is not the name of a weights file; end its name in .safetensors" in refused(
        "import", source, tmp_path / "w.pth"
    )
    same = source.rename(tmp_path / "model.safetensors")
    before = same.read_bytes()
    assert "is one of the inputs and would be overwritten" in refused("import", same, tmp_path / "." / same.name)
    assert same.read_bytes() == before
