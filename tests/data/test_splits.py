"""A share of the images is held out: each once, and which ones the seed decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.coco_files import annotation, content, image, write
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.splits import hold_out
from uncrowd.errors import InputError


@pytest.fixture(scope="module")
def ten(tmp_path_factory):
    images = [image(id) for id in range(10)]
    annotations = [annotation(id, id, (id, id, 5, 5)) for id in range(10)]
    return open_dataset(write(tmp_path_factory.mktemp("ten") / "a.json", content(images, annotations))).train


@given(fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**32))
def test_images_are_held_out_once_each(ten, fraction, seed):
    train, val = hold_out(ten, fraction, seed)
    assert sorted([*train.ids, *val.ids]) == list(range(10))
    assert min(len(train), len(val)) >= 1
    assert abs(len(val) - 10 * fraction) <= 1
    assert (train.split, val.split) == ("train", "val")
    assert train[0].boxes.tolist() == [[train.ids[0]] * 2 + [train.ids[0] + 5] * 2]  # with their own boxes


def test_the_seed_decides_which(ten):
    held = [hold_out(ten, seed=seed)[1].ids.tolist() for seed in (0, 0, 1, 2, 3)]
    assert held[0] == held[1]
    assert len({tuple(ids) for ids in held}) > 1


def test_nothing_can_be_held_out_of_one_image(ten):
    with pytest.raises(InputError, match="1 image, too few to hold any out"):
        hold_out(ten.subset([0]))
