"""Damaged files in YOLO's and Pascal VOC's folders: `check` and `eval` end with a sentence."""

import json
import shutil
from pathlib import Path

import numpy as np

from tests.data.written import make, write_voc, write_yolo
from tests.soak.annotations import LIMIT, require_plain
from tests.soak.forked import forked, require_sentence
from tests.soak.ground import Ground, fresh, verb
from tests.soak.mutations import HOSTILE, damaged_bytes


def yolo_folders(ground: Ground, rng: np.random.Generator) -> None:
    """data.yaml, a file of labels or an image is damaged, or one of its words is exchanged."""
    _try(write_yolo(fresh(ground, rng), make(int(rng.integers(1 << 32)))), rng)


def voc_folders(ground: Ground, rng: np.random.Generator) -> None:
    """An XML file, a list of images or an image is damaged, or one of its words is exchanged."""
    _try(write_voc(fresh(ground, rng), make(int(rng.integers(1 << 32)))), rng)


def _try(folder: Path, rng: np.random.Generator) -> None:
    found = folder.parent / f"{folder.name}.json"
    found.write_text(json.dumps([{"image_id": "train_000", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]))
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    described = [file for file in files if file.suffix != ".png"]
    for _ in range(rng.integers(1, 3)):
        file = (described if rng.random() < 0.9 else files)[int(rng.integers(len(described)))]
        file.write_bytes((_other_word if rng.random() < 0.5 else damaged_bytes)(file.read_bytes(), rng))
    for arguments in (["check", str(folder)], ["eval", str(found), "--data", str(folder), "--split", "train"]):
        ended = forked(lambda arguments=arguments: verb(*arguments), LIMIT)
        require_sentence(ended)
        require_plain(ended.said)
    shutil.rmtree(folder)
    found.unlink()


def _other_word(data: bytes, rng: np.random.Generator) -> bytes:
    """Exchanges a word or a number for a hostile value."""
    words = data.replace(b">", b"> ").replace(b"<", b" <").split(b" ")
    words[int(rng.integers(len(words)))] = str(HOSTILE[rng.integers(len(HOSTILE))]).encode("utf-8", "surrogatepass")
    return b" ".join(words)
