"""Finds by trying how many images of a step fit into memory at a time, and so the number of micro-batches.

The batch stays that of the recipe: its micro-batches together give the same gradient, so what a run learns does not
depend on the memory of the machine, but for what the model draws at random for each micro-batch.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import torch
from accelerate import Accelerator
from jaxtyping import Int64
from torch import Tensor

from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.transforms import TrainTransformConfig, resized_size
from uncrowd.engine.forecast import peak_memory
from uncrowd.errors import InputError
from uncrowd.models.detector import Detector
from uncrowd.out_of_memory import is_out_of_memory
from uncrowd.recipes.experiment import Experiment
from uncrowd.structures import Target
from uncrowd.words import counted

# The limit of a container (cgroup v2), which `psutil` does not know.
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def fitted(
    experiment: Experiment, model: Detector, dataset: DetectionDataset, accelerator: Accelerator
) -> tuple[Experiment, str]:
    """Returns the experiment with as many micro-batches as its largest step needs, and what was found in a sentence.

    dataset: the training images. It never gets fewer micro-batches than the experiment has. The weights and the
    buffers of the model stay as they are. Raises InputError if a single image does not fit, on all ranks alike.
    """
    settings, device = experiment.train, accelerator.device
    per_rank = settings.per_rank(accelerator.num_processes)
    most = per_rank // settings.accumulate
    step = _LargestStep(experiment, model, dataset, per_rank)
    sizes = [images for images in range(1, most + 1) if per_rank % images == 0]
    limit = memory_limit() if device.type == "cpu" else None
    fits = largest_that_fits(sizes, step.take, lambda: peak_memory(device), limit)
    # each rank may have another device
    fits = int(accelerator.gather(torch.tensor([fits], device=device)).min())  # pyright: ignore[reportAttributeAccessIssue]
    height, width = step.size
    where = f"padded to {height} x {width} pixels"
    if fits == 0:
        raise InputError(
            f"Memory ran out in a step of a single image {where}; smaller --augment.short-sides and "
            "--augment.max-size, --train.recompute, --train.bf16 or fewer --model.proposals need less."
        )
    parts = per_rank // fits
    how = "at once" if parts == 1 else f"in {parts} micro-batches (--train.accumulate {parts})"
    said = f"memory: found by trying, {counted(per_rank, 'image')} {where} fit {how}"
    return replace(experiment, train=replace(settings, accumulate=parts)), said


def largest_that_fits(
    sizes: list[int], take_step: Callable[[int], None], peak: Callable[[], int | None], limit: int | None
) -> int:
    """Returns the last of the ascending sizes whose step does not run out of memory; 0 if even the first one does.

    peak: the bytes at the peak of all steps so far. limit: the bytes that this process may hold, where running out of
    memory would end it; a size is then tried only if memory in proportion to the size before stays below.
    """
    fits = 0
    for size in sizes:
        held = peak()
        if fits and limit is not None and held is not None and held * size / fits > limit:
            break
        if not _survives(take_step, size):
            break
        fits = size
    return fits


def memory_limit() -> int:
    """Returns how many bytes this process may hold: what it has now and what is free, or the limit of its container."""
    limit = psutil.Process().memory_info().rss + psutil.virtual_memory().available
    try:
        return min(limit, int(_CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # there is no container, or it has no limit
        return limit


def largest_size(sizes: Int64[np.ndarray, "n 2"], config: TrainTransformConfig) -> tuple[int, int]:
    """Returns the (height, width) to which a batch may be padded. sizes: (height, width) of all images."""
    given: list[tuple[int, int]] = [(height, width) for height, width in np.unique(sizes, axis=0).tolist()]
    if config.tile is not None:
        given = [(min(config.tile, height), min(config.tile, width)) for height, width in given]
    if config.crop is not None:
        given += [config.crop.sides, config.crop.sides[::-1]]
    short_side = max(config.short_sides)
    resized = [resized_size(height, width, short_side, config.max_size) for height, width in given]
    return max(height for height, _ in resized), max(width for _, width in resized)


class _LargestStep:
    """The step that needs most memory: images of the largest size, each with the most objects and proposals.

    It computes gradients and drops them. What the optimiser and the average of the weights will hold is held meanwhile.
    """

    def __init__(self, experiment: Experiment, model: Detector, dataset: DetectionDataset, per_rank: int):
        self.size = largest_size(dataset.sizes, experiment.augment)
        self._model, self._criterion = model, experiment.criterion()
        self._bf16 = experiment.train.bf16
        self._per_rank = per_rank
        self._copies = 2 if experiment.train.ema_decay is None else 3
        self._objects = int(np.diff(dataset.offsets).max())
        # training draws up to twice as many dense queries
        self._proposals = {"proposals": 2 * model.config.proposals} if model.config.any_proposals else {}

    def take(self, images: int) -> None:
        """Takes the step with so many images at a time."""
        device = self._model.mean.device
        try:
            # written to, because a CPU has no memory behind what was never written
            held = [torch.ones_like(each) for each in self._model.parameters() for _ in range(self._copies)]
            pixels = torch.zeros(self._per_rank, 3, *self.size, dtype=torch.uint8, device=device)
            # the second micro-batch has the gradients of the first beside it
            for _ in range(min(2, self._per_rank // images)):
                self._gradients(pixels[:images])
            del held
        finally:
            self._model.zero_grad(set_to_none=True)

    def _gradients(self, pixels: Tensor) -> None:
        sizes = torch.tensor([self.size] * len(pixels), device=pixels.device)
        with torch.autocast(pixels.device.type, torch.bfloat16, enabled=self._bf16):
            outputs = self._model(pixels, sizes, **self._proposals)
        targets = [self._target().to(pixels.device) for _ in pixels]
        self._criterion(outputs, targets, max(1, self._per_rank * self._objects), self._per_rank).total.backward()

    def _target(self) -> Target:
        """Returns objects in a row, each as large as a cell of the coarsest level."""
        left = torch.linspace(0, max(self.size[1] - 32, 0), self._objects)
        boxes = torch.stack([left, torch.zeros_like(left), left + 32, torch.full_like(left, 32)], dim=1)
        return Target(boxes=boxes, labels=torch.zeros(self._objects).long(), ignored=torch.zeros(0, 4), size=self.size)


def _survives(take_step: Callable[[int], None], size: int) -> bool:
    """Returns whether the step does not run out of memory; what a failed step held is free again."""
    try:
        take_step(size)
        return True
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
