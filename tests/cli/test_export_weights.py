"""`uncrowd export RUN small.safetensors` writes weights again: in half precision, or with other settings."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

import uncrowd as library
from tests.found import save_random, write_found
from uncrowd.evaluation.operating_points import best_thresholds
from uncrowd.inference.evaluate import detect
from uncrowd.weights.file import load_weights, save_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_random(file)
    return file


@pytest.fixture(scope="module")
def found(weights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("found")
    write_found(folder, weights, "val")
    return folder


def test_half_precision_keeps_all_but_the_last_bits(uncrowd, refused, weights, tmp_path):
    half = tmp_path / "half.safetensors"
    said = uncrowd("export", weights, half, "--half")
    assert said.status == 0, said.err
    assert said.out.startswith(f"written to {half}, {half.stat().st_size / 1e6:.1f} MB\n")
    assert said.out.endswith("\nscore thresholds: 0.4 for the best F1, 0.35 for the best counts\n")
    assert "already" not in said.out
    assert f"{half} exists already; name another file, or replace it with --overwrite." in refused(
        "export", weights, half
    )
    again = uncrowd("export", half, tmp_path / "again.safetensors", "--half")
    assert f"\n{half} was in half precision already\n" in again.out
    assert half.stat().st_size < 0.55 * weights.stat().st_size
    rounded, whole = load_weights(half), load_weights(weights)
    assert rounded[1:] == whole[1:], "classes, preprocessing and thresholds"
    stored, trained = load_file(half), whole.model.state_dict()
    for name, tensor in rounded.model.state_dict().items():
        assert tensor.dtype == trained[name].dtype
        assert stored[name].dtype == (torch.float16 if tensor.is_floating_point() else tensor.dtype)
        torch.testing.assert_close(tensor, trained[name], rtol=2**-11, atol=2**-25)


def test_other_settings_get_thresholds_of_their_own(uncrowd, weights, found, tmp_path):
    file = tmp_path / "lowered.safetensors"
    said = uncrowd("export", weights, file, "--lower-duplicates", 3)
    assert said.out.endswith("it has no score thresholds; --data DATA chooses them\n")
    assert load_weights(file).thresholds is None
    said = uncrowd("export", weights, file, "--half", "--lower-duplicates", 3, "--data", found, "--overwrite")
    assert said.status == 0, said.err
    held = json.loads(uncrowd("info", file).out)
    assert held["model"]["lower_duplicates"] == 3
    val, predictor = library.open_dataset(found).val, library.load(file, "cpu")
    assert val is not None
    assert predictor.thresholds is not None
    assert predictor.thresholds == best_thresholds(val, detect(predictor, val).detections, val.categories)


def test_classes_of_the_dataset_can_be_kept(uncrowd, refused, weights, found, tmp_path):
    annotations = shutil.copytree(found, tmp_path / "data") / "instances_val.json"
    known = json.loads(annotations.read_text())
    known["categories"].append({"id": 9, "name": "cat"})
    annotations.write_text(json.dumps(known))
    command = "export", weights, tmp_path / "new.safetensors", "--data", annotations
    assert "keep those it knows: --classes person dog ball" in refused(*command)
    assert uncrowd(*command, "--classes", "person", "dog", "ball").status == 0
    val, predictor = library.open_dataset(found).val, library.load(weights, "cpu")
    assert val is not None
    chosen = best_thresholds(val, detect(predictor, val).detections, val.categories)
    assert load_weights(tmp_path / "new.safetensors").thresholds == chosen


def test_no_thresholds_can_be_chosen_where_nothing_is_found(refused, weights, found, tmp_path):
    annotations = shutil.copytree(found, tmp_path / "data") / "instances_val.json"
    annotations.write_text(json.dumps(json.loads(annotations.read_text()) | {"annotations": []}))
    said = refused("export", weights, tmp_path / "none.safetensors", "--data", annotations)
    assert "no detection is right, so no thresholds can be chosen; give other images, or none." in said
    assert not (tmp_path / "none.safetensors").exists()


def test_what_fp16_cannot_hold_is_refused(weights, tmp_path):
    model, categories, preprocessing, _ = load_weights(weights)
    with torch.no_grad():
        next(model.parameters()).mul_(1e9)
    save_weights(tmp_path / "large.safetensors", model, categories, preprocessing)
    with pytest.raises(library.InputError, match=r"large\.safetensors has numbers in .* that fp16 cannot hold; leave"):
        library.export_weights(tmp_path / "large.safetensors", tmp_path / "half.safetensors", half=True)
    assert not (tmp_path / "half.safetensors").exists()


def test_what_cannot_be_written_is_refused(refused, weights, tmp_path):
    file = tmp_path / "small.safetensors"
    assert "--split is for a dataset; give it with --data" in refused("export", weights, file, "--split", "val")
    assert "--classes is for a dataset; give it" in refused("export", weights, file, "--classes", "shape")
    assert "is one of the inputs and would be overwritten" in refused("export", weights, weights)
    (tmp_path / "small.bin").touch()
    assert "small.bin exists already" in refused("export", weights, tmp_path / "small.xml")
    (tmp_path / "small.bin").unlink()
    assert "--overwrite has no effect on a page" in refused("export", weights, "--page", tmp_path, "--overwrite")
    assert list(tmp_path.iterdir()) == []
