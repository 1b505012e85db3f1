"""A detector of the package is made from its run: weights in half precision, and a card that names no folders."""

import json

import pytest
import yaml
from benchmarks.detectors import main

import uncrowd
from tests.found import save_random, write_found
from uncrowd.errors import InputError


def test_weights_and_card_are_made_from_a_run(tmp_path, capsys):
    run, data, out = tmp_path / "cells", tmp_path / "bccd", tmp_path / "detectors"
    run.mkdir()
    data.mkdir()
    save_random(run / "best.safetensors")
    write_found(data, run / "best.safetensors", "val", "test")
    about = {"Trained on": "4 images with 16 boxes", "Versions": "uncrowd 0.1.0, torch 2.14.1"}
    command = f"uncrowd train --data {data} --model.queries dense --out {run}"
    rows = [
        {"kind": "begin", "step": 0, "command": command, "about": about, "time": 100.0},
        {"kind": "eval", "step": 4, "epoch": 1, "AP": 0.25, "per_class": {}, "time": 200.0},
        {"kind": "counts", "step": 8, "mae": 0.5, "time": 5500.0},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ["--data", str(data), "--lower-duplicates", "3", "--out", str(out)]
    assert main(["blood-cells", str(run), *flags]) == 0
    assert "AP50" in capsys.readouterr().out

    made = uncrowd.load(out / "blood-cells.safetensors", "cpu")
    test = uncrowd.open_dataset(data).test
    assert test is not None
    scores, card = uncrowd.evaluate(made, test), (out / "blood-cells.md").read_text()
    (result,) = yaml.safe_load(card.split("---")[1])["model-index"][0]["results"]
    assert scores.main is not None
    assert {"type": "AP", "value": round(scores.main, 4)}.items() <= result["metrics"][0].items()
    assert "| Scored on | the test split, 2 images |" in card
    assert "| Weights | of epoch 1, which had the best AP on the validation split |" in card
    assert "1.5 hours" in card
    assert "The threshold was chosen on the validation split." in card
    assert "uncrowd train --data bccd --model.queries dense --out cells\n" in card
    assert "python -m benchmarks.detectors blood-cells cells --data bccd --lower-duplicates 3\n" in card
    assert str(tmp_path) not in card


def test_a_detector_without_facts_is_refused(tmp_path):
    with pytest.raises(InputError, match="there are no facts about cars"):
        main(["cars", str(tmp_path), "--data", str(tmp_path)])
