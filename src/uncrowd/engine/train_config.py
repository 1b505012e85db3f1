"""The settings of training, apart from the training loop, so that recipes do not import the packages it needs."""

from dataclasses import dataclass

from uncrowd.data.images.file import MAX_PIXELS
from uncrowd.errors import InputError, require_at_least, require_at_most


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long to train, on how many images at a time, and how often to score, save and log."""

    # Number of passes through the training images.
    epochs: int = 36
    # Images per step, over all ranks.
    batch_size: int = 16
    # Micro-batches into which each rank cuts its images of a step. More of them need less memory and give the same
    # gradient, but for what the model draws at random for each of them, such as the number of dense queries.
    accumulate: int = 1
    # Mixed precision in bfloat16; boxes, IoU attention and losses stay in fp32.
    bf16: bool = False
    # Compile stages or layers with torch.compile. This takes a minute or more at the start and pays on GPUs.
    compile: bool = False
    # Compute the stages or layers once more in the backward pass instead of keeping what is in them. This needs less
    # memory and more time, and gives the same gradients.
    recompute: bool = False
    # Decay of an exponential average of the weights, which is scored and deployed in their place. None keeps none.
    ema_decay: float | None = None
    # Number of epochs between evaluations; the last epoch is always evaluated.
    evaluate_every: int = 1
    # Number of evaluations without a better score after which training ends early. None never ends it early.
    patience: int | None = None
    # Number of steps between checkpoints; each epoch also ends with one.
    checkpoint_every: int = 1000
    # Number of steps between rows of the log.
    log_every: int = 20
    # Share of the training images below which a class is rare. An image with a rare class comes several times an epoch
    # (repeat factor sampling, arXiv:1908.03195). 0 takes each image once.
    rare_below: float = 0.0
    # Number of processes per rank that load images; it does not change what is loaded.
    workers: int = 2
    # Width times height up to which an image is decoded; a larger one counts as unreadable.
    max_pixels: int = MAX_PIXELS
    # Seed of initialisation, shuffling, augmentation and the choice of held-out images.
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for values with which there is nothing to train."""
        require_at_least(1, epochs=self.epochs, batch_size=self.batch_size, accumulate=self.accumulate)
        require_at_least(1, evaluate_every=self.evaluate_every, checkpoint_every=self.checkpoint_every)
        require_at_least(1, log_every=self.log_every, max_pixels=self.max_pixels)
        require_at_least(0, workers=self.workers, seed=self.seed)
        require_at_least(0, rare_below=self.rare_below)
        require_at_most(1, rare_below=self.rare_below)
        if self.patience is not None:
            require_at_least(1, patience=self.patience)
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise InputError(f"ema_decay is {self.ema_decay}; give a number between 0 and 1, such as 0.999.")

    def per_rank(self, world_size: int) -> int:
        """Returns the images per rank and step. Raises InputError when they cannot be split evenly."""
        if self.batch_size % (world_size * self.accumulate):
            raise InputError(
                f"A batch of {self.batch_size} cannot be split over {world_size} processes times "
                f"{self.accumulate} micro-batches; choose a multiple of {world_size * self.accumulate}."
            )
        return self.batch_size // world_size
