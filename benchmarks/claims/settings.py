"""What a run of the claims is made of: dataset, detector, budget and seed, whatever dataset and detector they are.

Dataset, detector and budget have names that stand for all their settings; whoever changes a setting changes the name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from uncrowd.data.dataset import DetectionDataset
from uncrowd.errors import InputError, require_at_least
from uncrowd.structures import Detections, ImageId
from uncrowd.words import counted

Found = Mapping[ImageId, Detections]
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long to train: so many steps of so many images, scored so many times, each time after as many steps.

    ema_decay: that of the averaged weights, which are scored.
    """

    name: str
    steps: int
    batch: int = 8
    evaluations: int = 5
    ema_decay: float = 0.998

    def __post_init__(self) -> None:
        """Raises InputError for numbers that are not positive."""
        require_at_least(1, steps=self.steps, batch=self.batch, evaluations=self.evaluations)

    def epochs(self, images: int) -> int:
        """Returns the passes through so many training images, of which the last part of a batch is left out.

        Raises InputError if they are not whole.
        """
        epochs, left = divmod(self.steps, max(images // self.batch, 1))
        if left or images < self.batch:
            raise InputError(
                f"{counted(self.steps, 'step')} of {self.batch} are no whole number of passes through "
                f"{counted(images, 'image')} in whole batches; change one of the numbers."
            )
        if epochs % self.evaluations:
            raise InputError(f"{counted(epochs, 'epoch')} cannot be cut into {self.evaluations} equal parts.")
        return epochs


SHORT = Budget(name="short", steps=1000)
LONG = Budget(name="long", steps=4000)
# What 60 epochs are for 40 images.
BRIEF = Budget(name="brief", steps=300)
# For the choice of learning rates.
RATES = Budget(name="rates", steps=500, evaluations=2)


# The best detections of each image that are kept, and those where the fullest image has more than half as many objects:
# our detectors have twice as many proposals as it has objects.
FEW, MANY = 100, 500


class Dataset(Protocol):
    """A dataset with the splits train, val and test. It is a frozen dataclass, which the record of a line shows."""

    @property
    def name(self) -> str:
        """The dataset in a word, without an underscore, such as drawn-0.5."""
        ...

    @property
    def train(self) -> int:
        """The number of training images."""
        ...

    @property
    def short_side(self) -> int:
        """The short side, in pixels, to which images are resized at inference."""
        ...

    @property
    def most(self) -> int:
        """The most objects in an image."""
        ...

    def write(self, parent: Path, real: Path | None = None) -> Path:
        """Returns the folder of the dataset below `parent`, and makes it if it is not there.

        real: the folder that has real datasets by name. Raises InputError if the dataset needs one that is not there.
        """
        ...


def most_kept(dataset: Dataset) -> int:
    """Returns how many detections of an image are kept, the best ones."""
    return MANY if 2 * dataset.most > FEW else FEW


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a detector is asked to do: train on a dataset with a budget and a seed.

    data: the folder of the dataset. train, val: its splits. folder: where the run is kept; a run that is there already
    goes on. asked: the dataset whose test split it is to detect in; None if that is the same.
    """

    dataset: Dataset
    budget: Budget
    seed: int
    data: Path
    train: DetectionDataset
    val: DetectionDataset
    folder: Path
    device: str | None
    say: Say
    asked: Dataset | None = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """One way to turn what a trained detector predicts into detections, such as NMS at some threshold.

    val: what it finds in the validation split. detect: returns what it finds in another split.
    """

    name: str
    val: Found
    detect: Callable[[DetectionDataset], Found]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A detector after its last step.

    seconds: those that all steps took; evaluations do not count. evaluations: the scores on the validation split after
    each part of the budget, with the number of images seen until then. outputs: at least one.
    """

    seconds: float
    evaluations: list[dict[str, Any]]
    outputs: Sequence[Output]


class Detector(Protocol):
    """A detector that can be trained. It is a frozen dataclass, which the record of a line shows."""

    @property
    def name(self) -> str:
        """The detector in a word, without an underscore, such as small-data-1-iou-dcw."""
        ...

    @property
    def learning_rate(self) -> float | None:
        """The learning rate after the warm-up; None if the validation split has to choose it."""
        ...

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates that are tried."""
        ...

    def with_rate(self, learning_rate: float) -> "Detector":
        """Returns the detector with this learning rate and the same name."""
        ...

    def train(self, training: Training) -> Trained | None:
        """Trains to the end of the budget; returns None if SIGTERM or Ctrl-C stopped it, and then goes on next time."""
        ...


@dataclass(frozen=True, kw_only=True)
class Line:
    """One run of the queue, and one line of its results.

    trained_on: the dataset of training and validation, where only the test split is that of `dataset`. rate: the
    learning rate, in a line that helps to choose it and is scored on the validation split alone.
    """

    dataset: Dataset
    detector: Detector
    budget: Budget
    seed: int
    trained_on: Dataset | None = None
    rate: float | None = None

    @property
    def trains(self) -> "Line":
        """The line that trains the same detector and is scored on the dataset that it trains on."""
        return self if self.trained_on is None else replace(self, dataset=self.trained_on, trained_on=None)

    @property
    def name(self) -> str:
        """The name of the line, of its folder and of its file of detections."""
        origin = "" if self.trained_on is None else f"-from-{self.trained_on.name}"
        name = f"{self.dataset.name}_{self.detector.name}{origin}_{self.budget.name}_{self.seed}"
        return name if self.rate is None else f"{name}_{self.rate:g}"
