"""`uncrowd upgrade SRC DST`: adds IoU-ESA and DCW to a trained Sparse R-CNN for fine-tuning."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Annotated

from tyro.conf import Positional, arg

from uncrowd.cli.flags import parse
from uncrowd.models.cost import number_of_parameters
from uncrowd.runs.start import experiments_of
from uncrowd.weights.destination import require_destination
from uncrowd.weights.file import load_weights, save_weights
from uncrowd.weights.upgrade import upgrade


@dataclass(frozen=True, kw_only=True)
class UpgradeArguments:
    """Add the paper's two modules, IoU-ESA and DCW, to a Sparse R-CNN that is already trained.

    All its weights are kept, and the new parts are initialised so that its detections change as little as possible.
    They do change, so the result is not a finished detector: fine-tune it with `uncrowd train --start-from DST`.
    """

    # A Sparse R-CNN without the modules: weights (.safetensors), e.g. from `uncrowd import`, or the folder of a run.
    source: Annotated[Positional[Path], arg(metavar="SRC")]
    # The weights file to write (.safetensors).
    destination: Annotated[Positional[Path], arg(metavar="DST")]
    # Replace a file that is there already.
    overwrite: bool = False


def main(argv: Sequence[str]) -> int:
    """Writes the upgraded weights and prints which were kept and which are new."""
    arguments = parse(UpgradeArguments, argv, "uncrowd upgrade")
    replace = arguments.overwrite
    require_destination(arguments.destination, arguments.source, "a weights file", ".safetensors", replace=replace)
    weights = load_weights(arguments.source)
    model = upgrade(weights.model, str(arguments.source))
    save_weights(arguments.destination, model, weights.categories, weights.preprocessing)
    before, after = map(number_of_parameters, (weights.model, model))
    print(f"kept: all {before:,} parameters of {arguments.source}")
    print("  layers that class and box shared (out layer, feed-forward, their norms) are now duplicated, one for each")
    print(f"new: {after - before:,} parameters, {after:,} in all")
    print("  masks start with equal weights for all channels; new norms start so that they change features little")
    print("  attention is now multiplied by IoU, which adds no parameters but changes the detections")
    print(f"written to {arguments.destination}; its detections differ from the old ones, so fine-tune it:")
    names = experiments_of(model)
    start = f"--start-from {quote(str(arguments.destination))}"
    print(f"  uncrowd train {names[0] if names else 'NAME'} --data DATA {start}")
    if not names:
        print("  no recipe has this model; `uncrowd train` names the flags that give a recipe its settings")
    print("  add --new-class-head if DATA has other classes")
    return 0
