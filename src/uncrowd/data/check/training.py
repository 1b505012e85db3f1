"""What training uses of a dataset, and why it refuses one. `train`, `eval` and `check` all ask here."""

from dataclasses import dataclass, replace

from uncrowd.data.check.boxes import learnable
from uncrowd.data.check.images import judge_readable
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.images.file import MAX_PIXELS
from uncrowd.data.problems import Finding, Problems, Rule, refuse
from uncrowd.data.splits import Splits, hold_out
from uncrowd.words import counted

NOTHING_ANNOTATED = Rule(
    kind="nothing annotated",
    severity="error",
    message="no ground truth to learn from",
    training="give the annotations too",
    whole=True,
)
NO_TRAINING_SPLIT = Rule(
    kind="no training split",
    severity="error",
    message="no training split",
    training="name one of its annotation files to train on it",
    whole=True,
)
TOO_FEW_IMAGES = Rule(
    kind="too few images",
    severity="error",
    message="too few images to hold any out for validation",
    training="add images or a validation split",
    whole=True,
)
NOTHING_TO_LEARN = Rule(
    kind="no boxes",
    severity="error",
    message="no boxes to learn from",
    training="add annotations",
    whole=True,
)
NOTHING_TO_SCORE = Rule(
    kind="no boxes",
    severity="warning",
    message="no boxes to score detections against",
    training="the run gets no scores and no best.safetensors; give a validation split with boxes",
    whole=True,
)

# The mend where all boxes are ignored.
UNMARK = "set iscrowd (in odgt, ignore) to 0 for the boxes of objects"


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The images to train on, the images to score on, and in words where the latter come from."""

    train: DetectionDataset
    val: DetectionDataset
    scored_on: str


def training_data(splits: Splits, seed: int, max_pixels: int = MAX_PIXELS) -> tuple[TrainingData | None, list[Finding]]:
    """Returns what training uses, and what is wrong with it; with an error, training refuses the dataset.

    The data is None where none can be named. seed: decides which images are held out of a dataset without a validation
    split. max_pixels: above it an image is not read. Images are decoded up to the first that can be used.
    """
    problems = Problems()
    if not any(dataset.annotated for dataset in splits.present):
        problems.add(NOTHING_ANNOTATED, ", ".join(dataset.source.name for dataset in splits.present))
    elif splits.train is None:
        problems.add(NO_TRAINING_SPLIT, f"its splits are {', '.join(dataset.split for dataset in splits.present)}")
    elif splits.val is None and len(splits.train) < 2:
        problems.add(TOO_FEW_IMAGES, counted(len(splits.train), "image"))
    else:
        data = _divided(splits.train, splits.val, seed)
        findings = _judge(data.train, NOTHING_TO_LEARN, max_pixels)
        if not any(finding.severity == "error" for finding in findings):  # once is enough of what is wrong with both
            findings += _judge(data.val, NOTHING_TO_SCORE, max_pixels)
        return data, findings
    return None, problems.findings()


def require_training_data(
    splits: Splits, seed: int, max_pixels: int = MAX_PIXELS
) -> tuple[TrainingData, list[Finding]]:
    """As `training_data`, but raises InputError for the first error."""
    data, findings = training_data(splits, seed, max_pixels)
    refuse(findings, splits.root)
    assert data is not None
    return data, findings


def require_readable(dataset: DetectionDataset, max_pixels: int = MAX_PIXELS) -> None:
    """Raises InputError if no image of a dataset can be used. Images are decoded up to the first that can."""
    problems = Problems()
    judge_readable(dataset, problems, max_pixels)
    refuse(problems.findings(), dataset.source)


def _divided(train: DetectionDataset, val: DetectionDataset | None, seed: int) -> TrainingData:
    if val is not None:
        return TrainingData(train=train, val=val, scored_on="the dataset's own validation split")
    kept, held = hold_out(train, seed=seed)
    held_out = f"{counted(len(held), 'image')} held out of the training split (10%, seed {seed})"
    return TrainingData(train=kept, val=held, scored_on=f"{held_out}, because there is no validation split")


def _judge(dataset: DetectionDataset, without_boxes: Rule, max_pixels: int) -> list[Finding]:
    problems = Problems()
    if not learnable(dataset).any():
        all_ignored = len(dataset.boxes) > 0 and bool(dataset.ignore.all())
        rule = replace(without_boxes, training=UNMARK) if all_ignored else without_boxes
        problems.add(rule, _why_none(dataset, all_ignored))
    judge_readable(dataset, problems, max_pixels)
    return problems.findings(dataset.split)


def _why_none(dataset: DetectionDataset, all_ignored: bool) -> str:
    boxes = counted(len(dataset.boxes), "box")
    if all_ignored:
        return f"{boxes}, all marked as crowd or to be ignored"
    return f"{boxes} in {counted(len(dataset), 'image')}" + (
        ", none of which can be used" if len(dataset.boxes) else ""
    )
