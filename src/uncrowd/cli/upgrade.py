"""`uncrowd upgrade SRC DST`: a Sparse R-CNN with IoU-ESA and DCW, to be fine-tuned."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from uncrowd.cli.flags import parse
from uncrowd.runs.start import experiments_of
from uncrowd.weights.destination import require_destination
from uncrowd.weights.file import load_weights, save_weights
from uncrowd.weights.upgrade import upgrade


@dataclass(frozen=True, kw_only=True)
class UpgradeArguments:
    """Add the paper's two modules, IoU-ESA and DCW, to a Sparse R-CNN that is already trained.

    All it has learned is carried over, and the new parts start so that it first sees nearly what it saw before.
    Nearly: the result is a start for `uncrowd train --start-from DST`, not a finished detector.
    """

    # A Sparse R-CNN without the modules: weights (.safetensors), such as from `uncrowd import`, or a run's folder.
    source: Annotated[Positional[Path], arg(metavar="SRC")]
    # The weights file to write (.safetensors).
    destination: Annotated[Positional[Path], arg(metavar="DST")]


def main(argv: Sequence[str]) -> int:
    """Writes the upgraded weights and says what became of the old ones."""
    arguments = parse(UpgradeArguments, argv, "uncrowd upgrade")
    require_destination(arguments.destination, arguments.source, "weights file", ".safetensors")
    weights = load_weights(arguments.source)
    model = upgrade(weights.model, str(arguments.source))
    save_weights(arguments.destination, model, weights.categories, weights.preprocessing)
    before, after = (sum(p.numel() for p in each.parameters()) for each in (weights.model, model))
    print(f"carried over: all {before:,} parameters of {arguments.source}")
    print("  what served class and box together (out layer, feed-forward, their norms) now stands once for each")
    print(f"new: {after - before:,} parameters more, {after:,} in all")
    print("  masks that begin by weighing all channels alike, and norms set to undo, on average, what they do")
    print("  attention is multiplied by IoU from now on; that has no parameters, and changes what queries exchange")
    print(f"written to {arguments.destination}; its predictions are only near the old ones, so fine-tune it:")
    names = experiments_of(model)
    print(f"  uncrowd train {names[0] if names else 'NAME'} --data DATA --start-from {arguments.destination}")
    if not names:
        print("  no experiment is of this model; `uncrowd train` says which flags give one its settings")
    print("  add --new-class-head if the classes of DATA are others")
    return 0
