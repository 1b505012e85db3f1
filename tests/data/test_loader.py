"""Batches for training and inference are the same whatever loads them, and images that cannot be read are replaced."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from tests.data.augment.drawn import discs
from uncrowd.data.augment.affine import AffineConfig
from uncrowd.data.augment.colour import ColourConfig
from uncrowd.data.augment.degrade import BlurConfig, NoiseConfig
from uncrowd.data.augment.mosaic import MosaicConfig
from uncrowd.data.augment.paste import PasteConfig
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.loader import InferenceLoader, TrainLoader
from uncrowd.data.transforms import CropConfig, ResizeConfig, TrainTransformConfig
from uncrowd.errors import InputError
from uncrowd.structures import Batch, Categories, Sample

SMALL = TrainTransformConfig(short_sides=(24, 32), max_size=64, crop=CropConfig(short_sides=(32, 40), sides=(16, 32)))
LANDSCAPE, PORTRAIT = (20, 30), (30, 20)


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., DetectionDataset]:
    """A dataset of noise with one box and one ignored box per image, its ids 100, 101, ...; some may be damaged."""

    def make(sizes: list[tuple[int, int]], damaged: tuple[int, ...] = ()) -> DetectionDataset:
        rng = np.random.default_rng(0)
        samples = []
        for index, size in enumerate(sizes):
            path = tmp_path / f"{index}.png"
            Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
            if index in damaged:
                path.write_bytes(b"no image")
            boxes = np.array([[1, 2, 11, 12], [3, 4, 19, 15]], dtype=np.float64)
            samples.append(
                Sample(
                    id=100 + index,
                    path=path,
                    size=size,
                    boxes=boxes,
                    labels=np.array([index, 0]),
                    ignore=np.array([False, True]),
                    areas=np.array([100.0, 176.0]),
                )
            )
        categories = Categories(ids=tuple(range(10)), names=tuple("abcdefghij"))
        return DetectionDataset.from_samples(
            samples, source=tmp_path, split="train", categories=categories, folder=tmp_path
        )

    return make


def assert_same(batch: Batch, other: Batch) -> None:
    assert batch.ids == other.ids
    assert batch.skipped == other.skipped
    assert batch.image_sizes == other.image_sizes
    assert torch.equal(batch.images, other.images)
    assert torch.equal(batch.sizes, other.sizes)
    for target, other_target in zip(batch.targets, other.targets, strict=True):
        assert target.size == other_target.size
        assert torch.equal(target.boxes, other_target.boxes)
        assert torch.equal(target.labels, other_target.labels)
        assert torch.equal(target.ignored, other_target.ignored)


# Training


def test_train_batch_is_padded_and_says_what_belongs_to_it(make_dataset):
    dataset = make_dataset([LANDSCAPE, PORTRAIT, LANDSCAPE])
    config = TrainTransformConfig(short_sides=(40,), max_size=100, horizontal_flip=0.0)
    loader = TrainLoader(dataset, config, seed=0, batch_size=3)

    batch = next(loader.epoch(0))

    assert loader.steps_per_epoch == 1
    assert sorted(batch.ids) == [100, 101, 102]
    assert batch.skipped == []
    assert batch.images.shape == (3, 3, 60, 60)
    assert batch.images.dtype == torch.uint8
    for row, (id, target) in enumerate(zip(batch.ids, batch.targets, strict=True)):
        size = (60, 40) if id == 101 else (40, 60)
        assert batch.image_sizes[row] == (PORTRAIT if id == 101 else LANDSCAPE)
        assert tuple(batch.sizes[row].tolist()) == target.size == size
        assert not batch.images[row, :, size[0] :].any()
        assert not batch.images[row, :, :, size[1] :].any()
        assert [100 + label for label in target.labels.tolist()] == [id]
        assert target.boxes.tolist() == [[2, 4, 22, 24]]
        assert target.ignored.tolist() == [[6, 8, 38, 30]]


def test_no_more_workers_start_than_there_are_batches(make_dataset, monkeypatch):
    started = []

    def spy(*args, num_workers, **options):
        started.append(num_workers)
        return DataLoader(*args, **options)

    monkeypatch.setattr("uncrowd.data.loader.DataLoader", spy)
    loader = TrainLoader(make_dataset([LANDSCAPE] * 4), SMALL, seed=0, batch_size=2, workers=100_000)
    assert (len(list(loader.epoch(0))), started) == (2, [2])


def test_workers_change_nothing(make_dataset):
    dataset = make_dataset([LANDSCAPE, PORTRAIT] * 4, damaged=(3,))
    loaders = [TrainLoader(dataset, SMALL, seed=3, batch_size=2, workers=workers) for workers in (0, 2)]
    state = torch.get_rng_state()

    for epoch in (0, 1):
        for batch, other in zip(*(loader.epoch(epoch) for loader in loaders), strict=True):
            assert_same(batch, other)

    assert torch.equal(torch.get_rng_state(), state)  # nor does loading draw from training's chance


def test_an_epoch_resumes_where_it_stopped(make_dataset):
    dataset = make_dataset([LANDSCAPE] * 7)
    whole = list(TrainLoader(dataset, SMALL, seed=0, batch_size=2).epoch(4))

    rest = list(TrainLoader(dataset, SMALL, seed=0, batch_size=2).epoch(4, start_step=1))

    assert len(whole) == 3
    for batch, other in zip(whole[1:], rest, strict=True):
        assert_same(batch, other)


EVERYTHING = replace(
    SMALL,
    mosaic=MosaicConfig(probability=0.4),
    paste=PasteConfig(probability=0.9),
    affine=AffineConfig(probability=0.8),
    colour=ColourConfig(probability=0.8),
    blur=BlurConfig(probability=0.5),
    noise=NoiseConfig(probability=0.5),
)


def test_with_everything_on_an_epoch_resumes_where_it_stopped_on_any_number_of_workers(tmp_path):
    dataset = discs(tmp_path, 8, outlined=True)
    whole = list(TrainLoader(dataset, EVERYTHING, seed=0, batch_size=2, epochs=9).epoch(3))

    rest = list(TrainLoader(dataset, EVERYTHING, seed=0, batch_size=2, epochs=9, workers=2).epoch(3, start_step=1))

    assert max(len(target.labels) for batch in whole for target in batch.targets) > 3, "objects were pasted"
    for batch, other in zip(whole[1:], rest, strict=True):
        assert_same(batch, other)


def test_objects_are_pasted_less_often_towards_the_end(tmp_path):
    dataset = discs(tmp_path, 8, outlined=True)
    config = TrainTransformConfig(short_sides=(48,), max_size=96, paste=PasteConfig(probability=1.0, objects=(4, 4)))
    loader = TrainLoader(dataset, config, seed=0, batch_size=8, epochs=20)
    more = [sum(len(target.labels) > 3 for target in next(loader.epoch(e)).targets) for e in (0, 15, 17, 18, 19)]
    assert more[:2] == [8, 8]
    assert 0 < sum(more[2:4]) < 16
    assert more[4] == 0, "the last epoch shows real images"


def test_each_epoch_augments_anew(make_dataset):
    loader = TrainLoader(make_dataset([LANDSCAPE]), SMALL, seed=0, batch_size=1)

    assert len({str(next(loader.epoch(epoch)).images.tolist()) for epoch in range(5)}) > 1


def test_two_ranks_share_the_batch_of_one(make_dataset):
    dataset = make_dataset([LANDSCAPE] * 8)
    alone = TrainLoader(dataset, SMALL, seed=0, batch_size=4).epoch(0)
    ranks = [TrainLoader(dataset, SMALL, seed=0, batch_size=2, world_size=2, rank=rank).epoch(0) for rank in (0, 1)]

    for whole, first, second in zip(alone, *ranks, strict=True):
        assert whole.ids == first.ids + second.ids
        assert torch.equal(whole.sizes, torch.cat([first.sizes, second.sizes]))


def test_a_damaged_image_gives_its_place_to_the_next(make_dataset):
    dataset = make_dataset([LANDSCAPE] * 4, damaged=(2, 3))

    batch = next(TrainLoader(dataset, SMALL, seed=0, batch_size=4).epoch(0))

    assert sorted(batch.ids) == [100, 100, 100, 101]  # past the end comes the first
    assert [reason.partition(" (")[0] for reason in sorted(batch.skipped)] == [
        f"{dataset.folder / name} cannot be read as an image" for name in ("2.png", "3.png")
    ]


@pytest.mark.parametrize("workers", [0, 1])
def test_no_readable_image_is_said_in_a_sentence(make_dataset, workers):
    loader = TrainLoader(make_dataset([LANDSCAPE] * 2, damaged=(0, 1)), SMALL, seed=0, batch_size=2, workers=workers)

    with pytest.raises(InputError, match=r"None of the 2 images .* \S+\.png cannot be read") as caught:
        next(loader.epoch(0))
    assert "\n" not in str(caught.value)


def test_no_images_are_refused(make_dataset):
    with pytest.raises(InputError, match="no images"):
        TrainLoader(make_dataset([]), SMALL, seed=0, batch_size=2)


def test_a_worker_that_is_killed_is_an_error_and_no_hang(make_dataset):
    batches = TrainLoader(make_dataset([LANDSCAPE] * 16), SMALL, seed=0, batch_size=1, workers=1).epoch(0)
    next(batches)
    (worker,) = multiprocessing.active_children()

    def go_on() -> None:
        worker.kill()
        worker.join()  # the signal of its death arrives here, and not in the middle of another test
        list(batches)

    with pytest.raises((RuntimeError, ConnectionError)):  # whichever notices it first
        go_on()


@pytest.mark.skipif(sys.platform == "win32", reason="its workers do not inherit what a test exchanges")
def test_full_shared_memory_is_said_and_no_hang(make_dataset, monkeypatch):
    def full(tensor):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr("torch.Tensor.share_memory_", full)
    loader = TrainLoader(make_dataset([LANDSCAPE] * 2), SMALL, seed=0, batch_size=1, workers=1)
    with pytest.raises(InputError, match=r"^Memory ran out while images were loaded; fewer loading processes"):
        list(loader.epoch(0))
    gc.collect()  # the error holds the worker


@pytest.mark.skipif(not hasattr(os, "getpgid"), reason="process groups are POSIX's")
def test_signals_to_the_group_do_not_reach_workers(make_dataset):
    batches = TrainLoader(make_dataset([LANDSCAPE] * 16), SMALL, seed=0, batch_size=1, workers=1).epoch(0)
    next(batches)
    (worker,) = multiprocessing.active_children()

    assert worker.pid is not None
    assert os.getpgid(worker.pid) != os.getpgid(0)


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="macOS does not say who sent a signal")
def test_a_worker_ends_on_its_parents_signal_alone(make_dataset):
    """A scheduler sends SIGTERM to every process of a job; Python ends what is left over with it at exit."""
    batches = TrainLoader(make_dataset([LANDSCAPE] * 16), SMALL, seed=0, batch_size=1, workers=1).epoch(0)
    next(batches)
    (worker,) = multiprocessing.active_children()

    subprocess.run(["kill", "-TERM", str(worker.pid)], check=True)
    assert len(list(batches)) == 15

    batches = TrainLoader(make_dataset([LANDSCAPE] * 16), SMALL, seed=0, batch_size=1, workers=1).epoch(0)
    next(batches)
    (worker,) = multiprocessing.active_children()
    worker.terminate()
    worker.join(timeout=60)
    assert worker.exitcode == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pins memory for CUDA")
def test_batches_for_cuda_are_pinned(make_dataset):
    batch = next(TrainLoader(make_dataset([LANDSCAPE] * 2), SMALL, seed=0, batch_size=2).epoch(0))

    assert batch.images.is_pinned()
    assert all(target.boxes.is_pinned() for target in batch.targets)


# Inference


@pytest.mark.parametrize("workers", [0, 2])
def test_inference_takes_every_image_once_and_skips_what_it_cannot_read(make_dataset, workers):
    dataset = make_dataset([LANDSCAPE, LANDSCAPE, PORTRAIT, LANDSCAPE, (20, 20)], damaged=(1, 2))
    loader = InferenceLoader(dataset, ResizeConfig(short_side=40), multiple=16, batch_size=2, workers=workers)

    for _ in range(2):
        batches = list(loader)
        assert [batch.ids for batch in batches] == [[100], [103], [], [104]]
        assert [len(batch.skipped) for batch in batches] == [1, 0, 1, 0]
        assert batches[0].skipped[0].startswith(f"{dataset.folder / '1.png'} cannot be read as an image (")
        assert [tuple(batch.images.shape) for batch in batches] == [
            (1, 3, 40, 60),
            (1, 3, 40, 60),
            (0, 3, 0, 0),
            (1, 3, 40, 40),
        ]
        assert all(batch.targets == [] for batch in batches)
        assert batches[3].sizes.tolist() == [[40, 40]]
        assert batches[3].image_sizes == [(20, 20)]
    assert len(loader) == 4


def test_ranks_divide_inference(make_dataset):
    dataset = make_dataset([LANDSCAPE] * 5)
    ranks = [
        InferenceLoader(dataset, ResizeConfig(short_side=20), multiple=32, batch_size=1, world_size=2, rank=rank)
        for rank in (0, 1)
    ]

    assert [[batch.ids for batch in rank] for rank in ranks] == [[[100], [102], [104]], [[101], [103]]]
