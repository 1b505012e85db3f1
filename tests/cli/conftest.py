"""A small dataset, a short run on it, and two ways to call the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.small import CATEGORIES, HEIGHT, TINY, WIDTH, Said
from uncrowd.cli import main


@pytest.fixture
def uncrowd(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`uncrowd("check", folder)`: the verb's status and what it printed."""

    def call(*argv: object) -> Said:
        status = main([str(argument) for argument in argv])
        out, err = capsys.readouterr()
        return Said(status, out, err)

    return call


@pytest.fixture
def refused(uncrowd: Callable[..., Said]) -> Callable[..., str]:
    """`refused("check", folder)`: the one sentence with which the verb refuses its input, and nothing else."""

    def call(*argv: object) -> str:
        said = uncrowd(*argv)
        assert said.status == 2, said
        assert said.out == "", said
        assert said.err.startswith("uncrowd: "), said
        assert said.err.endswith(".\n"), said
        assert said.err.count("\n") == 1, said
        return said.err

    return call


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO dataset, 6 images of a dark and a bright rectangle to train on and 3 to score on."""
    folder = tmp_path_factory.mktemp("shapes")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        images, annotations = [], []
        for id in range(1, count + 1):
            image = np.full((HEIGHT, WIDTH, 3), 128, dtype=np.uint8)
            for category, shade in zip(CATEGORIES, (20, 235), strict=True):
                x, y, width, height = rng.integers((0, 0, 10, 10), (40, 30, 24, 18)).tolist()
                image[y : y + height, x : x + width] = shade
                record = {"bbox": [x, y, width, height], "area": width * height, "iscrowd": 0}
                annotations.append({"id": len(annotations) + 1, "image_id": id, "category_id": category["id"]} | record)
            images.append({"id": id, "file_name": f"{split}{id}.png", "width": WIDTH, "height": HEIGHT})
            Image.fromarray(image).save(folder / "images" / f"{split}{id}.png")
        content = {"images": images, "annotations": annotations, "categories": CATEGORIES}
        (folder / f"instances_{split}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="session")
def run(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 2 epochs of 3 steps."""
    folder = tmp_path_factory.mktemp("runs") / "shapes"
    assert main(["train", "--data", str(shapes), "--out", str(folder), *TINY]) == 0
    return folder


@pytest.fixture(scope="session")
def weights(run: Path) -> Path:
    """What the run deploys."""
    return run / "weights.safetensors"


@pytest.fixture
def predict(uncrowd, weights, tmp_path):
    """`predict(images)`: all detections; with the threshold 0 there is one for each proposal."""

    def call(*images, out="out", flags=()):
        argv = (weights, *images, "--out", tmp_path / out, "--threshold", 0, "--device", "cpu", *flags)
        said = uncrowd("predict", *argv)
        return said, json.loads((tmp_path / out / "detections.json").read_text())

    return call
