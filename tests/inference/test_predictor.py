"""Neither the other images of a batch nor the form in which an image is given changes its detections."""

import copy
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.inference.cases import CATEGORIES, RESIZE, assert_same, random_image
from tests.tiny import TINY_MODEL
from uncrowd import InputError, Predictor
from uncrowd.errors import NonFiniteError
from uncrowd.inference.image_like import to_pixels
from uncrowd.inference.tta import TTAConfig, View
from uncrowd.models.sparse_rcnn import SparseRCNN
from uncrowd.structures import Decoded

SMALL_TTA = TTAConfig(views=(View(short_side=64, max_size=96),))


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_images_in_one_call_are_as_alone(predictor: Predictor, batch_size: int) -> None:
    sizes = [(64, 96), (60, 90), (64, 96), (96, 64), (64, 64), (200, 133), (30, 500), (64, 90)]
    images = [random_image(*size, seed=seed) for seed, size in enumerate(sizes)]
    together = predictor.predict(images, batch_size=batch_size)
    for given_image, found in zip(images, together, strict=True):
        assert len(found) > 3
        assert_same(found, predictor.predict(given_image))
    assert not torch.allclose(together[0].boxes[:3], together[2].boxes[:3], atol=0.1), "images make a difference"


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.tuples(st.integers(1, 150), st.integers(1, 150)), min_size=1, max_size=4))
def test_boxes_are_in_the_image(predictor: Predictor, sizes: list[tuple[int, int]]) -> None:
    images = [random_image(*size, seed=seed) for seed, size in enumerate(sizes)]
    for (height, width), found in zip(sizes, predictor.predict(images), strict=True):
        x1, y1, x2, y2 = found.boxes.unbind(1)
        assert (x1 >= 0).all()
        assert (y1 >= 0).all()
        assert (x2 <= width).all()
        assert (y2 <= height).all()
        assert (x2 > x1).all()
        assert (y2 > y1).all()
        assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
        assert found.boxes.dtype == torch.float32


def test_boxes_grow_with_the_image(predictor: Predictor) -> None:
    """Images of one colour look the same to the network in any size; boxes are in pixels of the given image."""
    small, large = (np.full((height, 3 * height // 2, 3), 128, np.uint8) for height in (64, 320))
    ours, theirs = predictor.predict(large), predictor.predict(small)
    assert len(ours) > 3
    torch.testing.assert_close(ours.scores, theirs.scores)
    torch.testing.assert_close(ours.boxes, 5 * theirs.boxes, rtol=1e-4, atol=1e-2)


def test_every_form_of_an_image_gives_the_same(predictor: Predictor, tmp_path: Path) -> None:
    array = random_image(64, 96)
    file = tmp_path / "image.png"
    Image.fromarray(array).save(file)
    expected = predictor.predict(array)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    pixels = (Image.open(file), tensor, tensor.contiguous(), array.copy(order="F"))
    for form in (file, str(file), file.read_bytes(), io.BytesIO(file.read_bytes()), *pixels):
        assert_same(predictor.predict(form), expected)
    with file.open("rb") as opened:
        together = predictor.predict([file, file.read_bytes(), opened, Image.fromarray(array), tensor, array])
    for found in together:
        assert_same(found, expected)


def test_a_stream_that_can_be_read_only_once_is_an_image(predictor: Predictor) -> None:
    content = io.BytesIO()
    Image.fromarray(random_image(64, 96)).save(content, "png")

    class Stream:
        def read(self, size: int = -1) -> bytes:
            taken, left[:] = bytes(left), b""
            return taken

    left = bytearray(content.getvalue())
    assert_same(predictor.predict(Stream()), predictor.predict(random_image(64, 96)))


def test_an_iterator_gives_an_iterator_that_takes_a_batch_at_a_time(predictor: Predictor) -> None:
    images = [random_image(64, 96, seed=seed) for seed in range(5)]
    taken: list[int] = []

    def camera() -> Iterator[np.ndarray]:
        for number, image in enumerate(images):
            taken.append(number)
            yield image

    found = predictor.predict(camera(), batch_size=2)
    assert taken == []
    first = next(found)
    assert taken == [0, 1]
    for ours, image in zip([first, *found], images, strict=True):
        assert_same(ours, predictor.predict(image))


@pytest.mark.parametrize("tta", [None, SMALL_TTA], ids=["plain", "augmented"])
def test_no_more_than_a_batch_of_files_is_decoded(
    predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tta: TTAConfig | None
) -> None:
    files = [tmp_path / f"{number}.png" for number in range(5)]
    for number, file in enumerate(files):
        Image.fromarray(random_image(64, 96, seed=number)).save(file)
    events: list[str] = []

    def reading(*given: Any) -> np.ndarray:
        events.append("read")
        return to_pixels(*given)

    def detecting(images: torch.Tensor, sizes: torch.Tensor) -> Decoded:
        events.append(f"detect {len(images)}")
        return decode(images, sizes)

    copied = copy.copy(predictor)
    copied.tta = tta
    decode = copied._decode
    monkeypatch.setattr(copied, "_decode", detecting)
    monkeypatch.setattr("uncrowd.inference.predictor.to_pixels", reading)
    assert len(copied.predict(files, batch_size=2)) == 5
    one = ["read", "detect 2"]
    two = ["read", *one]
    assert events == (one * 5 if tta else [*two, *two, "read", "detect 1"])


def test_what_is_lost_of_a_file_is_warned_of(predictor: Predictor, tmp_path: Path) -> None:
    page = Image.fromarray(random_image(64, 96))
    page.save(tmp_path / "scan.tif", save_all=True, append_images=[page])
    with pytest.warns(UserWarning, match=r"scan\.tif: only the first of its 2 images is read"):
        predictor.predict(tmp_path / "scan.tif")


def test_an_image_beyond_the_limit_is_refused(model: SparseRCNN, tmp_path: Path) -> None:
    Image.fromarray(random_image(64, 96)).save(tmp_path / "large.png")
    limited = Predictor(model, CATEGORIES, RESIZE, max_pixels=64 * 96 - 1)
    with pytest.raises(InputError, match=r"large\.png: the image has more than 6,143 pixels, which is the limit"):
        limited.predict(tmp_path / "large.png")


def test_exif_orientation_is_applied_as_for_a_file(predictor: Predictor, tmp_path: Path) -> None:
    upright = random_image(64, 96)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: viewers rotate the image by 90 degrees clockwise
    stored = Image.fromarray(np.rot90(upright).copy())
    stored.save(tmp_path / "turned.png", exif=exif)
    expected = predictor.predict(upright)
    with Image.open(tmp_path / "turned.png") as image:
        assert image.size == (64, 96)
        assert_same(predictor.predict(image), expected)
    assert_same(predictor.predict(tmp_path / "turned.png"), expected)


def test_grey_and_transparent_files_are_images(predictor: Predictor) -> None:
    grey = Image.fromarray(random_image(64, 96)).convert("L")
    expected = predictor.predict(np.array(grey.convert("RGB")))
    assert_same(predictor.predict(grey), expected)
    assert_same(predictor.predict(grey.convert("LA")), expected)


def test_threshold_keeps_the_best(predictor: Predictor) -> None:
    everything = predictor.predict(random_image(64, 96))
    threshold = everything.scores[4].item()
    some = predictor.predict(random_image(64, 96), threshold=threshold)
    assert len(some) == 5
    assert_same(some, everything.above(threshold))


@pytest.mark.parametrize("threshold", [1.1, -0.1, math.nan])
def test_a_threshold_that_no_score_can_have_is_refused(predictor: Predictor, threshold: float) -> None:
    with pytest.raises(InputError, match=r"threshold is .*; scores are between 0 and 1"):
        predictor.predict(random_image(64, 96), threshold=threshold)
    with pytest.raises(InputError, match=r"threshold is .*; scores are between 0 and 1"):
        predictor.predict(random_image(64, 96)).above(threshold)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (torch.rand(3, 64, 96), "torch.float32 of shape (3, 64, 96)"),
        (np.zeros((64, 96), np.uint8), "uint8 of shape (64, 96)"),
        (np.zeros((64, 96, 4), np.uint8), "uint8 of shape (64, 96, 4)"),
        (np.zeros((3, 64, 96), np.uint8), "uint8 of shape (3, 64, 96)"),
        (np.zeros((0, 96, 3), np.uint8), "uint8 of shape (0, 96, 3)"),
        (np.zeros((64, 96, 3)), "float64 of shape (64, 96, 3)"),
        (torch.zeros(1, 3, 64, 96, dtype=torch.uint8), "torch.uint8 of shape (1, 3, 64, 96)"),
        (torch.zeros(3, 0, 96, dtype=torch.uint8), "torch.uint8 of shape (3, 0, 96)"),
    ],
)
def test_anything_but_an_image_is_refused(predictor: Predictor, wrong: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        predictor.predict(wrong)
    assert f"given as {said}; give " in str(caught.value)
    with pytest.raises(InputError):
        predictor.predict([random_image(64, 96), wrong])


def test_an_unreadable_pil_image_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    Image.fromarray(random_image(64, 96)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:300])
    with Image.open(tmp_path / "cut.png") as cut, pytest.raises(InputError, match="PIL image cannot be read"):
        predictor.predict(cut)
    with Image.open(tmp_path / "whole.png") as closed:
        pass
    with pytest.raises(InputError, match="PIL image cannot be read"):
        predictor.predict(closed)
    with pytest.raises(InputError, match="PIL image has 0 x 5 pixels"):
        predictor.predict(Image.new("I", (0, 5)))


def test_a_file_that_is_no_image_is_named(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(InputError, match=r"notes\.txt"):
        predictor.predict(tmp_path / "notes.txt")
    for address in ("https://example.org/a.jpg", "s3://bucket/a.jpg"):
        with pytest.raises(InputError, match=f"{address}|{address.replace('//', '/')} is a URL; download it, and"):
            predictor.predict(address)
    with pytest.raises(InputError, match=r"missing\.jpg"):
        predictor.predict([str(tmp_path / "missing.jpg")])


def test_no_images_have_no_detections(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


def test_an_impossible_batch_size_is_refused(predictor: Predictor) -> None:
    with pytest.raises(InputError, match="batch_size is 0"):
        predictor.predict([random_image(64, 96)], batch_size=0)


def test_damaged_weights_are_reported(predictor: Predictor) -> None:
    model = SparseRCNN(TINY_MODEL)
    with torch.no_grad():
        model.proposal_queries[0, 0] = math.nan
    model.train()
    with pytest.raises(NonFiniteError, match="its weights are damaged"):
        Predictor(model, CATEGORIES, RESIZE).predict(random_image(64, 96))
    assert model.training, "the given model is not changed"


def test_the_mode_of_the_model_is_left_as_it_was(model: SparseRCNN, predictor: Predictor) -> None:
    for training in (True, False):
        model.train(training)
        predictor.predict(random_image(64, 96))
        assert model.training == training


def test_a_model_gets_few_sizes(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are padded as the model itself would pad them, so a compiled model is compiled once for all of these."""
    seen: set[tuple[int, ...]] = set()
    normalise = SparseRCNN.normalise

    def spy(model: SparseRCNN, images: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        seen.add(tuple(images.shape))
        return normalise(model, images, sizes)

    monkeypatch.setattr(SparseRCNN, "normalise", spy)
    for width in (96, 90, 70):
        predictor.predict(random_image(64, width))
    assert seen == {(1, 3, 64, 96)}


def test_a_threshold_may_be_one_for_each_class(predictor: Predictor) -> None:
    image = random_image(64, 96)
    everything = predictor.predict(image)
    least = dict.fromkeys(CATEGORIES.names, 0.0) | {CATEGORIES.names[0]: 1.0}
    kept = predictor.predict(image, threshold=least)
    assert kept.scores.tolist() == everything[everything.labels != 0].scores.tolist()
    with pytest.raises(InputError, match="'unicorn' is no class of this detector"):
        predictor.predict(image, threshold={"unicorn": 0.5})
