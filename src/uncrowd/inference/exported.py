"""What all exported detectors share, whichever program runs them: inputs, outputs, and a description of themselves."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from uncrowd import config
from uncrowd.data.transforms import ResizeConfig
from uncrowd.errors import InputError, require_at_least
from uncrowd.models.build import AnyDetectorConfig
from uncrowd.models.detector import Detector
from uncrowd.structures import Categories, Decoded
from uncrowd.thresholds import ScoreThresholds
from uncrowd.weights.file import require_classes
from uncrowd.weights.proposals import with_number

INPUTS, OUTPUTS = ("images", "sizes"), Decoded._fields
PROPOSALS = "proposals"  # a third input of models with dense queries, (1,) int64
METADATA = "uncrowd.detector"  # the key of the description in the file's metadata


@dataclass(frozen=True, kw_only=True)
class ExportedDescription:
    """All that is needed to use the file on its own; it is stored as JSON in the metadata of the file."""

    model: AnyDetectorConfig
    categories: Categories
    # The size to which images are resized before detection.
    preprocessing: ResizeConfig
    # See `Detector.multiple`.
    multiple: int
    # The best score thresholds on validation data, if there were any.
    thresholds: ScoreThresholds | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a multiple that no side can be padded to."""
        require_at_least(1, multiple=self.multiple)


class ExportedDetector(ABC):
    """Detects like the `Detector` that was exported, but gives no access to intermediate results.

    multiple, config: see `Detector`. path, device, proposals: what `load` was given.
    """

    def __init__(
        self,
        description: ExportedDescription,
        path: Path,
        device: torch.device | str | None,
        proposals: int | None = None,
    ):
        self.description = description
        self.path, self.device, self.proposals = path.absolute(), device, proposals
        self.config = with_number(description.model, proposals, str(path))
        self.multiple = description.multiple

    @classmethod
    @abstractmethod
    def load(
        cls, path: Path, device: torch.device | str | None = None, proposals: int | None = None
    ) -> "ExportedDetector":
        """Reads a file that `uncrowd export` wrote."""

    @abstractmethod
    def run(self, given: dict[str, np.ndarray]) -> Iterable[np.ndarray]:
        """Computes the outputs, in the order of `OUTPUTS`, from the inputs by name."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path, torch.device | str | None, int | None]]:
        """Copies and pickles by reading the file again: what runs a file belongs to its process."""
        return type(self).load, (self.path, self.device, self.proposals)

    def detect(self, images: UInt8[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> Decoded:
        """Returns the ranked detections of each image, on the CPU: see `Detector.detect`.

        Raises InputError for a label of no class, which a file that was changed may give.
        """
        decoded = Decoded(*(torch.from_numpy(array) for array in self.run(self.inputs(images, sizes))))
        classes = len(self.description.categories)
        if not ((decoded.labels >= 0) & (decoded.labels < classes)).all():
            raise InputError(f"{self.path} finds objects of more classes than the {classes} it names; export it again.")
        return decoded

    def inputs(self, images: UInt8[Tensor, "b 3 h w"], sizes: Int64[Tensor, "b 2"]) -> dict[str, np.ndarray]:
        """Returns the inputs of the file by name."""
        given = {name: tensor.cpu().numpy() for name, tensor in zip(INPUTS, (images, sizes), strict=True)}
        if self.config.any_proposals:
            given[PROPOSALS] = np.array([self.config.proposals])
        return given


AnyDetector = Detector | ExportedDetector


def read_description(text: str | None, path: Path, inputs: list[str], outputs: list[str]) -> ExportedDescription:
    """Reads the description in a file's metadata. inputs, outputs: the names of those that the file has.

    Raises InputError when there is no description, or it is damaged or of another graph.
    """
    if text is None:
        raise InputError(
            f"{path} is a file without uncrowd's description of a detector; give one that `uncrowd export` wrote."
        )
    try:
        values = config.read_json(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} has a damaged description of its detector ({error}); export it again.") from error
    description = config.from_dict(ExportedDescription, values, f"the metadata of {path}")
    require_classes(description.model, description.categories, str(path), description.thresholds)
    expected = [*INPUTS, PROPOSALS] if description.model.any_proposals else [*INPUTS]
    if (inputs, outputs) != (expected, [*OUTPUTS]):
        raise InputError(
            f"{path} has the description of a detector, but maps {', '.join(inputs)} to {', '.join(outputs)}; "
            "export it again."
        )
    return description
