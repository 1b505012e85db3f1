"""Damaged and hostile weights, checkpoints and ONNX files are refused in a sentence, and none of their code runs."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.soak.annotations import require_plain
from tests.soak.forked import forked, require_sentence
from tests.soak.ground import Ground, fresh, verb
from tests.soak.mutations import damaged_bytes, damaged_json, to_bytes

LIMIT = 120.0


def weights_files(ground: Ground, rng: np.random.Generator) -> None:
    """`predict` with weights whose bytes, header or description are damaged."""
    folder = fresh(ground, rng)
    path = folder / "weights.safetensors"
    path.write_bytes(_damaged_safetensors(ground.weights.read_bytes(), "uncrowd.weights", rng))
    _require_predicts_or_refuses(ground, path, folder)
    shutil.rmtree(folder)


def checkpoints(ground: Ground, rng: np.random.Generator) -> None:
    """A run's folder in which the checkpoint, the settings or the log are damaged is not resumed to a wrong end."""
    expected, folder = ground.finished("averaged"), fresh(ground, rng) / "run"
    shutil.copytree(expected, folder)
    name = str(rng.choice(["last.safetensors", "config.json", "metrics.jsonl"]))
    file = folder / name
    if name == "last.safetensors":
        file.write_bytes(_damaged_safetensors(file.read_bytes(), "uncrowd.checkpoint", rng))
    elif name == "config.json" and rng.random() < 0.7:
        file.write_bytes(to_bytes(damaged_json(json.loads(file.read_text()), rng)))
    else:
        file.write_bytes(damaged_bytes(file.read_bytes(), rng))
    resumed = forked(lambda: verb("train", "--resume", str(folder), "--device", "cpu"), LIMIT)
    require_sentence(resumed)
    require_plain(resumed.said)
    shutil.rmtree(folder.parent)


def onnx_files(ground: Ground, rng: np.random.Generator) -> None:
    """`predict` with a damaged ONNX file."""
    folder = fresh(ground, rng)
    path = folder / "detector.onnx"
    path.write_bytes(_damaged_onnx(ground.onnx, rng))
    _require_predicts_or_refuses(ground, path, folder)
    shutil.rmtree(folder)


class _Hostile:
    """Unpickling it creates a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def pickled_files(ground: Ground, rng: np.random.Generator) -> None:
    """A published checkpoint or a weights file that holds code: it is refused, and the code does not run."""
    folder = fresh(ground, rng)
    marker = folder / "ran"
    hostile = {"model": {"weight": torch.zeros(2)}, "code": _Hostile(marker)}
    path = folder / str(rng.choice(["model.pth", "model.pkl", "weights.safetensors", "detector.onnx", "model.pt"]))
    if rng.random() < 0.5:
        torch.save(hostile, path)
    else:
        path.write_bytes(pickle.dumps(hostile))
    out = str(folder / "out")
    for command in (("import", str(path), out + ".safetensors"), ("info", str(path)), ("predict", str(path), out)):
        ended = forked(lambda command=command: verb(*command), LIMIT)
        require_sentence(ended, statuses=(2,))
        assert not marker.exists(), f"{command[0]} ran the code of {path}"
    shutil.rmtree(folder)


def _require_predicts_or_refuses(ground: Ground, path: Path, folder: Path) -> None:
    images = ground.dataset / "val"
    command = ("predict", str(path), str(images), "--out", str(folder / "out"), "--json-only", "--device", "cpu")
    ended = forked(lambda: verb(*command), LIMIT)
    # 1: predictions that are not finite, which the verb says
    require_sentence(ended, statuses=(0, 1, 2))
    assert "fault of uncrowd" not in ended.said, ended.said[-2000:]
    require_plain(ended.said)


def _damaged_safetensors(data: bytes, key: str, rng: np.random.Generator) -> bytes:
    """Damages the bytes, the table of tensors, or the JSON under `key` of the metadata."""
    how = rng.integers(4)
    if how == 0:
        return damaged_bytes(data, rng)
    length = int.from_bytes(data[:8], "little")
    header, tensors = json.loads(data[8 : 8 + length]), data[8 + length :]
    if how == 1:
        header = damaged_json(header, rng)
    else:
        described = damaged_json(json.loads(header["__metadata__"][key]), rng)
        header["__metadata__"][key] = json.dumps(described)
    written = to_bytes(header)
    written += b" " * (-len(written) % 8)
    return len(written).to_bytes(8, "little") + written + tensors


def _damaged_onnx(path: Path, rng: np.random.Generator) -> bytes:
    """Damages the bytes, or the description in the metadata."""
    if rng.random() < 0.5:
        return damaged_bytes(path.read_bytes(), rng)
    import onnx

    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == "uncrowd.detector":
            entry.value = json.dumps(damaged_json(json.loads(entry.value), rng))
    return model.SerializeToString()
