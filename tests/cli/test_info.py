"""`uncrowd info` lists the recipes, or shows one recipe, the paper's tables, or what a weights file holds."""

import json
from dataclasses import replace

import pytest

from uncrowd import config
from uncrowd.models.cost import COCO_PIXELS, Cost
from uncrowd.paper.rows import PAPER, rows_of
from uncrowd.paper.tables import COUNTED, Cell
from uncrowd.recipes import EXPERIMENTS
from uncrowd.recipes.experiment import Experiment
from uncrowd.recipes.small_data import small_data


@pytest.fixture
def counted_at_once(monkeypatch):
    """Every model costs the same; tests/paper counts them."""
    cost = Cost(parameters=132_823_240, macs={"backbone": 136_500_000_000}, pixels=COCO_PIXELS)
    monkeypatch.setattr("uncrowd.cli.info.cost", lambda model: cost)


@pytest.mark.usefixtures("counted_at_once")
def test_the_table_has_a_row_for_each_recipe(uncrowd):
    said = uncrowd("info")
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    rows = {words[0]: words[1:] for line in lines if (words := line.split()) and words[0] in EXPERIMENTS}
    assert list(rows) == list(EXPERIMENTS)
    assert rows["coco-r50-100"] == ["resnet50", "iou", "dcw", "100", "36", "132.8M", "136", "44.4", "4,", "6"]
    assert rows["coco-resnext101-300-sparse-rcnn"][-3:] == ["46.9", "(test-dev)", "7"]
    assert rows["crowdhuman-r50-500-sparse-rcnn"][-7:] == ["89.2", "or", "88.8", "3,", "5,", "8,", "9"]
    assert rows["crowdhuman-r50-500-dcw"][-3:] == ["mMR", "47.4", "3"]
    assert rows["coco-r50-100-12-epochs"][-3:] == ["-", "Fig.", "6"]
    assert rows["small-data"][-2:] == ["-", "-"]
    assert max(map(len, lines)) <= 130


@pytest.mark.usefixtures("counted_at_once")
def test_a_recipe_of_any_name_is_listed(uncrowd, monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "factory-floor", lambda: replace(small_data(), name="factory-floor"))
    assert "factory-floor" in uncrowd("info").out


@pytest.mark.usefixtures("counted_at_once")
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_recipe_is_shown_with_all_its_settings_and_the_papers_scores(uncrowd, name):
    shown = json.loads(uncrowd("info", name).out)
    assert config.from_dict(Experiment, shown["experiment"], "its JSON") == EXPERIMENTS[name]()
    assert (shown["parameters"], shown["macs_a_coco_image"]) == (132_823_240, 136_500_000_000)
    assert shown["paper"] == [row._asdict() for row in rows_of(name)]


def test_the_papers_cells_stand_beside_the_computed_ones(uncrowd, monkeypatch):
    parameters = Cell("Table 6", "ours*, Swin-T", "coco-swin-t-300", "Params", "136M", 136.3266)
    flops = Cell("Table 6", "ours*, Swin-T", "coco-swin-t-300", "FLOPs", "167G", 165.84)
    unreadable = [Cell("Table 1", "MSA", "coco-r50-100-sparse-rcnn", c, None, 106.2) for c in ("Params", "FLOPs")]
    wrong = [Cell("Table 2", "Dis. (half dim)", "coco-r50-100-half", c, "97.0M", 96.5) for c in ("Params", "FLOPs")]
    monkeypatch.setattr("uncrowd.cli.info.cells", lambda: [*unreadable, *wrong, parameters, flops])
    said = uncrowd("info", "tables")
    assert (said.status, said.err) == (0, "")
    rows = [line.split()[-8:] for line in said.out.splitlines() if line.startswith("Table ")]
    assert rows[0][-6:] == ["-", "106.2M", "-", "-", "106.2G", "-"]
    assert rows[1] == ["97.0M", "96.5M", "-0.50", "!", "97.0M", "96.5G", "-0.50", "!"]
    assert rows[2] == ["136M", "136.3M", "+0.33", "=", "167G", "165.8G", "-1.16", "a"]
    assert "\na windows are padded" in said.out
    assert max(map(len, said.out.splitlines())) <= 130


def test_every_name_of_the_tables_fits_on_its_line(uncrowd, monkeypatch):
    counted = [row for row in PAPER if row.table in COUNTED]
    cells = [Cell(*row[:3], column, "133M", 133.0) for row in counted for column in ("Params", "FLOPs")]
    monkeypatch.setattr("uncrowd.cli.info.cells", lambda: cells)
    out = uncrowd("info", "tables").out
    assert "…" not in out
    assert sum(line.startswith("Table ") for line in out.splitlines()) == len(counted)


def test_weights_and_runs_are_shown_with_model_classes_and_preprocessing(uncrowd, run):
    held = json.loads(uncrowd("info", run).out)
    assert held == json.loads(uncrowd("info", run / "weights.safetensors").out)
    assert held["categories"] == {"3": "dark", "17": "bright"}
    assert held["model"]["num_classes"] == 2
    assert held["preprocessing"] == {"short_side": 48, "max_size": 96}
    assert held["parameters"] > 400_000


def test_unknown_names_and_other_files_are_refused(refused, run, shapes):
    sentence = refused("info", "coco-r50-100-iou-es")
    assert "not an existing file or folder, not the word tables, and nothing that `uncrowd info` lists" in sentence
    assert "the nearest is coco-r50-100-iou-esa." in sentence
    assert "not a safetensors file" in refused("info", shapes / "instances_val.json")
