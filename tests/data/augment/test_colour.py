"""Colours, blur and noise change pixels within their limits, by the generator alone."""

import numpy as np
import pytest
import torch

from uncrowd.data.augment.colour import ColourConfig, jitter_colours
from uncrowd.data.augment.degrade import BlurConfig, NoiseConfig, add_noise, blur
from uncrowd.data.transforms import image_rng
from uncrowd.errors import InputError


def grey(level: int, height: int = 8, width: int = 12) -> torch.Tensor:
    return torch.full((3, height, width), level, dtype=torch.uint8)


ALWAYS = {
    "colour": lambda image, rng: jitter_colours(ColourConfig(probability=1.0), image, rng),
    "blur": lambda image, rng: blur(BlurConfig(probability=1.0), image, rng),
    "noise": lambda image, rng: add_noise(NoiseConfig(probability=1.0), image, rng),
}
NEVER = {
    "colour": lambda image, rng: jitter_colours(ColourConfig(), image, rng),
    "blur": lambda image, rng: blur(BlurConfig(), image, rng),
    "noise": lambda image, rng: add_noise(NoiseConfig(), image, rng),
}


@pytest.mark.parametrize("kind", ALWAYS)
def test_the_same_seed_epoch_and_image_give_the_same_pixels(kind: str) -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 20, 30), dtype=np.uint8))
    before, state = image.clone(), torch.get_rng_state()

    one, again, other = (ALWAYS[kind](image, image_rng(0, epoch, 5)) for epoch in (1, 1, 2))

    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert one.dtype == torch.uint8
    assert one.shape == image.shape
    assert torch.equal(image, before), "the given image is not written to"
    assert torch.equal(torch.get_rng_state(), state), "training's own chance is not drawn from"


@pytest.mark.parametrize("kind", NEVER)
def test_what_is_off_draws_nothing(kind: str) -> None:
    rng, image = image_rng(0, 0, 0), grey(100)
    assert NEVER[kind](image, rng) is image
    assert rng.random() == image_rng(0, 0, 0).random()


def test_brightness_stays_within_its_strength() -> None:
    config = ColourConfig(probability=1.0, brightness=0.2, contrast=0.0, saturation=0.0, hue=0.0)
    levels = [jitter_colours(config, grey(100), image_rng(0, 0, index))[0, 0, 0].item() for index in range(40)]
    assert 79 <= min(levels) < 90 < 110 < max(levels) <= 121


def test_hue_turns_a_colour_and_leaves_grey() -> None:
    config = ColourConfig(probability=1.0, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.5)
    red = torch.tensor([200, 0, 0], dtype=torch.uint8)[:, None, None].expand(3, 4, 4)
    assert any((jitter_colours(config, red, image_rng(0, 0, index))[1:] > 100).any() for index in range(5))
    assert torch.equal(jitter_colours(config, grey(90), image_rng(0, 0, 0)), grey(90))


def test_blur_spreads_an_edge_and_keeps_the_mean() -> None:
    image = torch.cat([grey(0), grey(200)], dim=2)
    soft = blur(BlurConfig(probability=1.0, sigma=(1.0, 1.0)), image, image_rng(0, 0, 0))
    assert len(soft[0, 0].unique()) > 3
    assert soft.float().mean().item() == pytest.approx(100, abs=1)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2)])
def test_the_widest_blur_fits_any_image(size: tuple[int, int]) -> None:
    image = grey(70, *size)
    assert torch.equal(blur(BlurConfig(probability=1.0, sigma=(20.0, 20.0)), image, image_rng(0, 0, 0)), image)


def test_noise_has_the_deviation_that_was_asked_for() -> None:
    noisy = add_noise(NoiseConfig(probability=1.0, sigma=(6.0, 6.0)), grey(128, 60, 60), image_rng(0, 0, 0)).float()
    assert noisy.mean().item() == pytest.approx(128, abs=0.3)
    assert noisy.std().item() == pytest.approx(6, rel=0.05)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: ColourConfig(probability=2.0), "probability is 2; give a probability, from 0 to 1"),
        (lambda: ColourConfig(hue=0.6), "hue is 0.6; give 0.5 or less"),
        (lambda: ColourConfig(contrast=-0.1), "contrast is -0.1; give 0 or more"),
        (lambda: BlurConfig(sigma=(2.0, 1.0)), "sigma is 2 to 1; give the smaller first"),
        (lambda: NoiseConfig(sigma=(0.0, 500.0)), "sigma is 0 to 500"),
    ],
)
def test_impossible_settings_are_refused(build, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        build()
