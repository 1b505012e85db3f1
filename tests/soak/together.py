"""Several at once: processes in one folder, threads with one predictor, and thousands of predictions."""

import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.runs.same_end import assert_same_end
from tests.soak.forked import Forked, forked, require_sentence
from tests.soak.ground import SETTINGS, Ground, fresh
from tests.soak.kills import LIMIT
from tests.tiny import tiny_experiment
from uncrowd import load, train


def one_folder(ground: Ground, rng: np.random.Generator) -> None:
    """Two processes begin or resume a run in one folder: one of them trains, and the run ends as if it were alone."""
    setting = str(rng.choice(list(SETTINGS)))
    expected, folder = ground.finished(setting), fresh(ground, rng) / "run"
    action = ground.train(setting, folder)
    if rng.random() < 0.5:  # so that both resume
        process = Forked(action)
        time.sleep(rng.uniform(0.5, 2))
        process.kill()
        process.wait(LIMIT)
    both = _side_by_side([action, action], rng)
    for ended in both:
        require_sentence(ended)
    if not any(ended.result == 0 for ended in both):  # each may have been refused by the other's beginning
        require_sentence(forked(action, LIMIT), statuses=(0,))
    assert_same_end(folder, expected)
    shutil.rmtree(folder.parent)


def numbered_folders(ground: Ground, rng: np.random.Generator) -> None:
    """Two processes train without naming a folder: each takes a number of its own."""
    setting, place = str(rng.choice(list(SETTINGS))), fresh(ground, rng)
    expected = ground.finished(setting)

    def action() -> str:
        os.chdir(place)
        return str(train(ground.dataset, tiny_experiment(**SETTINGS[setting]), device="cpu").folder)

    both = _side_by_side([action, action], rng)
    for ended in both:
        assert ended.status == 0, ended.said[-2000:]
    folders = {ended.result for ended in both}
    assert len(folders) == 2, f"both trained in {folders}"
    for folder in folders:
        assert_same_end(place / folder, expected)
    shutil.rmtree(place)


def threads(ground: Ground, rng: np.random.Generator) -> None:
    """Eight threads share a predictor, and each finds what one alone finds."""
    path = ground.onnx if rng.random() < 0.3 else ground.weights
    images = [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(24)]

    def action() -> bool:
        torch.set_num_threads(1)
        predictor = load(path, "cpu")
        alone = [predictor.predict(image) for image in images]
        with ThreadPoolExecutor(8) as pool:
            at_once = list(pool.map(predictor.predict, images))
        return all(
            torch.equal(a.boxes, b.boxes) and torch.equal(a.scores, b.scores)
            for a, b in zip(alone, at_once, strict=True)
        )

    ended = forked(action, LIMIT)
    assert ended.status == 0, ended.said[-2000:]
    assert ended.result, "threads disturb each other"


def many_predictions(ground: Ground, rng: np.random.Generator) -> None:
    """Thousands of predictions of images of changing sizes take no more memory than the first hundreds."""
    seed = int(rng.integers(1 << 31))

    def action() -> float:
        torch.set_num_threads(1)
        predictor, images = load(ground.weights, "cpu"), np.random.default_rng(seed)

        def predict(times: int) -> None:
            for _ in range(times):
                height, width = images.integers(16, 128, 2)
                predictor.predict(images.integers(0, 256, (height, width, 3), dtype=np.uint8))

        predict(300)
        before = _resident()
        predict(2000)
        return _resident() - before

    ended = forked(action, 600)
    assert ended.status == 0, ended.said[-2000:]
    assert ended.result < 30, f"2,000 predictions took {ended.result:.0f} MB"


def _resident() -> float:
    """Megabytes of memory in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _side_by_side(actions: list[Callable[[], Any]], rng: np.random.Generator) -> list[Any]:
    processes = []
    for action in actions:
        processes.append(Forked(action))
        time.sleep(rng.choice([0, rng.uniform(0, 2)]))
    return [process.wait(LIMIT) for process in processes]
