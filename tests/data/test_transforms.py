"""Images and their boxes stay together through flips, crops and resizing."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torchvision.transforms.v2.functional import resize as resize_image

from uncrowd.data.transforms import (
    CropConfig,
    ResizeConfig,
    TrainTransformConfig,
    augment,
    image_rng,
    resize,
    resized_size,
)
from uncrowd.errors import InputError
from uncrowd.structures import Sample

AS_IT_IS = TrainTransformConfig(short_sides=(60,), max_size=1000, horizontal_flip=0.0)


def sample_of(size: tuple[int, int], boxes: list[list[float]], ignore: list[bool] | None = None) -> Sample:
    """Boxes labelled 0, 1, 2, ... in their order."""
    array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    return Sample(
        id=1,
        path=Path("unread.png"),
        size=size,
        boxes=array,
        labels=np.arange(len(array)),
        ignore=np.array(ignore or [False] * len(array), dtype=bool),
        areas=(array[:, 2:] - array[:, :2]).prod(axis=1),
    )


def black(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width, 3), dtype=np.uint8)


def always(**changes) -> TrainTransformConfig:
    return replace(AS_IT_IS, **changes)


@pytest.mark.parametrize(
    ("height", "width", "short_side", "max_size", "expected"),
    [
        (480, 640, 800, 1333, (800, 1067)),  # COCO's usual pixels: 1066.67 is rounded
        (640, 480, 800, 1333, (1067, 800)),
        (427, 640, 800, 1333, (800, 1199)),
        (400, 1000, 800, 1333, (533, 1333)),  # the long side is at its limit
        (800, 800, 800, 1333, (800, 800)),
        (1600, 1600, 800, 1333, (800, 800)),
        (100, 150, 600, math.inf, (600, 900)),
        (1, 5000, 800, 1333, (1, 1333)),  # never less than a pixel
    ],
)
def test_resized_size_is_detectron2s(height, width, short_side, max_size, expected):
    assert resized_size(height, width, short_side, max_size) == expected


def test_resize_for_inference():
    image = resize(np.full((30, 60, 3), (10, 20, 30), dtype=np.uint8), ResizeConfig(short_side=40, max_size=1333))

    assert image.shape == (3, 40, 80)
    assert image.dtype == torch.uint8
    assert image.float().mean(dim=(1, 2)).tolist() == [10, 20, 30]


def test_boxes_are_scaled_by_each_sides_own_ratio():
    # 41 x 60 becomes 60 x 88, which is 60 / 41 high and 88 / 60 wide.
    _, target = augment(AS_IT_IS, black(41, 60), sample_of((41, 60), [[6, 4.1, 30, 20.5]]), image_rng(0, 0, 0))

    assert target.size == (60, 88)
    torch.testing.assert_close(target.boxes, torch.tensor([[8.8, 6.0, 44.0, 30.0]]))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (always(horizontal_flip=1.0), [60.0, 20, 90, 40]),
        (always(vertical_flip=1.0), [10.0, 20, 40, 40]),
        (always(horizontal_flip=1.0, vertical_flip=1.0), [60.0, 20, 90, 40]),
    ],
)
def test_flips_mirror_boxes(config, expected):
    _, target = augment(config, black(60, 100), sample_of((60, 100), [[10, 20, 40, 40]]), image_rng(0, 0, 0))

    assert target.boxes.tolist() == [expected]


@settings(max_examples=25, deadline=None)
@given(
    pixels=hnp.arrays(np.uint8, (6, 10, 3)),
    x=st.floats(0, 8),
    y=st.floats(0, 4),
    side=st.floats(0.01, 2),
    flips=st.sampled_from([(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)]),
)
def test_flipping_twice_changes_nothing(pixels, x, y, side, flips):
    box = [x, y, x + side, y + side]
    config = always(short_sides=(6,), horizontal_flip=flips[0], vertical_flip=flips[1])

    once, target = augment(config, pixels, sample_of((6, 10), [box]), image_rng(0, 0, 0))
    mirrored = sample_of((6, 10), target.boxes.tolist())
    twice, target = augment(config, once.permute(1, 2, 0).numpy(), mirrored, image_rng(0, 0, 0))

    assert np.array_equal(twice.permute(1, 2, 0).numpy(), pixels)
    torch.testing.assert_close(target.boxes, torch.tensor([box]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "config",
    [
        always(short_sides=(45, 90, 150)),
        always(horizontal_flip=0.5, vertical_flip=0.5),
        always(crop=CropConfig(probability=1.0, short_sides=(60, 90), sides=(50, 80)), short_sides=(60, 100)),
        always(tile=65),
        always(tile=66, crop=CropConfig(probability=0.5, short_sides=(60, 90), sides=(50, 80)), horizontal_flip=0.5),
    ],
    ids=["resize", "flips", "crop", "tile", "everything"],
)
def test_boxes_stay_on_their_pixels(config):
    pixels = black(70, 110)
    pixels[20:50, 30:80] = (255, 0, 0)
    sample = sample_of((70, 110), [[30, 20, 80, 50]])

    for index in range(20):
        image, target = augment(config, pixels, sample, image_rng(0, 0, index))
        assert image.shape[1:] == target.size
        rows, columns = torch.nonzero(image[0] > 127, as_tuple=True)
        seen = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
        torch.testing.assert_close(target.boxes, seen[None], atol=1.5, rtol=0)


def test_crop_sides_are_in_range_or_the_whole_image():
    # The short side becomes 40, less than the 50 a crop wants, so all of it is kept; the long one becomes 120.
    crop = CropConfig(probability=1.0, short_sides=(40,), sides=(50, 70))
    config = always(crop=crop, short_sides=(40,))
    sizes = [augment(config, black(60, 180), sample_of((60, 180), []), image_rng(0, 0, i))[1].size for i in range(50)]

    assert {height for height, _ in sizes} == {40}
    widths = {width for _, width in sizes}
    assert min(widths) >= 50
    assert max(widths) <= 70
    assert len(widths) > 10


def test_a_tile_is_a_square_of_the_image_at_its_own_size():
    """It is resized as an image of its size would be; what is smaller stays whole."""
    pixels = np.arange(90, dtype=np.uint8)[:, None, None] + np.zeros((90, 120, 3), np.uint8)
    config = always(tile=50, short_sides=(50,))
    images = [augment(config, pixels, sample_of((90, 120), []), image_rng(0, 0, index))[0] for index in range(30)]

    assert {tuple(image.shape) for image in images} == {(3, 50, 50)}
    assert all((image[0].diff(dim=0) == 1).all() for image in images)
    assert len({int(image[0, 0, 0]) for image in images}) > 10
    whole = augment(always(tile=200), black(90, 120), sample_of((90, 120), []), image_rng(0, 0, 0))[1]
    assert whole.size == (60, 80)


def test_a_crop_may_lose_every_box():
    config = always(crop=CropConfig(probability=1.0, short_sides=(60,), sides=(20, 20)))
    sample = sample_of((60, 60), [[0, 0, 2, 2]], ignore=[False])

    targets = [augment(config, black(60, 60), sample, image_rng(0, 0, index))[1] for index in range(10)]

    assert any(len(target.boxes) == 0 for target in targets)
    assert all(target.boxes.shape == (len(target.labels), 4) for target in targets)


def test_boxes_are_clipped_and_those_outside_dropped_with_their_labels():
    boxes = [[-10.0, 5, 20, 70], [5, 5, 5, 30], [70, 10, 90, 20], [10, 10, 20, 20]]
    sample = sample_of((60, 60), boxes)

    _, clipped = augment(AS_IT_IS, black(60, 60), sample, image_rng(0, 0, 0))
    _, whole = augment(always(clip_boxes=False), black(60, 60), sample, image_rng(0, 0, 0))

    assert clipped.labels.tolist() == whole.labels.tolist() == [0, 3]
    assert clipped.boxes.tolist() == [[0, 5, 20, 60], [10, 10, 20, 20]]
    assert whole.boxes.tolist() == [[-10, 5, 20, 70], [10, 10, 20, 20]]


def test_ignored_boxes_are_kept_apart():
    sample = sample_of((60, 60), [[0, 0, 10, 10], [20, 20, 70, 40], [30, 30, 50, 50]], ignore=[False, True, False])

    _, target = augment(AS_IT_IS, black(60, 60), sample, image_rng(0, 0, 0))

    assert target.labels.tolist() == [0, 2]
    assert target.boxes.tolist() == [[0, 0, 10, 10], [30, 30, 50, 50]]
    assert target.ignored.tolist() == [[20, 20, 60, 40]]


def test_what_is_off_changes_no_bit_and_draws_no_number():
    """So the paper's recipes train on what they trained on before there were more choices."""
    pixels = np.random.default_rng(0).integers(0, 256, (41, 60, 3), dtype=np.uint8)
    outline = (np.array([[6, 4], [30, 4], [30, 20]], dtype=np.float32),)
    sample = replace(sample_of((41, 60), [[6, 4.1, 30, 20.5]]), outlines=(outline,))
    for index in range(8):
        rng, twin = image_rng(0, 0, index), image_rng(0, 0, index)
        image, target = augment(always(short_sides=(40, 50, 60), horizontal_flip=0.5), pixels, sample, rng)

        expected, box = torch.from_numpy(pixels).permute(2, 0, 1), np.array([6, 4.1, 30, 20.5], dtype=np.float32)
        if twin.random() < 0.5:
            expected, box = expected.flip(-1), np.array([60 - box[2], box[1], 60 - box[0], box[3]], dtype=np.float32)
        twin.random()
        size = resized_size(41, 60, int(twin.choice([40, 50, 60])), 1000)
        scale = np.array([size[1] / 60, size[0] / 41] * 2, dtype=np.float32)
        assert torch.equal(image, resize_image(expected, list(size), antialias=True))
        assert target.boxes.tolist() == [(box * scale).tolist()]
        assert rng.random() == twin.random()


def test_an_image_without_boxes():
    image, target = augment(AS_IT_IS, black(60, 80), sample_of((60, 80), []), image_rng(0, 0, 0))

    assert image.shape == (3, 60, 80)
    assert target.boxes.shape == target.ignored.shape == (0, 4)
    assert target.labels.shape == (0,)


def test_chance_is_a_function_of_seed_epoch_and_image():
    draws = {key: image_rng(*key).random(4).tolist() for key in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0), (0, 0, 2)]}

    assert image_rng(0, 0, 1).random(4).tolist() == draws[0, 0, 1]
    assert len({tuple(draw) for draw in draws.values()}) == len(draws)


def test_another_short_side_keeps_the_limit_in_proportion():
    half = ResizeConfig(short_side=800, max_size=1333).with_short_side(400)
    assert half == ResizeConfig(short_side=400, max_size=666)
    assert ResizeConfig(short_side=1, max_size=2).with_short_side(65_536).max_size == 65_536


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: ResizeConfig(short_side=0), "short_side is 0"),
        (lambda: ResizeConfig().with_short_side(0), "short_side is 0; give 1 to 65,536 pixels"),
        (lambda: ResizeConfig(max_size=-1), "max_size is -1"),
        (lambda: TrainTransformConfig(short_sides=()), "short_sides is empty"),
        (lambda: TrainTransformConfig(short_sides=(480, 0)), "short_sides is 480, 0"),
        (lambda: TrainTransformConfig(horizontal_flip=1.5), "horizontal_flip is 1.5"),
        (lambda: TrainTransformConfig(tile=31), "tile is 31"),
        (lambda: CropConfig(sides=(600, 384)), "give the shortest first"),
    ],
)
def test_sizes_and_chances_that_cannot_be_are_refused(build, sentence):
    with pytest.raises(InputError, match=sentence):
        build()


@pytest.mark.parametrize("way", ["read-only", "channels reversed"])
def test_an_image_may_be_an_array_that_torch_cannot_share(way: str) -> None:
    """As OpenCV's BGR becomes with [..., ::-1]."""
    pixels = np.arange(40 * 60 * 3, dtype=np.uint8).reshape(40, 60, 3)
    given = pixels[..., ::-1]
    if way == "read-only":
        given = pixels.copy()
        given.flags.writeable = False
    expected = resize(given.copy(), ResizeConfig(short_side=20))
    assert torch.equal(resize(given, ResizeConfig(short_side=20)), expected)
