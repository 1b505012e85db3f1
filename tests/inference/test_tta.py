"""Test-time augmentation: the vote, the sizes of boxes kept from a view, and their places in the original image."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.inference.cases import CATEGORIES, assert_same, random_image
from tests.plain import voting as plain
from tests.plain.iou import area
from uncrowd import Detections, InputError, Predictor
from uncrowd.boxes import clip
from uncrowd.data.transforms import ResizeConfig, resize, resized_size
from uncrowd.inference.tta import RELEASED_TTA, Ranked, TTAConfig, View, detect_in_views, vote
from uncrowd.models.detector import Detector, DetectorConfig
from uncrowd.models.sparse_rcnn import SparseRCNN, SparseRCNNConfig
from uncrowd.structures import Decoded, StageOutput


def rows(found: Ranked | Detections) -> list[plain.Found]:
    return [
        plain.Found(*row)
        for row in zip(found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True)
    ]


def ranked(found: list[plain.Found], dtype: torch.dtype = torch.float64) -> Ranked:
    boxes, scores, labels = zip(*found, strict=True)
    return Ranked(torch.tensor(boxes, dtype=dtype), torch.tensor(scores, dtype=dtype), torch.tensor(labels))


def test_the_vote_worked_by_hand() -> None:
    found = [
        plain.Found(
            [0.0, 0, 60, 100], 0.5, 0
        ),  # D: IoU .6 with A, so a group of its own, and .857 with C comes too late
        plain.Found([0.0, 0, 100, 100], 0.6, 1),  # E: as A, but of another class
        plain.Found([0.0, 0, 100, 80], 0.4, 0),  # B: IoU .8 with A
        plain.Found([0.0, 0, 100, 100], 0.8, 0),  # A: the best
        plain.Found([0.0, 0, 70, 100], 0.2, 0),  # C: IoU .7 with A
        plain.Found([0.0, 0, 100, 90], 0.3, 0),  # F: IoU .9 with A
    ]
    expected = [
        # A, B, C and F weigh .8 + .4 + .2 + .3 = 1.7;
        # right: (80 + 40 + 14 + 30) / 1.7 = 96.47, bottom: (80 + 32 + 20 + 27) / 1.7 = 93.53
        plain.Found([0, 0, 164 / 1.7, 159 / 1.7], 0.8, 0),
        plain.Found([0, 0, 100, 100], 0.6, 1),
        plain.Found([0, 0, 60, 100], 0.5, 0),
        plain.Found([0, 0, 100, 80], 0.08, 0),  # B: .4 * (1 - .8)
        plain.Found([0, 0, 70, 100], 0.06, 0),  # C: .2 * (1 - .7); F: .3 * (1 - .9) = .03 is too little
    ]
    for most in (None, 5, 4, 2, 1):
        torch.testing.assert_close(vote(*ranked(found), most=most), ranked(expected[:most]))


def test_both_limits_of_the_vote_are_inclusive() -> None:
    found = ranked([plain.Found([0.0, 0, 100, 100], 0.75, 0), plain.Found([0.0, 0, 50, 100], 0.5, 0)])
    voted = vote(*found, iou=0.5, least_score=0.25)  # IoU .5, soft score .5 * .5
    assert rows(voted) == [([0, 0, 80, 100], 0.75, 0), ([0, 0, 50, 100], 0.25, 0)]
    assert rows(vote(*found, iou=0.51)) == rows(found)
    assert rows(vote(*found, iou=0.5, least_score=0.26)) == [([0, 0, 80, 100], 0.75, 0)]


@pytest.mark.parametrize("seed", range(20))
def test_the_vote_equals_the_plain_loop(seed: int) -> None:
    """Objects of 3 classes, some of them close to each other, each found a few times."""
    rng = random.Random(seed)
    found = []
    for _ in range(rng.randint(1, 12)):
        x, y, width, height = rng.uniform(-20, 60), rng.uniform(-20, 60), rng.uniform(5, 60), rng.uniform(5, 60)
        corners, label = (x, y, x + width, y + height), rng.randrange(3)
        for _ in range(rng.randint(1, 8)):
            found.append(plain.Found([c + rng.uniform(-5, 5) for c in corners], rng.random(), label))
    for iou_, least_score, most in (
        (0.66, 0.05, None),
        (0.66, 0.05, 7),
        (0.4, 0, 10),
        (0.9, 0.3, None),
        (0.5, 0.05, 1),
    ):
        ours = vote(*ranked(found), iou=iou_, least_score=least_score, most=most)
        torch.testing.assert_close(ours, ranked(plain.vote(found, iou_, least_score, most)))


def test_a_vote_on_no_boxes_or_degenerate_ones() -> None:
    nothing = Ranked(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    assert rows(vote(*nothing)) == []
    nowhere = plain.Found([5.0, 5, 5, 5], 0.5, 0)  # no area: IoU 0 even with itself
    assert rows(vote(*ranked([nowhere, nowhere]))) == [nowhere, nowhere]
    never = plain.Found([0.0, 0, 10, 10], 0.0, 0)
    assert rows(vote(*ranked([never, never]))) == [never]


class SquareFinder(Detector):
    """Finds the one red rectangle of an image: the extent of all pixels with more than half of full red."""

    multiple = 1

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.backbone = nn.ModuleDict({"body": nn.Identity()})
        self.register_buffer("mean", torch.zeros(1))
        self.seen: list[list[float]] = []

    @property
    def config(self) -> DetectorConfig:
        return SparseRCNNConfig(num_classes=1, proposals=1)

    @property
    def layers(self) -> list[nn.Module]:
        raise NotImplementedError

    def forward(self, images: Tensor, sizes: Tensor) -> list[StageOutput]:
        boxes = torch.stack([self._extent(image) for image in images])
        self.seen += boxes.tolist()
        return [StageOutput(logits=torch.ones(len(images), 1, 1), boxes=boxes[:, None], queries=torch.ones(0, 0, 0))]

    def decode(self, outputs: list[StageOutput], *, one_label: bool = False) -> Decoded:
        boxes = outputs[-1].boxes
        return Decoded(boxes=boxes, scores=torch.full(boxes.shape[:2], 0.9), labels=torch.zeros(boxes.shape[:2]).long())

    def _extent(self, image: Tensor) -> Tensor:
        y, x = torch.nonzero(image[0] > 127, as_tuple=True)
        return torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1]).float()


def scene(height: int, width: int, box: tuple[int, int, int, int]) -> np.ndarray:
    x1, y1, x2, y2 = box
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y1:y2, x1:x2, 0] = 255
    return pixels


def test_boxes_of_flipped_views_come_back_to_their_place() -> None:
    tta = TTAConfig(views=(View(short_side=80, max_size=1000), View(short_side=160, max_size=1000)))
    predictor = Predictor(SquareFinder(), CATEGORIES, ResizeConfig(), tta=tta)
    found = predictor.predict(scene(40, 61, (10, 5, 22, 17)))
    # the views are twice and four times as large: 122 and 244 pixels wide
    assert isinstance(predictor.model, SquareFinder)
    assert predictor.model.seen == [[20, 10, 44, 34], [78, 10, 102, 34], [40, 20, 88, 68], [156, 20, 204, 68]]
    assert rows(found) == [([10, 5, 22, 17], pytest.approx(0.9), 0)]


@pytest.mark.parametrize(("height", "width"), [(33, 50), (50, 33), (7, 90), (41, 41)])
def test_sides_that_round_differently_come_back_to_their_place(height: int, width: int) -> None:
    tta = TTAConfig(views=(View(short_side=101, max_size=333), View(short_side=64, max_size=300)), iou=0.5)
    box = (width // 4, height // 7, width // 2, height - 1)
    found = Predictor(SquareFinder(), CATEGORIES, ResizeConfig(), tta=tta).predict(scene(height, width, box))
    torch.testing.assert_close(found.boxes[:1], torch.tensor([box]).float(), rtol=0, atol=0.6)  # pixels are whole


def test_sizes_are_compared_in_the_view_and_strictly() -> None:
    sides = (10.0, 10.1, 19.9, 20.0, 15.0)

    def decode(images: Tensor, sizes: Tensor) -> Decoded:
        assert images.shape == (1, 3, 64, 96)
        assert sizes.tolist() == [[64, 96]]
        boxes = torch.tensor([[[30 * i, 2.0, 30 * i + side, 2 + side] for i, side in enumerate(sides)]])
        return Decoded(boxes=boxes, scores=torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5]]), labels=torch.zeros(1, 5).long())

    tta = TTAConfig(views=(View(short_side=64, max_size=1000, min_side=10, max_side=20, flip=False),))
    found = detect_in_views(random_image(32, 48), tta, decode)  # half as large as the view
    assert found.scores.tolist() == pytest.approx([0.8, 0.7, 0.5])
    expected = torch.tensor([[15, 1, 20.05, 6.05], [30, 1, 39.95, 10.95], [60, 1, 67.5, 8.5]])
    torch.testing.assert_close(found.boxes, expected)


def test_the_result_has_as_many_boxes_as_one_view() -> None:
    def decode(images: Tensor, sizes: Tensor) -> Decoded:
        boxes = torch.arange(3.0)[:, None] * 50 + torch.tensor([0.0, 0, 10, 10]) + images.shape[-1]
        scores = torch.tensor([0.3, 0.2, 0.1]) + images.shape[-1] / 1000
        both = len(images)
        return Decoded(
            boxes=boxes.repeat(both, 1, 1), scores=scores.repeat(both, 1), labels=torch.zeros(both, 3).long()
        )

    tta = TTAConfig(views=tuple(View(short_side=side, max_size=1000) for side in (32, 64)))
    assert len(detect_in_views(random_image(32, 32), tta, decode).scores) == 3


def by_hand(model: Detector, pixels: np.ndarray, tta: TTAConfig) -> list[plain.Found]:
    """Detects in each view as a batch of its own, in loops, and merges with the plain vote."""
    height, width = pixels.shape[:2]
    found = []
    for view in tta.views:
        for flipped in (False, True):
            image = resize(pixels, ResizeConfig(short_side=view.short_side, max_size=view.max_size))
            view_height, view_width = image.shape[-2:]
            image = image.flip(-1) if flipped else image
            with torch.no_grad():
                decoded = model.eval().decode(model(image[None], torch.tensor([[view_height, view_width]])))
            for box, score, label in zip(*(values[0].tolist() for values in decoded), strict=True):
                x1, y1, x2, y2 = box
                if flipped:
                    x1, x2 = view_width - x2, view_width - x1
                if view.min_side**2 < area((x1, y1, x2, y2)) < view.max_side**2:
                    x, y = width / view_width, height / view_height
                    found.append(plain.Found([x1 * x, y1 * y, x2 * x, y2 * y], score, label))
    return plain.vote(found, tta.iou, tta.least_score, model.config.proposals)


def test_a_detector_in_two_views_is_combined_as_by_hand(model: SparseRCNN, predictor: Predictor) -> None:
    tta = TTAConfig(
        views=(View(short_side=64, max_size=80, min_side=12), View(short_side=80, max_size=200, max_side=40)),
        iou=0.3,
        least_score=0.01,
    )
    pixels = random_image(70, 90)
    with_views = Predictor(model, CATEGORIES, predictor.resize, tta=tta)
    assert isinstance(with_views.model, SparseRCNN)
    expected = by_hand(with_views.model, pixels, tta)
    ours = with_views.predict(pixels)
    boxes = clip(torch.tensor([found.box for found in expected]), 70, 90)
    inside = [((x1 < x2) and (y1 < y2)) for x1, y1, x2, y2 in boxes.tolist()]
    assert boxes.tolist() != [found.box for found in expected], (
        "some boxes reach outside, so the order of vote and clipping matters"
    )
    theirs = ranked([found for found, kept in zip(expected, inside, strict=True) if kept], torch.float32)
    assert_same(
        ours, Detections(boxes=boxes[inside], scores=theirs.scores, labels=theirs.labels, categories=CATEGORIES)
    )


def test_one_view_gives_a_plain_prediction_if_no_boxes_merge(predictor: Predictor) -> None:
    pixels = random_image(64, 96)
    plainly = predictor.predict(pixels)
    view = View(short_side=predictor.resize.short_side, max_size=predictor.resize.max_size, flip=False)
    tta = TTAConfig(views=(view,), iou=1.0)  # so no boxes merge
    augmented = Predictor(predictor.model, CATEGORIES, predictor.resize, tta=tta)
    assert_same(augmented.predict(pixels), plainly)
    threshold = plainly.scores[4].item() - 1e-5
    one, two = augmented.predict([pixels, random_image(30, 500)], threshold=threshold, batch_size=1)
    assert len(one) == 5
    assert_same(two, augmented.predict(random_image(30, 500), threshold=threshold))


def test_the_release_differs_in_the_long_side_and_the_vote() -> None:
    views = tuple(replace(view, max_size=1333 if view.short_side <= 800 else 3000) for view in RELEASED_TTA.views)
    assert {view.max_size for view in RELEASED_TTA.views} == {4000}
    assert RELEASED_TTA.iou == 0.65
    assert replace(RELEASED_TTA, views=views, iou=0.66) == TTAConfig()


def test_the_views_of_table_7() -> None:
    views = {view.short_side: view for view in TTAConfig().views}
    assert sorted(views) == [400, 500, 600, 640, 700, 800, 900, 1000, 1100, 1200, 1300, 1400, 1800]
    assert all(view.flip for view in views.values())
    least = {side for side, view in views.items() if view.min_side == 96}
    assert least == {400, 500}
    assert {side for side, view in views.items() if view.min_side == 64} == {600, 640, 700}
    assert {side: view.max_side for side, view in views.items() if view.max_side < 10_000} == {
        1100: 256,
        1200: 256,
        1300: 192,
        1400: 192,
        1800: 96,
    }
    # the long side of COCO's usual images is not limited; that of a panorama is, to 1333 up to side 800, then to 3000
    assert [resized_size(480, 640, side, views[side].max_size) for side in (800, 1800)] == [(800, 1067), (1800, 2400)]
    assert [max(resized_size(100, 1000, side, views[side].max_size)) for side in (400, 800, 900)] == [1333, 1333, 3000]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"views": ()}, "views is empty"),
        ({"iou": 0.0}, "iou is 0"),
        ({"iou": 1.1}, "iou is 1.1"),
        ({"least_score": -0.1}, "least_score is -0.1"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(TTAConfig(), **wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"short_side": 0}, "short_side"), ({"max_size": 0}, "max_size"), ({"min_side": 20, "max_side": 20}, "max_side")],
)
def test_impossible_views_are_refused(wrong: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        replace(View(short_side=64, max_size=100), **wrong)
