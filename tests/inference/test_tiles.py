"""An image that is cut into tiles has the objects that it has as a whole."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

import uncrowd
from tests.exported import Exported
from tests.inference.cases import CATEGORIES, RESIZE, assert_same, random_image
from uncrowd import Detections, InputError, Predictor, TilesConfig
from uncrowd.data.dataset import DetectionDataset
from uncrowd.data.formats.open import open_dataset
from uncrowd.data.images.file import MAX_PIXELS, MAX_PIXELS_IN_TILES
from uncrowd.data.images.rows import PixelRows
from uncrowd.data.transforms import ResizeConfig
from uncrowd.inference.evaluate import detect, most_found
from uncrowd.inference.tiles import detect_in_tiles, grid_of
from uncrowd.inference.tta import TTAConfig, View
from uncrowd.models.sparse_rcnn import SparseRCNN

SMALL = TilesConfig(side=64, overlap=16)


def find_rectangles(images: list[np.ndarray]) -> list[Detections]:
    """Finds each bright rectangle; its score is its brightness."""
    found = []
    for image in images:
        bright = image[..., 0] > 100
        labelled: Any = ndimage.label(bright)  # its stubs allow a number instead of the pair
        extents = ndimage.find_objects(labelled[0])
        boxes = torch.tensor([[x.start, y.start, x.stop, y.stop] for y, x in extents], dtype=torch.float32)
        scores = torch.tensor([float(image[y, x, 0].max()) / 255 for y, x in extents])
        labels = torch.zeros(len(extents), dtype=torch.int64)
        found.append(Detections(boxes=boxes.reshape(-1, 4), scores=scores, labels=labels, categories=CATEGORIES))
    return found


def draw(size: tuple[int, int], boxes: list[tuple[int, int, int, int]]) -> np.ndarray:
    image = np.zeros((*size, 3), np.uint8)
    for brightness, (x1, y1, x2, y2) in enumerate(boxes, start=200):
        image[y1:y2, x1:x2] = brightness
    return image


def boxes_of(found: Detections) -> list[tuple[float, ...]]:
    return [tuple(box) for box in found.boxes.tolist()]


@pytest.mark.parametrize(
    ("length", "expected"),
    [(64, [(0, 64)]), (10, [(0, 10)]), (65, [(0, 64), (1, 65)]), (160, [(0, 64), (48, 112), (96, 160)])],
)
def test_tiles_are_spread_evenly(length: int, expected: list[tuple[int, int]]) -> None:
    assert grid_of((length, 64), SMALL).rows == expected
    assert grid_of((64, length), SMALL).columns == expected


@pytest.mark.parametrize("length", range(65, 400, 7))
def test_neighbouring_tiles_share_the_overlap_and_cover_the_image(length: int) -> None:
    spans = grid_of((64, length), TilesConfig(side=64, overlap=20)).columns
    assert (spans[0][0], spans[-1][1]) == (0, length)
    assert all(end - start == 64 for start, end in spans)
    assert all(end - start >= 20 for (_, end), (start, _) in pairwise(spans))


def test_objects_on_borders_and_larger_than_a_tile_come_out_once_and_whole() -> None:
    boxes = [(10, 10, 20, 30), (50, 40, 62, 52), (0, 100, 160, 140), (55, 60, 57, 62), (150, 20, 158, 36)]
    found = detect_in_tiles(PixelRows(draw((200, 160), boxes)), SMALL, RESIZE, find_rectangles)
    assert boxes_of(found) == [tuple(map(float, box)) for box in reversed(boxes)]  # the brightest first


def test_a_large_image_is_averaged_for_the_coarse_pass() -> None:
    """For a model that wants 16 x 10 pixels, 1100 x 700 are averaged over squares of 34."""
    seen: list[tuple[int, ...]] = []

    def spy(images: list[np.ndarray]) -> list[Detections]:
        seen.extend(image.shape for image in images)
        return find_rectangles(images)

    image = PixelRows(draw((1100, 700), [(78, 195, 624, 1014)]))
    tiles = TilesConfig(side=400, overlap=100)
    found = detect_in_tiles(image, tiles, ResizeConfig(short_side=16, max_size=16), spy)
    assert set(seen) == {(400, 400, 3), (33, 21, 3)}
    assert boxes_of(found)[-1] == pytest.approx((78, 195, 624, 1014), abs=34)


def test_very_many_tiles_are_said_before_any_is_detected_in() -> None:
    def spy(images: list[np.ndarray]) -> list[Detections]:
        raise InterruptedError

    image, tiles = PixelRows(draw((1664, 1664), [])), TilesConfig(side=32, overlap=16)
    said = "of 1664 x 1664 pixels is cut into 10,609 tiles of 32 pixels"
    with pytest.warns(UserWarning, match=said), pytest.raises(InterruptedError):
        detect_in_tiles(image, tiles, ResizeConfig(short_side=16, max_size=16), spy)


def test_an_image_of_one_tile_is_detected_in_as_a_whole(model: SparseRCNN, predictor: Predictor) -> None:
    tiled = Predictor(model, CATEGORIES, predictor.resize, tiles=TilesConfig(side=96, overlap=16))
    image = random_image(64, 96)
    ours, theirs = tiled.predict(image), predictor.predict(image)
    assert torch.equal(ours.boxes, theirs.boxes)
    assert torch.equal(ours.scores, theirs.scores)


def test_tiles_and_the_whole_are_images_for_the_model(model: SparseRCNN, predictor: Predictor, tmp_path: Path) -> None:
    """Every detection is one that the model makes in a tile or in the whole image."""
    tiled = Predictor(model, CATEGORIES, predictor.resize, tiles=TilesConfig(side=96, overlap=8))
    image = random_image(96, 184)
    Image.fromarray(image).save(tmp_path / "wide.png")
    found = tiled.predict(tmp_path / "wide.png")
    assert_same(tiled.predict([image])[0], found)
    left, right, whole = (predictor.predict(part) for part in (image[:, :96], image[:, 88:], image))
    boxes = torch.cat([left.boxes, right.boxes + torch.tensor([88, 0, 88, 0]), whole.boxes])
    scores = torch.cat([left.scores, right.scores, whole.scores])
    difference = (found.boxes[:, None] - boxes).abs().amax(dim=2) + (found.scores[:, None] - scores).abs()
    assert difference.amin(dim=1).max() < 1e-2
    assert {number < 10 for number in difference.argmin(dim=1).tolist()} == {True, False}, "of more than one tile"
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)


def test_two_tiles_have_the_objects_of_the_whole_image() -> None:
    image = draw((64, 110), [(5, 5, 25, 40), (30, 20, 44, 50), (80, 8, 92, 20), (85, 30, 105, 60)])
    (whole,) = find_rectangles([image])
    found = detect_in_tiles(PixelRows(image), SMALL, RESIZE, find_rectangles)
    assert sorted(boxes_of(found)) == sorted(boxes_of(whole))


def test_each_tile_is_augmented_with_tta(model: SparseRCNN, predictor: Predictor) -> None:
    view = View(short_side=predictor.resize.short_side, max_size=predictor.resize.max_size, flip=False)
    tiles, image = TilesConfig(side=96, overlap=16), random_image(80, 150)
    plainly = Predictor(model, CATEGORIES, predictor.resize, tiles=tiles)
    augmented = Predictor(model, CATEGORIES, predictor.resize, tta=TTAConfig(views=(view,), iou=1.0), tiles=tiles)
    assert_same(augmented.predict(image), plainly.predict(image))


def test_an_onnx_detector_takes_tiles(exported: Exported) -> None:
    image, tiles = random_image(80, 150), TilesConfig(side=64, overlap=16)
    ours, theirs = (uncrowd.load(file, "cpu", tiles=tiles).predict(image) for file in (exported.onnx, exported.weights))
    assert len(ours) > 16  # more than one tile can have
    assert_same(ours, theirs)


def test_a_dataset_is_detected_in_by_tiles(model: SparseRCNN, predictor: Predictor, crowd: Path) -> None:
    dataset = open_dataset(crowd).val
    assert isinstance(dataset, DetectionDataset)
    tiled = Predictor(model, dataset.categories, predictor.resize, tiles=SMALL)
    detected = detect(tiled, dataset)
    for sample in dataset:
        assert_same(detected.detections[sample.id], tiled.predict(sample.path))
    most = max(map(len, detected.detections.values()))
    assert most_found(tiled, detected.detections) == most > 10  # which one tile can have


def test_larger_images_are_decoded_with_tiles(model: SparseRCNN) -> None:
    assert Predictor(model, CATEGORIES, RESIZE).max_pixels == MAX_PIXELS
    assert Predictor(model, CATEGORIES, RESIZE, tiles=SMALL).max_pixels == MAX_PIXELS_IN_TILES
    assert Predictor(model, CATEGORIES, RESIZE, max_pixels=7, tiles=SMALL).max_pixels == 7


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"side": 31}, "side is 31; give a whole number of 32 or more"),
        ({"side": 10**6}, "side is 1000000; give 65536 or less"),
        ({"overlap": 0}, "overlap is 0"),
        ({"overlap": 321}, "overlap is 321; give 320 or less"),
    ],
)
def test_impossible_tiles_are_refused(wrong: dict[str, int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TilesConfig(**wrong)
