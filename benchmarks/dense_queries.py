"""Times dense queries beside learned ones: `python -m benchmarks.dense_queries` from the project's root.

By default the learned ones are those of the paper's model at full size; with `--recipe small-data` they are those of
that recipe before its queries came from the image.

The weights are random. Both detectors see the same image and take turns, round after round; the ratios of the times
within a round are what counts. The time is that of the processor, so that work of other processes counts little. What
comes behind the pyramid is timed in the same way: the stages of the learned queries, and dense head, selection and
stages of the dense ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import process_time
from typing import Literal

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
from uncrowd.recipes import small_data


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compare the time of a detector with dense queries and two stages with that of the paper's."""

    # The model.
    recipe: Literal["paper", "small-data"] = "paper"
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
    learned, dense = compared(arguments.recipe)
    configs = [replace(each, proposals=arguments.proposals) for each in (learned, dense)]
    models = {name_of(config): for_inference(build_model(config).eval()) for config in configs}
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
    print(f"{table(seconds, name_of(learned))}\n\nbehind the pyramid\n{table(seconds_behind, name_of(learned))}")
    return 0


def compared(recipe: Literal["paper", "small-data"]) -> tuple[SparseRCNNConfig, SparseRCNNConfig]:
    """Returns the model with learned queries and the one with dense queries."""
    if recipe == "paper":
        learned = SparseRCNNConfig()
        return learned, replace(learned, queries="dense", stages=2)
    dense = small_data().model
    assert isinstance(dense, SparseRCNNConfig)
    return replace(dense, queries="learned", stages=4), dense


def name_of(config: SparseRCNNConfig) -> str:
    """Returns what the table calls the model."""
    return f"{config.queries} queries, {config.stages} stages"


def _behind_pyramid(model: SparseRCNN, images: Tensor, sizes: Tensor) -> Callable[[], object]:
    """Returns what runs all that comes behind the pyramid; the features are computed here."""
    features = model.pyramid(model.backbone(model.normalise(images, sizes)))
    if model.dense_head is None:
        return partial(model._from_learned, features, sizes)  # private, because only what is before it is left out
    head, number = model.dense_head, model.config.proposals
    return lambda: model._from_image(features, head(features), number)


if __name__ == "__main__":
    run(main)
