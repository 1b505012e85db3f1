"""Times dense queries beside learned ones at full size: `python -m benchmarks.dense_queries` from the project's root.

The weights are random. Both detectors see the same image and take turns, round after round; the ratios of the times
within a round are what counts. The time is that of the processor, so that work of other processes counts little. What
comes behind the pyramid is timed in the same way: the stages of the learned queries, and dense head, selection and
stages of the dense ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import process_time

import torch
import tyro
from benchmarks.command import run
from benchmarks.made_up_model import build_model
from benchmarks.record import commit, conditions
from benchmarks.turns import table, take_turns
from torch import Tensor

from uncrowd.acceleration.for_inference import for_inference
from uncrowd.errors import require_at_least
from uncrowd.freed_memory import keep_freed_memory
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig

LEARNED, DENSE = "learned queries, 6 stages", "dense queries, 2 stages"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare the time of a detector with dense queries and two stages with that of the paper's."""

    # Height of the image, in pixels.
    height: int = 800
    # Width of the image.
    width: int = 1088
    # Number of proposals.
    proposals: int = 500
    # Rounds, after one that is not counted.
    rounds: int = 5

    def __post_init__(self) -> None:
        """Raises InputError when there is nothing to time."""
        require_at_least(32, **{"--height": self.height, "--width": self.width})
        require_at_least(1, **{"--proposals": self.proposals, "--rounds": self.rounds})


def main(argv: Sequence[str]) -> int:
    """Prints a table of whole detectors and one of what comes behind the pyramid."""
    arguments = tyro.cli(Arguments, args=list(argv), prog="python -m benchmarks.dense_queries")
    kept = keep_freed_memory()
    learned = SparseRCNNConfig(proposals=arguments.proposals)
    configs = {LEARNED: learned, DENSE: replace(learned, queries="dense", stages=2)}
    models = {name: for_inference(build_model(config).eval()) for name, config in configs.items()}
    torch.manual_seed(0)
    images = torch.randint(256, (1, 3, arguments.height, arguments.width), dtype=torch.uint8)
    sizes = torch.tensor([[arguments.height, arguments.width]])
    with torch.inference_mode():
        whole = {name: partial(model.detect, images, sizes) for name, model in models.items()}
        seconds = take_turns(whole, arguments.rounds, clock=process_time)
        behind = {name: _behind_pyramid(model, images, sizes) for name, model in models.items()}
        seconds_behind = take_turns(behind, arguments.rounds, clock=process_time)
    print(f"{conditions(kept=kept)}, commit {commit()}")
    print(f"{arguments.height} x {arguments.width}, {arguments.proposals} proposals, {arguments.rounds} rounds\n")
    print(f"{table(seconds, LEARNED)}\n\nbehind the pyramid\n{table(seconds_behind, LEARNED)}")
    return 0


def _behind_pyramid(model: SparseRCNN, images: Tensor, sizes: Tensor) -> Callable[[], object]:
    """Returns what runs all that comes behind the pyramid; the features are computed here."""
    features = model.pyramid(model.backbone(model.normalise(images, sizes)))
    if model.dense_head is None:
        return partial(model._from_learned, features, sizes)  # private, because only what is before it is left out
    head, number = model.dense_head, model.config.proposals
    return lambda: model._from_image(features, head(features), number)


if __name__ == "__main__":
    run(main)
