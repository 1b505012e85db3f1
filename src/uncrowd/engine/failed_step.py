"""What is said when a step of training fails: where it failed, and what helps."""

from contextlib import AbstractContextManager
from typing import NamedTuple

from uncrowd.engine.train_config import TrainConfig
from uncrowd.errors import NonFiniteError
from uncrowd.out_of_memory import explain_out_of_memory
from uncrowd.structures import Batch, ImageId
from uncrowd.words import counted


class StepRecord(NamedTuple):
    """A step, counted from 0 over the run, as it is named after the next one has begun."""

    step: int
    learning_rate: float
    ids: list[ImageId]


def not_finite(record: StepRecord, what: str) -> NonFiniteError:
    """Returns the error that names the step and its images. what: which number is not finite."""
    ids = ", ".join(str(image) for image in record.ids)
    return NonFiniteError(
        f"Training stopped at step {record.step} (learning rate {record.learning_rate:g}): {what}; images: {ids}. "
        "The files of the run are from before this step; a lower learning rate or a longer warm-up usually helps."
    )


def explain_step_out_of_memory(step: int, batch: Batch, config: TrainConfig) -> AbstractContextManager[None]:
    """Within it, memory that runs out raises InputError, which names the step, its images and what needs less.

    batch: the images of this rank. The settings that a resumed run may change come first.
    """
    height, width = batch.images.shape[-2:]
    images = len(batch.ids)
    finer = next((n for n in range(config.accumulate + 1, images + 1) if images % n == 0), None)
    first = "" if finer is None else f"--train.accumulate {finer} needs less, also with --resume; in a new run, "
    return explain_out_of_memory(
        f"at step {step}, with {counted(images, 'image')} padded to {height} x {width} pixels",
        f"{first}smaller --augment.short-sides and --augment.max-size, a smaller --train.batch-size, --train.bf16 or "
        "fewer --model.proposals need less",
    )
