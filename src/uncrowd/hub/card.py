"""The model card of a weights file: the README.md of its repository, which also tells the Hub what it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from uncrowd.argument_types import checked_types
from uncrowd.engine.metrics import read_metrics, scores_in
from uncrowd.errors import InputError
from uncrowd.models.cost import number_of_parameters
from uncrowd.runs.folder import CONFIG
from uncrowd.thresholds import in_words
from uncrowd.weights.file import Weights, file_of, load_weights
from uncrowd.weights.packaged import own_card
from uncrowd.words import first

# What `uncrowd train` says of a run, apart from paths, which are nobody else's business.
SAID = ("Trained on", "Scored on", "Recipe", "Versions")
TAGS = ["object-detection", "crowd", "counting", "pytorch"]


@dataclass(frozen=True, kw_only=True)
class Course:
    """What is known about the training of weights, such as by the folder of a run.

    data: the names of the datasets. about: facts in words. scores: by name, from 0 to 1. counts: errors of counts, as
    `CountingError` names them. chosen_on: the images on which the threshold of the counts was chosen, in words.
    """

    data: str
    about: Mapping[str, str]
    scores: Mapping[str, float]
    counts: Mapping[str, Any]
    chosen_on: str = "these images"


@checked_types(weights="a weights file or the folder of a run", repository="owner/name")
def model_card(weights: str | Path, repository: str, *, license: str | None = None) -> str:
    """Returns the model card of a weights file as Markdown, with what the Hub reads of it on top as YAML.

    It names classes, thresholds and input size, and, of weights in a run's folder, its data, scores and counting
    errors. No paths and no command lines are in it. A detector that comes with the package has a card of its own, which
    is returned as it is. weights: a weights file or a run's folder. repository: owner/name. license: that of the
    weights, such as "apache-2.0". Raises InputError when the weights cannot be read, for another name of a repository,
    and for a license of a detector whose own card names it.
    """
    require_name(repository)
    file = file_of(Path(weights))
    if (card := own_card(file)) is not None:
        if license is not None:
            raise InputError(f"The card of {file.stem} names its license already; leave the license out.")
        return card.read_text(encoding="utf-8")
    name = repository.partition("/")[2]
    return card_of(load_weights(file), _course(file), name=name, use=_use(repository), license=license)


def require_name(repository: str) -> None:
    """Raises InputError unless this is the name of a repository, owner/name."""
    if repository.count("/") != 1:
        raise InputError(f"{repository!r} is not the name of a repository; give it as owner/name.")


def card_of(weights: Weights, course: Course | None, *, name: str, use: str, license: str | None) -> str:
    """Returns a model card as Markdown. use: the section that says how to use the detector."""
    parts = [
        f"---\n{_metadata(name, course, license)}\n---",
        f"# {name}",
        f"A detector for images with many objects that overlap: {weights.model.config.in_words()}. "
        "It was trained with uncrowd, and deletes no detection because it overlaps another.",
        use,
        "## Model\n\n" + _table(_model(weights)),
    ]
    if course is not None:
        parts.append("## Training\n\n" + _table({"Data": course.data, **course.about}))
    if course is not None and course.scores:
        parts.append(_scores(course))
    parts.append("Scores and thresholds are those of the data above. On other images, choose the threshold again.")
    return "\n\n".join(parts) + "\n"


def _metadata(name: str, course: Course | None, license: str | None) -> str:
    data = ModelCardData(library_name="uncrowd", pipeline_tag="object-detection", license=license, tags=TAGS)
    if course is not None and course.scores:
        data.model_name = name
        data.eval_results = [
            EvalResult(
                task_type="object-detection",
                dataset_type=course.data,
                dataset_name=course.data,
                metric_type=score,
                metric_value=round(value, 4),
            )
            for score, value in course.scores.items()
        ]
    return data.to_yaml()


def _use(repository: str) -> str:
    return f"""## Use

```python
import uncrowd  # pip install 'uncrowd[hub]'

detector = uncrowd.from_pretrained("{repository}")
found = detector.predict("photo.jpg", threshold=0.3)
print(found.names, found.scores, found.boxes)
```

```bash
uncrowd pull {repository} weights.safetensors
uncrowd predict weights.safetensors photos/
```"""


def _model(weights: Weights) -> dict[str, str]:
    parameters = number_of_parameters(weights.model)
    size, names = weights.preprocessing, weights.categories.names
    rows = {
        "Parameters": f"{parameters / 1e6:.1f} million",
        "Images": f"resized to a short side of {size.short_side}, a long one of at most {size.max_size} pixels",
        f"Classes ({len(names)})": first(names, 100),
    }
    power = getattr(weights.model.config, "lower_duplicates", None)  # DETR has none
    if power is not None:
        rows["Scores of duplicates"] = f"lowered, `--lower-duplicates {power:g}`"
    if weights.thresholds is not None:
        rows["Threshold for the best F1"] = in_words(weights.thresholds.f1)
        rows["Threshold for the best counts"] = in_words(weights.thresholds.count)
    return rows


def _scores(course: Course) -> str:
    rows = {name: f"{100 * value:.1f}" for name, value in course.scores.items()}
    most = (
        " AP and AR without a number after @ count the best 100 detections of an image."
        if any(name.startswith("AP@") for name in rows)
        else ""
    )
    text = f"## Scores\n\nIn percent.{most}\n\n" + _table(rows)
    if not course.counts:
        return text
    counts = course.counts
    share = "" if counts["total_error"] is None else f"; that is {100 * counts['total_error']:.1f} % of all objects"
    return (
        f"{text}\n\nWith the threshold for the best counts, {counts['counted']} objects are counted where there are "
        f"{counts['objects']}, {counts['mae']:.2f} too many or too few in an image{share}. The threshold was chosen on "
        f"{course.chosen_on}."
    )


def _table(rows: Mapping[str, str]) -> str:
    lines = [f"| {name} | {_cell(text)} |" for name, text in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _course(file: Path) -> Course | None:
    """Returns what the folder knows in which a run wrote the weights; None for other weights.

    The scores are those of the evaluation that the weights were saved after.
    """
    folder = file.parent
    if file.name not in ("weights.safetensors", "best.safetensors"):
        return None
    try:
        data = str(json.loads((folder / CONFIG).read_text(encoding="utf-8"))["data"])
    except (OSError, ValueError, KeyError, TypeError):  # the weights can be read all the same
        return None
    rows = read_metrics(folder / "metrics.jsonl")
    last = file.name == "weights.safetensors"
    evaluated = [row for row in rows if row["kind"] == "eval" and row.get("AP") is not None]
    row = evaluated[-1] if last and evaluated else max(evaluated, key=lambda row: row["AP"], default={})
    counts = next((row for row in reversed(rows) if row["kind"] == "counts"), {}) if last else {}
    about = next((row.get("about", {}) for row in rows if row["kind"] == "begin"), {})
    return Course(
        data=", ".join(Path(path).name for path in data.split(",")),
        about={name: about[name] for name in SAID if name in about},
        scores={name: value for name, value in scores_in(row).items() if value is not None},
        counts=counts,
    )
