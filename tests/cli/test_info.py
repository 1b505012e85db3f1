"""`uncrowd info`: the experiments in a table, one with all its settings, or what a weights file holds."""

import json

import pytest

from uncrowd import config
from uncrowd.experiments import EXPERIMENTS


def test_the_table_has_a_row_for_each_experiment(uncrowd):
    said = uncrowd("info")
    assert (said.status, said.err) == (0, "")
    assert all(f" {name} " in said.out for name in EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_with_all_its_settings(uncrowd, name):
    said = uncrowd("info", name)
    assert json.loads(said.out) == json.loads(json.dumps(config.to_dict(EXPERIMENTS[name]())))


def test_what_weights_and_runs_hold(uncrowd, run):
    held = json.loads(uncrowd("info", run).out)
    assert held == json.loads(uncrowd("info", run / "weights.safetensors").out)
    assert held["categories"] == {"3": "dark", "17": "bright"}
    assert held["model"]["num_classes"] == 2
    assert held["preprocessing"] == {"short_side": 48, "max_size": 96}
    assert held["parameters"] > 400_000


def test_what_is_neither(refused, run, shapes):
    assert "neither an experiment (small-data, " in refused("info", "coco-r5")
    assert "no safetensors file" in refused("info", shapes / "instances_val.json")
