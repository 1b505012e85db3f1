"""From weights to weights for others to use: in half precision, with other settings, and with thresholds for these."""

from pathlib import Path

import torch

from uncrowd.argument_types import checked_types
from uncrowd.data.dataset import DetectionDataset
from uncrowd.devices import choose_device
from uncrowd.errors import InputError
from uncrowd.evaluation.operating_points import best_thresholds
from uncrowd.inference.evaluate import DATASET, find_all, require_annotated
from uncrowd.inference.predictor import Predictor
from uncrowd.models.detector import Detector
from uncrowd.thresholds import ScoreThresholds
from uncrowd.weights.destination import require_destination
from uncrowd.weights.file import file_of, load_weights, save_weights


@checked_types(
    weights="a weights file or the folder of a run", destination="the name of a weights file", dataset=DATASET
)
def export_weights(
    weights: str | Path,
    destination: str | Path,
    *,
    half: bool = False,
    lower_duplicates: float | None = None,
    dataset: DetectionDataset | None = None,
) -> ScoreThresholds | None:
    """Writes a trained detector as a weights file, and returns the score thresholds that the file holds.

    weights: a weights file, a run's folder or the name of a detector that comes with uncrowd. destination: a file that
    ends in .safetensors. half: store the weights in fp16, in half as many bytes; `load_weights` reads them as fp32.
    lower_duplicates: see `SparseRCNNConfig`; by default as in the weights. dataset: a split with ground truth, on which
    the thresholds are chosen. Without one, those of the weights are kept; for another `lower_duplicates` there are
    none.

    Raises InputError for another ending, when the file cannot be written, when a weight is too large for fp16, and when
    the dataset has no ground truth, other classes or no object that is found; and as `load_weights` does.
    """
    source, destination = file_of(Path(weights)), Path(destination)
    require_destination(destination, source, "a weights file", ".safetensors")
    if dataset is not None:
        require_annotated(dataset)
    model, categories, resize, thresholds = load_weights(source, lower_duplicates=lower_duplicates)
    if half:
        _round_to_half(model, source)
    if dataset is not None:
        predictor = Predictor(model, categories, resize, choose_device(None))
        found = find_all(predictor, dataset, batch_size=8, workers=0)
        thresholds = best_thresholds(dataset, found, dataset.categories)
        if thresholds is None:
            raise InputError(
                f"{dataset.source}: no detection is right, so no thresholds can be chosen; give other images, or none."
            )
    save_weights(destination, model, categories, resize, thresholds, half=half)
    return thresholds


def _round_to_half(model: Detector, source: Path) -> None:
    """Gives the weights the values that they have in fp16, so that thresholds are chosen for these."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
            if not torch.isfinite(tensor).all():
                raise InputError(f"{source} has numbers in {name} that fp16 cannot hold; leave half precision out.")
