"""Curves are plotted as SVG or PNG files, also for runs that logged little."""

import io
import xml.etree.ElementTree as ElementTree
from functools import partial

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from uncrowd.visualize.curves import plot_convergence, plot_curves, running_mean


def texts(svg: bytes) -> list[str]:
    tree = ElementTree.fromstring(svg)
    return ["".join(element.itertext()).strip() for element in tree.iter("{http://www.w3.org/2000/svg}text")]


def test_an_svg_holds_its_words_as_text() -> None:
    series = {"AP": ([1, 2, 3], [0.1, None, 0.3]), "AP50": ([1, 2, 3], [0.2, 0.4, 0.5])}
    svg = plot_curves(series, title="Scores", x_label="epoch", y_label="AP")
    assert {"Scores", "epoch", "AP", "AP50"} <= set(texts(svg))


def test_the_same_numbers_give_the_same_bytes() -> None:
    def plot() -> bytes:
        return plot_curves({"rate": (range(50), np.linspace(1, 0, 50))}, title="Rate", x_label="step", y_label="rate")

    assert plot() == plot()


def test_each_series_of_a_png_has_its_colour() -> None:
    x = np.arange(100)
    png = plot_curves({"a": (x, x * 1.0), "b": (x, 100.0 - x)}, title="t", x_label="x", y_label="y", image_format="png")
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    assert image.shape == (540, 960, 3)
    for colour in ((31, 119, 180), (255, 127, 14)):  # matplotlib's first two
        assert (abs(image - np.array(colour)).max(axis=-1) < 4).sum() > 500


def test_many_series_have_their_legend_beside_the_plot_and_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    for number in (8, 22):
        series = {str(each): ([0, 1], [0, each]) for each in range(number)}
        plot_curves(series, title="t", x_label="x", y_label="y")
        (axes,) = figures[-1].axes
        figures[-1].draw_without_rendering()
        legend = axes.get_legend()
        assert legend is not None
        assert (legend.get_window_extent().x0 >= axes.get_window_extent().x1) == (number > 8)
        assert axes.get_window_extent().height > 200
        assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == number


def test_a_band_lies_around_its_series() -> None:
    x, y = np.array([0, 1]), np.array([0.0, 1.0])
    plot = partial(plot_curves, {"a": (x, y), "b": (x, y + 2)}, title="t", x_label="x", y_label="y")
    plain, banded = plot(), plot(bands={"b": (y + 1, y + 3)})
    assert (plain.count(b"FillBetween"), banded.count(b"FillBetween")) == (0, 1)


def test_the_svg_of_a_long_run_is_small() -> None:
    noisy = np.random.default_rng(0).normal(size=200_000)
    svg = plot_curves({"loss": (np.arange(200_000), noisy)}, title="t", x_label="x", y_label="y", smooth=True)
    assert len(svg) < 200_000


def test_a_plot_without_finite_values_says_that_nothing_was_recorded() -> None:
    for series in ({}, {"loss": ([], [])}, {"AP": ([1, 2], [None, float("inf")])}):
        assert "nothing recorded" in texts(plot_curves(series, title="t", x_label="x", y_label="y", smooth=True))
    one = plot_curves({"AP": ([1], [0.5])}, title="t", x_label="x", y_label="y", smooth=True)
    assert "nothing recorded" not in texts(one)


def test_the_running_mean_skips_values_that_are_not_finite() -> None:
    nan = float("nan")
    y = np.array([1.0, 2.0, nan, 4.0, 9.0])
    np.testing.assert_allclose(running_mean(y, 3), [1.5, 1.5, 3.0, 6.5, 6.5])
    np.testing.assert_allclose(running_mean(y, 1), y)
    # The same in the obvious way, point by point.
    y = np.random.default_rng(1).normal(size=40)
    for window in (1, 2, 5, 8):
        obvious = [y[max(0, i - window // 2) : i + (window + 1) // 2].mean() for i in range(40)]
        np.testing.assert_allclose(running_mean(y, window), obvious)


def drawn(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def colour_near(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return abs(image - np.array(colour)).max(axis=-1) < 4


def test_the_last_score_of_each_run_is_marked() -> None:
    half, whole = (np.arange(1, 13), np.linspace(0, 20, 12)), (np.arange(1, 25), np.linspace(0, 40, 24))
    image = drawn(plot_convergence([("1x", *half), ("2x", *whole)], y_label="AP"))
    for colour, end in (((31, 119, 180), 0.5), ((255, 127, 14), 0.95)):
        mask = colour_near(image, colour)
        mask[: image.shape[0] // 4, : image.shape[1] // 2] = False  # the legend
        thick = np.convolve(mask.any(axis=0) * mask.sum(axis=0), np.ones(8) / 8, mode="same")
        assert abs(int(thick.argmax()) / image.shape[1] - end) < 0.07


def test_the_legend_gives_name_score_and_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    plotted: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: plotted.append(figure))
    plot_convergence([("ours", [12, 24, 36], [30.0, 41.2, 44.44]), ("base", [12], [29])], y_label="AP")
    (figure,) = plotted
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "ours: 44.4 after epoch 36",
        "base: 29.0 after epoch 12",
    ]
    assert axes.get_ylabel() == "AP"
    assert {12, 24, 36} <= set(axes.get_xticks().tolist())
