"""Damaged annotation and detection files are refused in a sentence, or give the numbers of pycocotools."""

import contextlib
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.soak.forked import forked, require_sentence
from tests.soak.ground import Ground, fresh, verb
from tests.soak.mutations import damaged_bytes, damaged_json, damaged_throughout, to_bytes
from uncrowd import DetectionDataset, open_dataset

LIMIT = 60.0


def coco_annotations(ground: Ground, rng: np.random.Generator) -> None:
    """`check` says what is wrong; where it says nothing, `eval` agrees with pycocotools on the damaged file."""
    folder = fresh(ground, rng)
    _link_images(ground, folder)
    clean = json.loads(_annotations(ground).read_text())
    match rng.integers(4):
        case 0:
            damaged = damaged_bytes(to_bytes(clean), rng)
        case 1:
            part = str(rng.choice(["images", "annotations", "categories"]))
            damaged = to_bytes(clean | {part: damaged_throughout(clean[part], rng)})
        case _:
            damaged = to_bytes(damaged_json(clean, rng))
    file = folder / "instances_train.json"
    file.write_bytes(damaged)
    checked = forked(lambda: verb("check", str(folder)), LIMIT)
    require_sentence(checked)
    require_plain(checked.said)
    _require_scores(
        ground, folder, file, _detections(ground), says_nothing=_kinds(checked.said) <= _clean_kinds(ground)
    )
    shutil.rmtree(folder)


def detections(ground: Ground, rng: np.random.Generator) -> None:
    """`eval` refuses damaged detections, says what it left out, or agrees with pycocotools on them."""
    folder = fresh(ground, rng)
    clean = json.loads(_detections(ground).read_text())
    match rng.integers(3):
        case 0:
            damaged = damaged_bytes(to_bytes(clean), rng)
        case 1:
            damaged = to_bytes(damaged_throughout(clean, rng))
        case _:
            damaged = to_bytes(damaged_json(clean, rng))
    file = folder / "detections.json"
    file.write_bytes(damaged)
    _require_scores(ground, folder, _annotations(ground), file, says_nothing=True)
    shutil.rmtree(folder)


def odgt_annotations(ground: Ground, rng: np.random.Generator) -> None:
    """`check` and `eval` of a damaged file in CrowdHuman's format end with a sentence."""
    folder = fresh(ground, rng)
    _link_images(ground, folder)
    lines = _as_odgt(ground)
    match rng.integers(3):
        case 0:
            damaged = damaged_bytes(b"\n".join(map(to_bytes, lines)), rng)
        case 1:
            damaged = b"\n".join(map(to_bytes, damaged_throughout(lines, rng)))
        case _:
            damaged = b"\n".join(map(to_bytes, damaged_json(lines, rng)))
    truth, found = folder / "annotation_train.odgt", folder / "found.odgt"
    truth.write_bytes(damaged)
    checked = forked(lambda: verb("check", str(truth)), LIMIT)
    require_sentence(checked)
    require_plain(checked.said)
    lines = [
        line | {"dtboxes": [box | {"box": box["fbox"], "score": 0.5} for box in line["gtboxes"]]} for line in lines
    ]
    found.write_bytes(b"\n".join(map(to_bytes, lines)))
    scored = forked(lambda: verb("eval", str(found), "--data", str(truth)), LIMIT)
    require_sentence(scored)
    require_plain(scored.said)
    shutil.rmtree(folder)


def require_plain(said: str) -> None:
    """Raises AssertionError for control characters, which could forge lines of a terminal, and for endless lines."""
    control = re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", said.replace("\r\n", "\n"))
    assert control is None, f"control character {control.group()!r} in {said[:2000]!r}"
    longest = max(map(len, said.splitlines()), default=0)
    assert longest < 4000, f"a line of {longest} characters: {said[:500]!r}"


def _require_scores(ground: Ground, folder: Path, truth: Path, found: Path, *, says_nothing: bool) -> None:
    scored = forked(lambda: verb("eval", str(found), "--data", str(truth), "--json"), LIMIT)
    require_sentence(scored)
    require_plain(scored.said)
    said = scored.said.splitlines()
    if scored.result == 0 and says_nothing and len(said) == 1:
        theirs = forked(lambda: _pycocotools(truth, found), LIMIT).result  # it may refuse, or worse, in its own way
        if theirs is not None:
            ours = json.loads(said[0])
            for name, value in theirs.items():
                both = ours[name], value
                assert both[0] == both[1] or (None not in both and abs(both[0] - both[1]) < 1e-9), (
                    f"{name} is {ours[name]}, pycocotools says {value}: {truth} {found}"
                )


def _pycocotools(truth: Path, found: Path) -> dict[str, float | None]:
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(str(truth))
        scores = COCOeval(gt, gt.loadRes(str(found)), "bbox")
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
    return {
        name: None if value == -1 else float(value)
        for name, value in zip(("AP", "AP50", "AP75"), scores.stats, strict=False)
    }


def _annotations(ground: Ground) -> Path:
    return _val(ground).source


def _val(ground: Ground) -> DetectionDataset:
    val = open_dataset(ground.dataset).val
    assert val is not None
    return val


def _detections(ground: Ground) -> Path:
    return ground.finished("averaged") / "detections.json"


def _link_images(ground: Ground, folder: Path) -> None:
    val = _val(ground)
    for index in range(len(val)):
        path = val.path(index)
        target = folder / "images" / path.name
        target.parent.mkdir(exist_ok=True)
        target.symlink_to(path)


def _kinds(said: str) -> set[str]:
    """The lines of `check` without their numbers and examples."""
    return {re.sub(r"\d[\d.,e+-]*", "0", re.sub(r"\(.*\)", "", line)) for line in said.splitlines()}


def _clean_kinds(ground: Ground) -> set[str]:
    folder = ground.folder / "clean"
    if not folder.exists():
        folder.mkdir()
        _link_images(ground, folder)
        shutil.copy(_annotations(ground), folder / "instances_train.json")
        checked = forked(lambda: verb("check", str(folder)), LIMIT)
        assert checked.result == 0, checked.said
        (ground.folder / "clean.txt").write_text(checked.said)
    return _kinds((ground.folder / "clean.txt").read_text().replace(str(folder), ""))


def _as_odgt(ground: Ground) -> list[dict[str, Any]]:
    val = _val(ground)
    lines = []
    for index in range(len(val)):
        boxes = val.boxes[val.offsets[index] : val.offsets[index + 1]]
        height, width = map(int, val.sizes[index])
        persons = [
            {
                "tag": "person",
                **{name: [x1, y1, x2 - x1, y2 - y1] for name in ("fbox", "vbox", "hbox")},
                "extra": {"ignore": 0},
            }
            for x1, y1, x2, y2 in boxes.tolist()
        ]
        lines.append({"ID": val.path(index).stem, "width": width, "height": height, "gtboxes": persons})
    return lines
