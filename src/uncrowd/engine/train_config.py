"""The settings of training. They stand apart from the loop, so that a recipe is read without what training needs."""

from dataclasses import dataclass

from uncrowd.data.image_file import MAX_PIXELS
from uncrowd.errors import InputError, require_at_least


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long, on how much at a time, and how often to look."""

    # Times through the data.
    epochs: int = 36
    # Images a step, over all ranks.
    batch_size: int = 16
    # Micro-batches each rank cuts its share of a step into, for memory; the gradient stays that of the whole.
    accumulate: int = 1
    # Mixed precision; boxes, IoU attention and losses stay in fp32.
    bf16: bool = False
    # Compile stages or layers (torch.compile): a minute or more at the start, and meant for GPUs.
    compile: bool = False
    # Also keep an exponential average of the weights, and score and deploy that.
    ema_decay: float | None = None
    # Epochs between evaluations; the last epoch is always evaluated.
    evaluate_every: int = 1
    # Steps between checkpoints; each epoch ends with one as well.
    checkpoint_every: int = 1000
    # Steps between logged ones.
    log_every: int = 20
    # Loading processes a rank; what is loaded does not depend on them.
    workers: int = 2
    # Width times height up to which an image is decoded; a larger one counts as unreadable.
    max_pixels: int = MAX_PIXELS
    # Of initialisation, shuffling, augmentation and held-out images.
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for a value with which there is nothing to train."""
        require_at_least(1, epochs=self.epochs, batch_size=self.batch_size, accumulate=self.accumulate)
        require_at_least(1, evaluate_every=self.evaluate_every, checkpoint_every=self.checkpoint_every)
        require_at_least(1, log_every=self.log_every, max_pixels=self.max_pixels)
        require_at_least(0, workers=self.workers, seed=self.seed)
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise InputError(f"ema_decay is {self.ema_decay}; give a number between 0 and 1, such as 0.999.")

    def per_rank(self, world_size: int) -> int:
        """Images a rank and step. Raises InputError where they cannot be split evenly."""
        if self.batch_size % (world_size * self.accumulate):
            raise InputError(
                f"A batch of {self.batch_size} cannot be split over {world_size} processes times "
                f"{self.accumulate} micro-batches; choose a multiple of {world_size * self.accumulate}."
            )
        return self.batch_size // world_size
