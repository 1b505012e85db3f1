"""The model card says what the weights and their run know, and no paths."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from uncrowd.hub.card import model_card


@pytest.fixture
def run(weights: Path, tmp_path: Path) -> Path:
    """The folder of a run, as far as a card reads it."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("weights", "best"):
        shutil.copy(weights, folder / f"{name}.safetensors")
    (folder / "config.json").write_text(json.dumps({"data": "/home/me/street,/home/me/square"}))
    about = {"Data": "COCO JSON in /home/me/street", "Trained on": "16 images", "Recipe": "small-data"}
    counts = {"objects": 20, "counted": 23, "mae": 0.5, "rmse": 0.7, "bias": 0.5, "total_error": 0.15}
    rows = [
        {"kind": "begin", "step": 0, "start": "", "command": "uncrowd train --data /home/me/street", "about": about},
        {"kind": "eval", "step": 4, "epoch": 1, "AP": 0.75, "AP50": None, "per_class": {"dog": 0.5}, "time": 1.0},
        {"kind": "eval", "step": 8, "epoch": 2, "AP": 0.5, "AP50": 0.625, "per_class": {"dog": 0.5}, "time": 2.0},
        {"kind": "counts", "step": 8, **counts},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_card_of_weights_alone(weights: Path) -> None:
    card = model_card(weights, "me/crowd")
    assert yaml.safe_load(card.split("---")[1]) == {
        "library_name": "uncrowd",
        "pipeline_tag": "object-detection",
        "tags": ["object-detection", "crowd", "counting", "pytorch"],
    }
    assert 'uncrowd.from_pretrained("me/crowd")' in card
    assert "Sparse R-CNN on test_efficientnet, 2 stages, 10 proposals" in card
    assert "| Classes (3) | person, dog, ball |" in card
    assert "| Threshold for the best counts | 0.35 |" in card
    assert "## Scores" not in card
    assert "## Training" not in card


def test_a_card_of_a_run(run: Path) -> None:
    card = model_card(run, "me/crowd", license="apache-2.0")
    data = ModelCard(card).data.to_dict()
    assert data["license"] == "apache-2.0"
    (result,) = data["model-index"][0]["results"]
    assert result["dataset"]["name"] == "street, square"
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [("AP", 0.5), ("AP50", 0.625)]
    assert "| Data | street, square |\n| Trained on | 16 images |\n| Recipe | small-data |\n" in card
    assert "| AP50 | 62.5 |" in card
    assert "23 objects are counted where there are 20, 0.50 too many or too few in an image; that is 15.0 % of" in card
    assert "/home" not in card


def test_the_best_weights_have_the_best_scores(run: Path) -> None:
    card = model_card(run / "best.safetensors", "me/crowd")
    assert "| AP | 75.0 |" in card
    assert "are counted" not in card, "counts are those of the last weights"


def test_a_damaged_run_leaves_the_card_of_the_weights(run: Path, weights: Path) -> None:
    (run / "config.json").write_text("[]")
    assert model_card(run, "me/crowd") == model_card(weights, "me/crowd")
