"""Puts the scores of a run beside those of the paper, and says what makes the two hard to compare."""

from uncrowd import config
from uncrowd.evaluation.protocol import Scores
from uncrowd.paper.rows import PaperRow, rows_of
from uncrowd.recipes import EXPERIMENTS
from uncrowd.recipes.experiment import Experiment

# Protocol -> the number of images that the paper scores, and their name.
SCORED_ON = {"coco": (5000, "COCO's val2017"), "crowdhuman": (4370, "CrowdHuman's validation set")}
# Settings that do not matter: they change what is learnt by chance alone, and scoring not at all.
_NO_MATTER = {"name", "train.accumulate", "train.seed", "train.workers"}
_NO_MATTER |= {"train.evaluate_every", "train.checkpoint_every", "train.log_every", "train.max_pixels"}


def expected_rows(experiment: Experiment) -> list[PaperRow]:
    """Returns the paper's rows that a run can be compared with: scored on `val`, without test-time augmentation."""
    return [
        row
        for row in rows_of(experiment.name)
        if row.split == "val" and not row.tta and any(score is not None for score in row.scores.values())
    ]


def expected_in_words(experiment: Experiment) -> str | None:
    """Returns a line for each of those rows, such as "AP 44.4, AP50 63.4 (Table 6: ours)"; None if there is no row."""
    lines = []
    for row in expected_rows(experiment):
        numbers = ", ".join(f"{name} {score}" for name, score in row.scores.items() if score is not None)
        lines.append(f"{numbers} ({row.table}: {row.row})")
    return "\n".join(lines) or None


def beside_paper(experiment: Experiment, scores: Scores, images: int, started_from: str | None) -> str | None:
    """Returns a table of the measured scores and the paper's, then a note for each difference between the two runs.

    images: how many were scored. started_from: the weights file that the whole model began with, if any. Returns None
    if the paper has no scores of such a run.
    """
    rows = expected_rows(experiment)
    if not rows:
        return None
    names = [name for name in scores.values if any(name in row.scores for row in rows)]
    measured = {name: 100 * value for name in names if (value := scores.values[name]) is not None}
    lines = [("", names), ("measured", _cells(measured, names))]
    lines += [(f"expected by the paper ({row.table})", _cells(row.scores, names)) for row in rows]
    width = max(len(title) for title, _ in lines)
    table = ["  ".join([title.ljust(width), *(cell.rjust(6) for cell in cells)]) for title, cells in lines]
    return "\n".join([*table, *_reservations(experiment, images, started_from)])


def changed_settings(experiment: Experiment) -> list[str]:
    """Returns the settings that matter and differ from the recipe of that name, as "NAME is VALUE, not VALUE"."""
    theirs, ours = (config.to_dict(each) for each in (EXPERIMENTS[experiment.name](), experiment))
    differing = config.differences(theirs, ours)
    return [
        f"{name} is {our}, not {their}"
        for name, their, our in differing
        # A file may hold the same pretrained weights.
        if name not in _NO_MATTER and (name != "model.backbone.pretrained" or our is None)
    ]


def _reservations(experiment: Experiment, images: int, started_from: str | None) -> list[str]:
    assert experiment.protocol is not None, "a run has chosen its protocol"
    many, words = SCORED_ON[experiment.protocol]
    reservations = []
    if images != many:
        reservations.append(f"the paper scores the {many} images of {words}, this run {images} images")
    if changed := changed_settings(experiment):
        reservations.append(f"the settings differ from the paper's: {'; '.join(changed)}")
    source = experiment.model.backbone.pretrained
    if source not in (None, "timm"):
        reservations.append(f"the backbone's weights came from {source}; the paper's are ImageNet's")
    if started_from is not None:
        reservations.append(f"the run began with the weights of {started_from}")
    return [f"NOTE: compare with care, because {reservation}" for reservation in reservations]


def _cells(values: dict[str, float] | dict[str, float | None], names: list[str]) -> list[str]:
    numbers = [values.get(name) for name in names]
    return ["-" if number is None else f"{number:.1f}" for number in numbers]
