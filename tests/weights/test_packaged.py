"""Each detector that comes with the package is small, can be used at once, and has a card that its page agrees with."""

import re
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file

import uncrowd
from uncrowd.weights.file import load_weights
from uncrowd.weights.packaged import FOLDER, detectors, located

PAGE = Path(__file__).parents[2] / "docs" / "detectors.md"


def test_each_is_small_and_has_thresholds_of_its_own() -> None:
    assert "blood-cells" in detectors()
    for name, file in detectors().items():
        assert file.stat().st_size < 20e6
        assert {tensor.dtype for tensor in load_file(file).values()} <= {torch.float16, torch.int64}
        predictor = uncrowd.load(name, "cpu")
        assert predictor.thresholds is not None, name


def test_the_page_has_the_scores_of_the_cards() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|.*", PAGE.read_text(), re.MULTILINE)
    assert rows == 2 * list(detectors())
    for name, file in detectors().items():
        (result,) = yaml.safe_load(file.with_suffix(".md").read_text().split("---")[1])["model-index"][0]["results"]
        scores = {metric["type"]: f"{100 * metric['value']:.1f}" for metric in result["metrics"]}
        row, to_start_from = (
            [cell.strip() for cell in line.split("|")]
            for line in PAGE.read_text().splitlines()
            if line.startswith(f"| `{name}` |")
        )
        assert row[3:6] == [scores[score] for score in ("AP", "AP50", "AP75")]
        weights = load_weights(file)
        assert to_start_from[2] == ", ".join(f"`{category}`" for category in weights.categories.names)
        assert f"--resize.short-side {weights.preprocessing.short_side}" in to_start_from[3]
        assert to_start_from[4] == str(weights.model.config.proposals)


def test_what_exists_is_preferred_to_a_name(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert located(Path("blood-cells")) == FOLDER / "blood-cells.safetensors"
    assert located(Path("./nothing")) == Path("nothing")
    Path("blood-cells").mkdir()
    assert located(Path("blood-cells")) == Path("blood-cells")
