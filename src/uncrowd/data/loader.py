"""Loads the batches of a dataset, in worker processes if wanted.

Workers hold no state: the images of a step and their augmentation depend neither on the number of workers nor on
where a run was interrupted.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from uncrowd.data.augment.others import Others
from uncrowd.data.balance import repeat_factors
from uncrowd.data.batches import inference_batches, pad, plan_epoch
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.images.file import MAX_PIXELS
from uncrowd.data.images.read import read_image
from uncrowd.data.transforms import ResizeConfig, TrainTransformConfig, augment, image_rng, resize, strength_in
from uncrowd.errors import InputError
from uncrowd.out_of_memory import explain_out_of_memory
from uncrowd.structures import Batch, ImageId, Sample, Target


class TrainLoader:
    """Yields the augmented training batches of one rank; they do not depend on the number of `workers`.

    An image that cannot be read is replaced by the next readable one of the dataset, and the reason is added
    to `Batch.skipped`.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        config: TrainTransformConfig,
        *,
        seed: int,
        batch_size: int,
        epochs: int | None = None,
        rare_below: float = 0.0,
        workers: int = 0,
        world_size: int = 1,
        rank: int = 0,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """epochs: the length of training, towards whose end less is taken from other images; None never tapers off.

        rare_below: share of the images below which a class is rare, and images with it come more often.
        """
        if len(dataset) == 0:
            raise InputError("The training data has no images; check its path and split.")
        self._batches = _TrainBatches(dataset, config, seed, epochs, max_pixels)
        self._plan = partial(
            plan_epoch,
            dataset.sizes,
            seed=seed,
            batch_size=batch_size,
            world_size=world_size,
            rank=rank,
            repeats=repeat_factors(dataset, rare_below) if rare_below > 0 else None,
        )
        self.steps_per_epoch = len(self._plan(epoch=0))
        self._workers = workers

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Yields the batches of `epoch` from `start_step` on; they equal those of an epoch iterated from its beginning.

        Raises InputError when no image of the dataset can be read.
        """
        plan = self._plan(epoch=epoch)
        return _load(self._batches, [(epoch, batch) for batch in plan[start_step:]], self._workers)


class InferenceLoader:
    """Yields every image once, resized, in the batches of `inference_batches`; rank r takes every n-th from the r-th.

    The batches' `targets` are empty. An image that cannot be read is left out and the reason is added to
    `Batch.skipped`. If no image of a batch can be read, the batch is empty: `len(batch.ids) == 0`.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        config: ResizeConfig,
        *,
        multiple: int,
        batch_size: int,
        workers: int = 0,
        world_size: int = 1,
        rank: int = 0,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        plan = inference_batches(dataset.sizes, config, multiple=multiple, batch_size=batch_size)
        self._plan = plan[rank::world_size]
        self._batches = _InferenceBatches(dataset, config, max_pixels)
        self._workers = workers

    def __len__(self) -> int:
        return len(self._plan)

    def __iter__(self) -> Iterator[Batch]:
        return _load(self._batches, self._plan, self._workers)


class _Packed(NamedTuple):
    """A Batch as a worker sends it, with the tensors of all targets concatenated.

    Each tensor that a worker sends costs a file descriptor, and a process has about a thousand of these. It is a
    NamedTuple because DataLoader pins its tensors, but not those of a dataclass.
    """

    images: UInt8[Tensor, "b 3 h w"]
    sizes: Int64[Tensor, "b 2"]
    boxes: Float[Tensor, "n 4"]
    labels: Int64[Tensor, " n"]
    ignored: Float[Tensor, "m 4"]
    counts: list[tuple[int, int]]
    ids: list[ImageId]
    image_sizes: list[tuple[int, int]]
    skipped: list[str]


class _TrainBatches(Dataset[_Packed | InputError]):
    """Maps (epoch, indices) to a batch. Errors are returned: raised in a worker they become a stack trace."""

    def __init__(
        self, dataset: DetectionDataset, config: TrainTransformConfig, seed: int, epochs: int | None, max_pixels: int
    ) -> None:
        self.dataset, self.config, self.seed = dataset, config, seed
        self.epochs, self.max_pixels = epochs, max_pixels
        self.others = Others(dataset, max_pixels) if config.borrows else None
        if self.others is not None and config.paste.probability > 0:
            self.others.require_cuttable(config.paste.same_image)

    def __getitem__(self, key: tuple[int, list[int]]) -> _Packed | InputError:
        epoch, indices = key
        strength = 1.0 if self.epochs is None else strength_in(epoch, self.epochs)
        images, targets, samples, skipped = [], [], [], []
        for planned in indices:
            try:
                index, sample, pixels, reason = self._readable_from(planned)
            except InputError as error:
                return error
            if reason is not None:
                skipped.append(reason)
            rng = image_rng(self.seed, epoch, index)
            image, target = augment(self.config, pixels, sample, rng, self.others, strength)
            images.append(image)
            targets.append(target)
            samples.append(sample)
        return _pack(images, targets, samples, skipped)

    def _readable_from(self, start: int) -> tuple[int, Sample, UInt8[np.ndarray, "h w 3"], str | None]:
        """Returns index, sample and pixels of the first readable image from `start` on, wrapping around at the end.

        The last value is the reason if it is another image than that at `start`.
        """
        total = len(self.dataset)
        reason = None
        for step in range(total):
            index = (start + step) % total
            sample = self.dataset[index]
            try:
                return index, sample, read_image(sample.path, sample.size, max_pixels=self.max_pixels), reason
            except InputError as error:
                reason = reason or str(error)
        raise InputError(f"None of the {total} images of the training data can be read; the first: {reason}")


class _InferenceBatches(Dataset[_Packed]):
    """Maps a list of indices to a batch."""

    def __init__(self, dataset: DetectionDataset, config: ResizeConfig, max_pixels: int) -> None:
        self.dataset, self.config, self.max_pixels = dataset, config, max_pixels

    def __getitem__(self, key: list[int]) -> _Packed:
        images, samples, skipped = [], [], []
        for index in key:
            sample = self.dataset[index]
            try:
                pixels = read_image(sample.path, sample.size, max_pixels=self.max_pixels)
            except InputError as error:
                skipped.append(str(error))
                continue
            images.append(resize(pixels, self.config))
            samples.append(sample)
        return _pack(images, [], samples, skipped)


def _pack(images: list[Tensor], targets: list[Target], samples: list[Sample], skipped: list[str]) -> _Packed:
    padded, sizes = pad(images)
    # `torch.cat` refuses an empty list; the empty tensors stand for a batch without targets.
    return _Packed(
        images=padded,
        sizes=sizes,
        boxes=torch.cat([torch.zeros(0, 4), *(target.boxes for target in targets)]),
        labels=torch.cat([torch.zeros(0, dtype=torch.int64), *(target.labels for target in targets)]),
        ignored=torch.cat([torch.zeros(0, 4), *(target.ignored for target in targets)]),
        counts=[(len(target.boxes), len(target.ignored)) for target in targets],
        ids=[sample.id for sample in samples],
        image_sizes=[sample.size for sample in samples],
        skipped=skipped,
    )


def _load(batches: Dataset[Any], keys: list[Any], workers: int) -> Iterator[Batch]:
    loader = DataLoader(
        batches,
        sampler=keys,
        batch_size=None,  # a key is a whole batch
        collate_fn=_share,
        num_workers=min(workers, len(keys)),  # each has a batch to load; 100,000 would only exhaust the machine
        worker_init_fn=_heed_parent_alone,
        pin_memory=torch.cuda.is_available(),
        # DataLoader draws a seed for its workers; without its own generator it would advance the training's.
        generator=torch.Generator(),
    )
    with explain_out_of_memory(
        "while images were loaded", "fewer loading processes (workers) and smaller images need less"
    ):
        for packed in loader:
            if isinstance(packed, InputError):
                raise packed
            yield _unpack(packed)


def _unpack(packed: _Packed) -> Batch:
    box_counts = [boxes for boxes, _ in packed.counts]
    ignored_counts = [ignored for _, ignored in packed.counts]
    parts = zip(
        packed.boxes.split(box_counts),
        packed.labels.split(box_counts),
        packed.ignored.split(ignored_counts),
        packed.sizes.tolist(),
        strict=False,  # a batch for inference has sizes and no targets
    )
    return Batch(
        images=packed.images,
        sizes=packed.sizes,
        targets=[Target(boxes=b, labels=n, ignored=i, size=(s[0], s[1])) for b, n, i, s in parts],
        ids=packed.ids,
        image_sizes=[(height, width) for height, width in packed.image_sizes],
        skipped=packed.skipped,
    )


def _share(packed: Any) -> Any:
    """In a worker, moves the tensors to shared memory, from where the training process takes them.

    Torch would do so in a thread, where an error, such as a full /dev/shm, is printed and training waits forever.
    """
    if get_worker_info() is not None and isinstance(packed, _Packed):
        for tensor in packed:
            if isinstance(tensor, Tensor) and tensor.numel():
                tensor.share_memory_()
    return packed


def _heed_parent_alone(worker: int) -> None:
    """Makes a worker ignore Ctrl-C and a scheduler's SIGTERM, and end only with its parent or at its request.

    These signals reach every process of a group or job. The training process needs its workers until it has saved a
    checkpoint.
    """
    if sys.platform == "win32":  # which has no process groups to leave
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    else:
        os.setpgrp()
    if hasattr(signal, "sigwaitinfo"):  # macOS has none
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_on_parents_sigterm, daemon=True).start()


def _end_on_parents_sigterm() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)
