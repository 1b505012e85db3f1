"""Pasted objects overlap as drawn, hide no more than allowed, and bring the box they had."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from tests.data.augment.drawn import COLOURS, discs, sample_of
from uncrowd.boxes import iou, pairwise_iou
from uncrowd.data.augment.cutout import FEATHER, Cutout, cut, resized
from uncrowd.data.augment.labelled import Labelled, labelled
from uncrowd.data.augment.mosaic import MosaicConfig
from uncrowd.data.augment.others import Others, cuttable
from uncrowd.data.augment.paste import PasteConfig, _place, paste
from uncrowd.data.augment.shapes import cover, ellipse
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.images.read import read_image
from uncrowd.data.transforms import TrainTransformConfig, augment, image_rng
from uncrowd.errors import InputError
from uncrowd.structures import Categories

ALWAYS = PasteConfig(probability=1.0, objects=(3, 6))


@pytest.fixture(scope="module", params=[True, False], ids=["outlines", "boxes"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    return discs(tmp_path_factory.mktemp("discs"), 5, outlined=request.param)


def source(dataset: DetectionDataset, index: int) -> Labelled:
    sample = dataset[index]
    return labelled(read_image(sample.path), sample, with_shapes=True)


def crowded(dataset: DetectionDataset, epoch: int, config: PasteConfig = ALWAYS) -> Labelled:
    rng = image_rng(0, epoch, 0)
    return paste(config, source(dataset, 0), Others(dataset, 10**6).cutouts(source(dataset, 0), 0, rng), rng)


def visible_shares(given: Labelled) -> list[float]:
    """The slow twin: each object is filled over the ones before it in an image of their numbers.

    The first three were there; a pasted one without an outline fades, and counts where it covers half.
    """
    height, width = given.size
    front, areas = np.zeros((height, width), dtype=int), []
    for number, (box, shape) in enumerate(zip(given.boxes.tolist(), given.shapes, strict=True), start=1):
        window = 0, 0, width, height
        feather = FEATHER if number > 3 else 0.0
        inside = (ellipse(tuple(box), *window, feather) if shape is None else cover(shape, *window)) >= 0.5
        front[inside] = number
        areas.append(inside.sum())
    return [(front == number).sum() / area for number, area in enumerate(areas, start=1)]


def test_pasted_objects_hide_no_more_than_allowed_and_overlap_no_more(dataset: DetectionDataset) -> None:
    added = 0
    for epoch in range(12):
        given = crowded(dataset, epoch)
        added += len(given.boxes) - 3
        assert min(visible_shares(given)) > 0.25 - 0.05, "pixels at the edge differ by rounding"
        overlaps = pairwise_iou(given.boxes, given.boxes).fill_diagonal_(0)
        assert overlaps.max() <= 0.8 + 1e-6
        assert (given.boxes >= 0).all()
        assert (given.boxes <= 96).all()
        assert len(given.labels) == len(given.ignore) == len(given.shapes) == len(given.boxes)
    assert added > 12 * 2, "most find a place"


def test_what_is_behind_an_object_shines_through_it(dataset: DetectionDataset) -> None:
    """On one colour, the pixels that a black object covers keep the share of it that is not hidden."""
    given = source(dataset, 0)
    given = given._replace(image=torch.full_like(given.image, 200))
    black = cut(source(dataset, 1), 0)
    black = black._replace(image=torch.zeros_like(black.image))
    for opacity, darkest in ((1.0, 0), (0.75, 50)):
        config = PasteConfig(probability=1.0, objects=(1, 1), opacity=opacity, overlap=(0.3, 0.4))
        assert paste(config, given, repeat(black), image_rng(0, 0, 0)).image.min() == darkest
    deep = PasteConfig(probability=1.0, objects=(40, 40))
    solid, clear = (
        len(paste(each, given, repeat(black), image_rng(0, 0, 0)).boxes) for each in (deep, replace(deep, opacity=0.5))
    )
    assert clear > solid, "what shines through is not hidden"


def test_a_pasted_object_is_where_its_box_says(dataset: DetectionDataset) -> None:
    for epoch in range(6):
        given = crowded(dataset, epoch)
        x, y = (given.boxes[-1, :2] + given.boxes[-1, 2:]).div(2).tolist()
        assert given.image[:, int(y), int(x)].tolist() == list(COLOURS[given.labels[-1]]), "nothing hides the last one"


def test_objects_that_were_there_keep_their_boxes_and_the_given_image_its_pixels(dataset: DetectionDataset) -> None:
    before, after = source(dataset, 0), crowded(dataset, 3)
    assert torch.equal(after.boxes[:3], before.boxes)
    assert torch.equal(before.image, source(dataset, 0).image)
    assert not torch.equal(after.image, before.image)
    touched = (after.image != before.image).any(0)
    x1, y1, x2, y2 = after.boxes[3:].unbind(1)
    rows, columns = (axis + 0.5 for axis in torch.nonzero(touched, as_tuple=True))
    inside = (columns[:, None] > x1 - 1) & (columns[:, None] < x2 + 1) & (rows[:, None] > y1 - 1)
    assert (inside & (rows[:, None] < y2 + 1)).any(1).all()


def test_it_is_a_function_of_seed_epoch_and_image(dataset: DetectionDataset) -> None:
    one, again, other = (crowded(dataset, epoch) for epoch in (1, 1, 2))
    assert torch.equal(one.image, again.image)
    assert torch.equal(one.boxes, again.boxes)
    assert not torch.equal(one.image, other.image)


def test_overlaps_are_spread_over_their_range(dataset: DetectionDataset) -> None:
    """With a single object to overlap, the IoU with it is the one that was drawn; high ones would hide too much."""
    overlaps = []
    for index in range(80):
        rng = image_rng(0, 0, index)
        alone = source(dataset, 0)
        alone = alone._replace(boxes=alone.boxes[1:2], labels=alone.labels[1:2], ignore=alone.ignore[1:2])
        alone = alone._replace(shapes=alone.shapes[1:2])
        config = PasteConfig(probability=1.0, objects=(1, 1), min_visible=0.05)
        given = paste(config, alone, repeat(cut(source(dataset, 1), 0)), rng)
        overlaps += iou(given.boxes[0], given.boxes[1:]).tolist()
    counts, _ = np.histogram(overlaps, bins=[0, 0.2, 0.4, 0.6, 0.8])
    assert len(overlaps) > 50
    assert counts.min() > 0.1 * len(overlaps)


@settings(max_examples=60, deadline=None)
@drawn(sides=st.lists(st.floats(2, 200), min_size=4, max_size=4), wanted=st.floats(0, 0.9), angle=st.floats(0, 6.28))
def test_a_place_has_the_wanted_overlap(sides: list[float], wanted: float, angle: float) -> None:
    box, host = torch.tensor([5.0, 7.0, 5 + sides[0], 7 + sides[1]]), torch.tensor([0.0, 0, sides[2], sides[3]])
    place = _place(box, host, wanted, angle)
    if place is None:
        centred = torch.tensor([sides[2] - sides[0], sides[3] - sides[1], sides[2] + sides[0], sides[3] + sides[1]]) / 2
        assert iou(centred, host) < wanted + 1e-5
    else:
        half = (box[2:] - box[:2]) / 2
        centre = torch.tensor(place)
        assert iou(torch.cat([centre - half, centre + half]), host).item() == pytest.approx(wanted, abs=1e-3)


def test_ignored_regions_stay_and_are_no_hosts(dataset: DetectionDataset) -> None:
    ignored = source(dataset, 0)
    ignored = ignored._replace(ignore=torch.tensor([True, True, True]))
    assert len(paste(ALWAYS, ignored, repeat(cut(ignored, 0)), image_rng(0, 0, 0)).boxes) == 3
    ignored = ignored._replace(ignore=torch.tensor([True, True, False]))
    given = paste(ALWAYS, ignored, repeat(cut(ignored, 0)), image_rng(0, 0, 0))
    assert given.ignore.tolist()[:3] == [True, True, False]
    assert len(given.boxes) > 3
    assert not given.ignore[3:].any()


def test_a_setting_of_0_or_a_strength_of_0_pastes_nothing(dataset: DetectionDataset) -> None:
    def refuse() -> Iterator[Cutout]:
        raise AssertionError("no file is opened")
        yield

    before, rng = source(dataset, 0), image_rng(0, 0, 0)
    assert paste(PasteConfig(), before, refuse(), rng) is before
    assert paste(ALWAYS, before, refuse(), rng, strength=0.0) is before
    assert rng.random() == image_rng(0, 0, 0).random()


def test_objects_come_from_other_images_that_can_be_read(tmp_path: Path) -> None:
    dataset = discs(tmp_path, 3, outlined=True)
    (tmp_path / "2.png").write_bytes(b"no image")
    others, given = Others(dataset, 10**6), source(dataset, 0)
    found = [each for epoch in range(5) for each in others.cutouts(given, 0, image_rng(0, epoch, 0))]
    own = {str(cut(source(dataset, 1), row).box.tolist()) for row in range(3)}
    assert found
    assert {str(each.box.tolist()) for each in found} <= own


def test_objects_can_come_from_the_image_itself(tmp_path: Path) -> None:
    dataset = discs(tmp_path, 3, outlined=True)
    (tmp_path / "1.png").unlink()
    (tmp_path / "2.png").unlink()
    others, given = Others(dataset, 10**6), source(dataset, 0)
    found = list(islice(others.cutouts(given, 0, image_rng(0, 0, 0), same_image=1.0), 6))
    own = [cut(given, row) for row in range(3)]
    for objects in (found[:3], found[3:]):
        assert sorted(each.box.tolist() for each in objects) == sorted(each.box.tolist() for each in own)
    assert all(any(torch.equal(each.image, cutout.image) for cutout in own) for each in found)


def test_an_image_without_whole_objects_gets_those_of_others(tmp_path: Path) -> None:
    dataset = discs(tmp_path, 2, outlined=False)
    dataset.boxes[:3, :2] = 0.0  # they touch the edge
    others, given = Others(dataset, 10**6), source(dataset, 0)
    found = [each for epoch in range(5) for each in others.cutouts(given, 0, image_rng(0, epoch, 0), same_image=1.0)]
    assert found
    assert all(any(torch.equal(each.image, cut(source(dataset, 1), row).image) for row in range(3)) for each in found)


def test_augmenting_pastes_what_its_settings_ask_for(tmp_path: Path) -> None:
    dataset = discs(tmp_path, 2, outlined=True)
    sample, pixels = dataset[0], read_image(dataset[0].path)
    (tmp_path / "1.png").unlink()
    for same_image in (0.0, 1.0):
        config = TrainTransformConfig(paste=replace(ALWAYS, same_image=same_image))
        _, target = augment(config, pixels, sample, image_rng(0, 0, 0), Others(dataset, 10**6))
        assert (len(target.boxes) > 3) == (same_image == 1.0)


def test_objects_are_pasted_before_their_image_becomes_part_of_a_mosaic(tmp_path: Path) -> None:
    dataset = discs(tmp_path, 4, outlined=True)
    pasting = TrainTransformConfig(paste=replace(ALWAYS, same_image=1.0), horizontal_flip=0.0, short_sides=(96,))
    both = replace(pasting, mosaic=MosaicConfig(probability=1.0))
    boxes = [
        augment(config, read_image(dataset[0].path), dataset[0], image_rng(0, 0, 0), Others(dataset, 10**6))[1].boxes
        for config in (pasting, both)
    ]
    sides = [each[:, 2:] - each[:, :2] for each in boxes]
    assert len(boxes[1]) > len(boxes[0]) > 3
    assert sides[1].amax() < sides[0].amax(), "what was pasted is part of an image that was made smaller"


def test_objects_come_from_images_that_look_alike(tmp_path: Path) -> None:
    dataset = discs(tmp_path, 3, outlined=True)
    own, dark = source(dataset, 0), source(dataset, 0)
    dark = dark._replace(image=dark.image // 2)
    others = Others(dataset, 10**6)
    assert any(list(others.cutouts(own, 0, image_rng(0, epoch, 0))) for epoch in range(5))
    assert not any(list(others.cutouts(dark, 0, image_rng(0, epoch, 0))) for epoch in range(5))


def test_an_object_gets_the_size_of_its_host_if_both_are_of_one_class(dataset: DetectionDataset) -> None:
    config = PasteConfig(probability=1.0, objects=(1, 1), overlap=(0.0, 0.1), scale=(1.0, 1.0))
    given, small = source(dataset, 0), resized(cut(source(dataset, 1), 1), 0.6, flip=False)
    hosts = given._replace(labels=torch.tensor([1, 1, 1]))
    for labels, side in ((hosts, 18.0), (hosts._replace(labels=torch.tensor([2, 2, 2])), 10.8)):
        box = paste(config, labels, repeat(small), image_rng(0, 0, 0)).boxes[3]
        assert (box[2] - box[0]).item() == pytest.approx(side, abs=1.2)
    tiny = resized(small, 0.5, flip=False)
    assert len(paste(config, hosts, repeat(tiny), image_rng(0, 0, 0)).boxes) == 3, "it would be enlarged too much"


def test_what_cannot_be_cut_out_is_not(tmp_path: Path) -> None:
    """Without an outline: what others hide, what the edge may have cut, what is tiny."""
    boxes = [[10, 10, 30, 30], [12, 12, 32, 32], [40, 40, 60, 60], [0, 50, 10, 70], [70, 70, 73, 90]]
    assert cuttable(packed(sample_of((100, 100), boxes))).tolist() == [False, False, True, False, False]
    nearer = [[10, 10, 30, 30], [16, 16, 36, 36]]
    assert cuttable(packed(sample_of((100, 100), nearer))).tolist() == [False, True], "it ends lower and shows half"
    square = (np.array([[10, 10], [30, 10], [30, 30]], dtype=np.float32),)
    outlined = sample_of((100, 100), boxes, (square, None, None, square, square))
    assert cuttable(packed(outlined)).tolist() == [True, False, True, False, False]
    with pytest.raises(InputError, match=r"objects that can be cut out in 1 image,.* --augment\.paste\.probability"):
        Others(packed(outlined), 10**6).require_cuttable()
    Others(packed(outlined), 10**6).require_cuttable(same_image=1.0)


def packed(*samples) -> DetectionDataset:
    categories = Categories(ids=(0, 1, 2, 3, 4), names=("a", "b", "c", "d", "e"))
    return DetectionDataset.from_samples(
        samples, source=Path("a.json"), split="train", categories=categories, folder=Path()
    )


@pytest.mark.parametrize(
    "setting",
    [
        {"opacity": 0.1},
        {"opacity": 0.0, "min_visible": 0.0},
        {"objects": (0, 2)},
        {"objects": (3, 2)},
        {"overlap": (0.5, 1.0)},
        {"min_visible": -0.1},
        {"same_image": 2.0},
        {"opacity": 1.1},
    ],
)
def test_impossible_settings_are_refused(setting) -> None:
    with pytest.raises(InputError, match=next(iter(setting))):
        PasteConfig(**setting)
