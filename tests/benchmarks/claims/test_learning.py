"""Images to reach a score, by hand: a detector at .2 after 100 images and .4 after 200 reaches .3 after 150."""

import math

import numpy as np
import pytest
from benchmarks.claims.learning import ap_at, images_to_reach, share_of_images
from benchmarks.claims.study import Study

IMAGES = np.array([100, 200, 300])


@pytest.mark.parametrize(("target", "images"), [(0.3, 150), (0.4, 200), (0.1, 100), (0.45, 250), (0.51, math.inf)])
def test_images_to_reach(target: float, images: float) -> None:
    assert images_to_reach(target, IMAGES, np.array([0.2, 0.4, 0.5])) == pytest.approx(images)


def test_a_fall_between_evaluations_does_not_hide_the_first_reach() -> None:
    assert images_to_reach(0.3, IMAGES, np.array([0.2, 0.4, 0.1])) == pytest.approx(150)


@pytest.mark.parametrize(("images", "ap"), [(50, 0.1), (100, 0.2), (150, 0.3), (300, 0.5), (400, 0.5)])
def test_ap_between_evaluations(images: float, ap: float) -> None:
    assert ap_at(images, IMAGES, np.array([0.2, 0.4, 0.5])) == pytest.approx(ap)


def made_up(curves: dict[str, list[list[float]]]) -> Study:
    def record(ap: list[float]) -> dict[str, object]:
        rows = [{"images": images, "AP": value} for images, value in zip(IMAGES.tolist(), ap, strict=True)]
        return {"detector": {"attention": "iou"}, "evaluations": rows}

    records = {name: {seed: record(ap) for seed, ap in enumerate(each)} for name, each in curves.items()}
    return Study(dataset="d", budget="short", records=records, resampled={})


def test_the_share_is_that_of_mean_curves_and_its_interval_is_over_seeds() -> None:
    """The baseline ends at .3 and .4, so its mean is .35; the means of the other are .25, .45 and .6."""
    study = made_up({"base": [[0.1, 0.2, 0.3], [0.1, 0.2, 0.4]], "fast": [[0.2, 0.4, 0.5], [0.3, 0.5, 0.7]]})
    share = share_of_images(study, "fast", "base")
    assert share is not None
    assert share.value == pytest.approx(150 / 300)
    # Drawn twice, the first seed goes from .2 to .4 and crosses .3; the second from .3 to .5 and crosses .4.
    assert (share.lower, share.upper) == pytest.approx((0.5, 0.5))
    assert share_of_images(study, "fast", "another") is None


def test_a_score_that_is_never_reached_is_infinite() -> None:
    share = share_of_images(made_up({"base": [[0.1, 0.2, 0.5]], "slow": [[0.1, 0.2, 0.3]]}), "slow", "base")
    assert share is not None
    assert math.isinf(share.value)
    assert math.isinf(share.upper)
