"""`uncrowd upgrade` adds both modules to a trained Sparse R-CNN, which can then be fine-tuned on other classes."""

import json

from tests.cli.small import tiny
from tests.weights.published.checkpoints import save_mmdetection


def test_a_published_checkpoint_is_upgraded_and_fine_tuned(uncrowd, shapes, tmp_path, monkeypatch):
    old, new = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
    assert uncrowd("import", save_mmdetection(tmp_path / "model.pth", ("dark", "cat", "emu")), old).status == 0
    said = uncrowd("upgrade", old, new)
    assert (said.status, said.err) == (0, "")

    before, after = (json.loads(uncrowd("info", file).out) for file in (old, new))
    assert f"kept: all {before['parameters']:,} parameters of {old}" in said.out
    assert f"new: {after['parameters'] - before['parameters']:,} parameters, {after['parameters']:,} in all" in said.out
    assert f"uncrowd train NAME --data DATA --start-from {new}\n  no recipe has this model" in said.out
    assert (after["model"]["stage"]["attention"], after["model"]["stage"]["interaction"]) == ("iou", "dcw")
    assert {key: after[key] for key in ("categories", "preprocessing")} == {
        key: before[key] for key in ("categories", "preprocessing")
    }

    of_the_model = {"--model.backbone.name": "resnet18", "--model.stages": "1", "--model.proposals": "5"}
    of_the_model |= {"--model.stage.width": "16", "--model.stage.dynamic-width": "4"}
    of_the_model |= {"--model.backbone.norm": "frozen_batch", "--train.epochs": "1"}
    flags = ["--data", shapes, *tiny(of_the_model), "--start-from", new]
    said = uncrowd("train", *flags, "--out", tmp_path / "run")
    assert said.status == 2
    assert "knows the classes dark, cat, emu, the data has dark, bright" in said.err
    assert "add --new-class-head" in said.err

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("uncrowd.engine.train.Trainer.train", interrupt)  # it is said before the first step
    said = uncrowd("train", *flags, "--new-class-head", "--out", tmp_path / "run")
    assert said.status == 130
    assert "1 kept by name (dark), 1 initialised (bright), 2 dropped (cat, emu)" in said.out


def test_a_run_is_upgraded_by_its_folder(uncrowd, tmp_path):
    old, new = tmp_path / "run" / "weights.safetensors", tmp_path / "new.safetensors"
    assert uncrowd("import", save_mmdetection(tmp_path / "model.pth", ("dark",)), old).status == 0
    said = uncrowd("upgrade", old.parent, new)
    assert (said.status, said.err) == (0, "")
    assert f"parameters of {old.parent}" in said.out


def test_the_old_weights_are_not_overwritten(uncrowd, refused, tmp_path):
    old = tmp_path / "run" / "weights.safetensors"
    assert uncrowd("import", save_mmdetection(tmp_path / "model.pth", ("dark",)), old).status == 0
    before = old.read_bytes()
    for source in (old, old.parent):
        assert "is one of the inputs and would be overwritten" in refused("upgrade", source, old)
    assert "end its name in .safetensors" in refused("upgrade", old, tmp_path / "new.pth")
    assert old.read_bytes() == before


def test_another_file_is_replaced_on_request(uncrowd, refused, tmp_path):
    made, source = tmp_path / "made.safetensors", save_mmdetection(tmp_path / "model.pth", ("dark",))
    for verb, start in (("import", source), ("upgrade", tmp_path / "plain.safetensors")):
        made.write_bytes(b"mine")
        assert f"{made} exists already" in refused(verb, start, made)
        assert made.read_bytes() == b"mine"
        assert uncrowd(verb, start, made, "--overwrite").status == 0
        made.rename(tmp_path / "plain.safetensors")


def test_other_models_and_files_are_refused(refused, weights, tmp_path):
    new = tmp_path / "new.safetensors"
    said = refused("upgrade", weights, new)
    assert f"{weights} has attention 'iou' and interaction 'dcw'; only a Sparse R-CNN as it was first published" in said
    assert "does not exist" in refused("upgrade", tmp_path / "no.safetensors", new)
    (tmp_path / "model.pth").write_text("no weights")
    assert "is not a safetensors file" in refused("upgrade", tmp_path / "model.pth", new)
    assert not new.exists()
