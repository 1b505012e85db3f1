"""Samples go into packed arrays and come back out, whole and in part."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uncrowd.data.classes import keep_classes
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.union import join
from uncrowd.structures import Categories, Outline, Sample

FOLDER = Path("/images")


def sample(id: int | str, count: int) -> Sample:
    """An image with `count` boxes, all its numbers made from its id."""
    rng = np.random.default_rng([*str(id).encode()])
    corners = rng.uniform(0, 50, (count, 2))
    return Sample(
        id=id,
        path=FOLDER / f"{id}.jpg",
        size=(100, 50 + count),
        boxes=np.concatenate([corners, corners + rng.uniform(1, 50, (count, 2))], axis=1),
        labels=rng.integers(0, 2, count),
        ignore=rng.random(count) < 0.5,
        areas=rng.uniform(1, 9, count),
    )


def pack(*samples: Sample) -> DetectionDataset:
    return DetectionDataset.from_samples(
        samples,
        source=Path("a.json"),
        split="train",
        categories=Categories(ids=(3, 7), names=("cat", "dog")),
        folder=FOLDER,
        skipped={"boxes without area": 2},
    )


def same(one: Sample, other: Sample) -> bool:
    return (one.id, one.path, one.size) == (other.id, other.path, other.size) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("boxes", "labels", "ignore", "areas")
    )


def test_samples_come_back_out():
    samples = [sample(8, 3), sample(5, 0), sample(6, 1)]
    dataset = pack(*samples)
    assert len(dataset) == 3
    assert all(same(dataset[i], samples[i]) for i in range(3))
    assert same(dataset[-1], samples[2])
    assert dataset.ids.tolist() == [8, 5, 6]
    assert dataset.sizes.tolist() == [[100, 53], [100, 50], [100, 51]]
    assert dataset.counts.tolist() == [3, 0, 1]


TRIANGLES = tuple(np.array([[x, 0], [x + 2, 0], [x, 5.5]], dtype=np.float32) for x in (1, 10, 20))


def same_outline(one: Outline | None, other: Outline | None) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(np.array_equal, one, other))
    return one == other


def test_outlines_come_back_out_of_a_subset_too():
    outlines = [(TRIANGLES[0], None), (), ("o0?3", TRIANGLES[1:])]
    packed = [
        replace(sample(id, count), outlines=tuple((each,) if isinstance(each, np.ndarray) else each for each in own))
        for id, count, own in zip((8, 5, 6), (2, 1, 2), outlines, strict=True)
    ]
    dataset = pack(*packed)
    assert dataset.outlines is not None
    assert dataset.outlines.present.tolist() == [True, False, False, True, True]
    backwards = dataset.subset([2, 1, 0])
    for before, found in [*zip(packed, dataset, strict=True), *zip(packed[::-1], backwards, strict=True)]:
        wanted = before.outlines or (None,) * len(before.boxes)
        assert len(found.outlines) == len(wanted)
        assert all(map(same_outline, found.outlines, wanted))


def test_outlines_stay_with_their_boxes_where_datasets_are_joined_or_lose_classes():
    outlined = replace(sample(8, 3), outlines=((TRIANGLES[0],), None, (TRIANGLES[1],)), labels=np.array([0, 1, 1]))
    dataset, other = pack(outlined), pack(sample(5, 2))
    (dogs,) = keep_classes(dataset, {"dog": ("dog",)})
    assert [each is not None for each in dogs.outlines] == [False, True]
    assert same_outline(dogs.outlines[1], outlined.outlines[2])
    first, second, third = join({"a": other, "b": dataset, "c": dataset}, dataset.categories)
    assert first.outlines == (None, None)
    for found in (second, third):
        assert all(map(same_outline, found.outlines, outlined.outlines))
    assert join({"a": other, "b": other}, other.categories).outlines is None


def test_a_dataset_without_outlines_holds_none():
    assert pack(sample(1, 2)).outlines is None
    assert pack(sample(1, 2))[0].outlines == ()


def test_it_is_a_sequence_that_ends():
    assert len(list(pack(sample(1, 1), sample(2, 0)))) == 2  # pyright: ignore[reportArgumentType]
    with pytest.raises(IndexError):
        pack(sample(1, 1))[1]


def test_a_sample_is_a_copy_of_its_own():
    dataset = pack(sample(1, 2))
    dataset[0].boxes[:] = -1
    assert same(dataset[0], sample(1, 2))


def test_ids_may_be_names_but_do_not_mix():
    dataset = pack(sample("283554,35288000ae4dc9b8", 1), sample("x", 2))
    assert dataset[0].id == "283554,35288000ae4dc9b8"
    assert type(dataset[1].id) is str
    assert type(pack(sample(1, 0))[0].id) is int
    with pytest.raises(AssertionError, match="several types"):
        pack(sample(1, 0), sample("1", 0))


def test_a_path_outside_the_folder_stays_absolute():
    outside = Path("/elsewhere/b.jpg")
    dataset = pack(Sample(**{**vars(sample(1, 1)), "path": outside}))
    assert dataset[0].path == outside


def test_an_empty_dataset_holds_nothing():
    dataset = pack()
    assert len(dataset) == 0
    assert dataset.boxes.shape == (0, 4)
    assert len(dataset.subset([])) == 0


@given(counts=st.lists(st.integers(0, 4), min_size=1, max_size=6), data=st.data())
def test_a_subset_is_those_images_in_that_order(counts, data):
    dataset = pack(*(sample(id, count) for id, count in enumerate(counts)))
    indices = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=8))
    subset = dataset.subset(indices, split="part")
    assert [s.id for s in map(subset.__getitem__, range(len(subset)))] == indices
    assert all(same(subset[i], dataset[index]) for i, index in enumerate(indices))
    assert (subset.split, subset.skipped, subset.categories) == ("part", {}, dataset.categories)


def test_it_survives_the_way_to_a_loader_process():
    dataset = pack(sample(1, 2), sample(2, 1))
    back = pickle.loads(pickle.dumps(dataset))
    assert all(same(back[i], dataset[i]) for i in range(2))
    assert back.skipped == {"boxes without area": 2}
