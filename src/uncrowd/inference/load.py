"""From a name, weights, a run's folder or an exported file to a predictor."""

from pathlib import Path

import torch

from uncrowd.argument_types import checked_types
from uncrowd.devices import choose_device
from uncrowd.errors import InputError
from uncrowd.inference.formats import is_exported, load_exported
from uncrowd.inference.predictor import Predictor
from uncrowd.inference.tiles import TilesConfig
from uncrowd.inference.tta import TTAConfig
from uncrowd.weights.file import load_weights


@checked_types(path="a weights file, the folder of a run, or an exported detector")
def load(
    path: str | Path,
    device: torch.device | str | None = None,
    tta: TTAConfig | None = None,
    *,
    bf16: bool = False,
    compiled: bool = False,
    max_pixels: int | None = None,
    proposals: int | None = None,
    short_side: int | None = None,
    tiles: TilesConfig | None = None,
    one_label: bool = False,
    lower_duplicates: float | None = None,
) -> Predictor:
    """Returns a predictor from a weights file, a run's folder (its last weights), or an exported detector.

    path: of one of these, or the name of a detector that comes with uncrowd. device: "cpu", "cuda", "cuda:1" or "mps";
    by default the GPU where there is one. tta: test-time augmentation, or none. bf16: see `Predictor`. compiled:
    torch.compile, for many images of one size or a few: each takes some half a minute, on a CPU minutes. max_pixels,
    tiles: see `Predictor`. proposals: another number of detections an image than in training, for a model with dense
    queries; more find more objects in a fuller image. short_side: pixels to which the short side of an image is
    resized, instead of those of training; the limit of its long side changes in proportion. one_label: each box gets
    only its best class, so that none is counted twice; by default it may have several, as in the paper.
    lower_duplicates: another power than in training; see `SparseRCNNConfig`. With it the thresholds of the weights,
    which were chosen for other scores, are None; with another size or number they stay as they were chosen.

    A detector that was exported for ONNX Runtime (.onnx) or OpenVINO (.xml) runs as it was exported, without `bf16`,
    `compiled`, `one_label` and `lower_duplicates`. The predictor's model is converted for inference: for one to train
    or to save again, take `uncrowd.weights.file.load_weights`.

    Raises InputError when the file is missing or is not such a file, for a device that is not there, for `compiled`
    without a compiler, for `compiled`, `one_label` or `short_side` with test-time augmentation, and for `bf16`,
    `compiled`, `one_label` or `lower_duplicates` with an exported detector.
    """
    path = Path(path)
    exported = is_exported(path)
    if exported and lower_duplicates is not None:
        raise InputError(f"{path} scores duplicates as it was exported; leave lower_duplicates out.")
    if short_side is not None and tta is not None:
        raise InputError("Test-time augmentation has its own sizes of an image; leave it or the short side out.")
    if exported:
        model = load_exported(path, device, proposals)
        described = model.description
        categories, resize, thresholds = described.categories, described.preprocessing, described.thresholds
    else:
        model, categories, resize, thresholds = load_weights(path, proposals, lower_duplicates)
    return Predictor(
        model,
        categories,
        resize if short_side is None else resize.with_short_side(short_side),
        "cpu" if exported else choose_device(device),  # an exported detector has its own
        tta,
        bf16=bf16,
        compiled=compiled,
        max_pixels=max_pixels,
        tiles=tiles,
        thresholds=thresholds,
        one_label=one_label,
    )
