"""Which images form a batch: in an epoch of training on any number of ranks, and in inference."""

from functools import partial

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from uncrowd.data.batches import inference_batches, plan_epoch
from uncrowd.data.transforms import ResizeConfig

LANDSCAPE, PORTRAIT = (20, 30), (30, 20)


def shapes(*images: tuple[int, int]) -> np.ndarray:
    return np.array(images, dtype=np.int64).reshape(-1, 2)


@settings(max_examples=50, deadline=None)
@given(
    portraits=st.lists(st.booleans(), min_size=1, max_size=60),
    batch_size=st.integers(1, 4),
    world_size=st.integers(1, 3),
    epoch=st.integers(0, 3),
)
def test_plan_gives_every_rank_as_many_full_batches_and_no_image_twice(portraits, batch_size, world_size, epoch):
    sizes = shapes(*(PORTRAIT if portrait else LANDSCAPE for portrait in portraits))
    plans = [
        plan_epoch(sizes, seed=1, epoch=epoch, batch_size=batch_size, world_size=world_size, rank=rank)
        for rank in range(world_size)
    ]
    a_step = batch_size * world_size
    seen = [index for plan in plans for batch in plan for index in batch]

    assert [len(plan) for plan in plans] == [max(len(sizes) // a_step, 1)] * world_size
    assert all(len(batch) == batch_size for plan in plans for batch in plan)
    if len(sizes) >= a_step:
        assert len(set(seen)) == len(seen)
    else:  # all of a small dataset, some of it again
        assert set(seen) == set(range(len(sizes)))


def test_plan_keeps_landscape_and_portrait_apart():
    sizes = shapes(*[LANDSCAPE] * 27, *[PORTRAIT] * 13)

    kinds = [{index >= 27 for index in batch} for batch in plan_epoch(sizes, seed=0, epoch=0, batch_size=4)]

    assert len(kinds) == 10
    assert sum(len(kind) == 2 for kind in kinds) == 1  # the three and the one that are left over


def test_two_ranks_see_at_each_step_what_one_would():
    sizes = shapes(*[LANDSCAPE] * 20, *[PORTRAIT] * 15)

    alone = plan_epoch(sizes, seed=5, epoch=2, batch_size=8)
    first, second = (plan_epoch(sizes, seed=5, epoch=2, batch_size=4, world_size=2, rank=rank) for rank in (0, 1))

    assert [a + b for a, b in zip(first, second, strict=True)] == alone


def test_repeated_images_come_about_as_often_as_asked_and_epochs_stay_equally_long():
    repeats = np.array([1.0] * 16 + [2.5] * 2 + [1.3, 4.0])
    plan = partial(plan_epoch, shapes(*[LANDSCAPE] * 20), seed=0, repeats=repeats)
    plans = [plan(epoch=epoch, batch_size=2) for epoch in range(300)]

    assert {len(plan) for plan in plans} == {26 // 2}, "the sum of the repeats is 26.3"
    counts = np.array([np.bincount(np.ravel(plan), minlength=20) for plan in plans])
    assert counts[:, 16:18].min() >= 1
    assert counts[:, 16:18].max() == 3
    assert np.abs(counts.mean(axis=0) - repeats).max() < 0.15
    assert plans[3] == plan(epoch=3, batch_size=2)
    first, second = (plan(epoch=3, batch_size=1, world_size=2, rank=rank) for rank in (0, 1))
    assert [a + b for a, b in zip(first, second, strict=True)] == plans[3]


def test_plan_is_another_one_each_epoch_and_in_time_takes_every_image():
    # The three portraits fill no batch of four; still they have their turn.
    sizes = shapes(*[LANDSCAPE] * 20, *[PORTRAIT] * 3)
    plans = [plan_epoch(sizes, seed=0, epoch=epoch, batch_size=4) for epoch in range(8)]

    assert plans[0] == plan_epoch(sizes, seed=0, epoch=0, batch_size=4)
    assert len({str(plan) for plan in plans}) == 8
    assert {index for plan in plans for batch in plan for index in batch} == set(range(23))


def test_only_images_padded_alike_share_a_batch():
    # Short sides become 64. With 32s: 64x96 (two), 64x128 (two), 96x64 (one), 64x64 (two).
    sizes = shapes((64, 90), (64, 97), (90, 64), (32, 48), (64, 64), (10, 10), (64, 128))

    batches = inference_batches(sizes, ResizeConfig(short_side=64, max_size=200), multiple=32, batch_size=8)
    one_by_one = inference_batches(sizes, ResizeConfig(short_side=64, max_size=200), multiple=32, batch_size=1)

    assert batches == [[1, 6], [0, 3], [2], [4, 5]]  # the largest first
    assert one_by_one == [[1], [6], [0], [3], [2], [4], [5]]
