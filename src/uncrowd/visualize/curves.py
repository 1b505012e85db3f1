"""Plots the curves of runs as SVG or PNG: losses, scores, the learning rate."""

import io
from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import MaxNLocator, MultipleLocator

Numbers = Sequence[int | float | None] | np.ndarray

# Curves of at most this many points have a mark at each point and are not smoothed.
FEW = 40
# Longer curves are thinned to about this many points; a screen shows no more.
MANY = 2000
# With more series than this the legend stands beside the plot, and colours that come again are dashed, then dotted.
INSIDE = 8
# The epochs of the 1x schedule; 24 and 36 epochs are 2x and 3x.
SCHEDULE = 12


def plot_curves(
    series: Mapping[str, tuple[Numbers, Numbers]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    smooth: bool = False,
    bands: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
    image_format: Literal["svg", "png"] = "svg",
) -> bytes:
    """Plots named (x, y) series and returns the bytes of an SVG or PNG file, which depend only on the arguments.

    A y that is None or not finite leaves a gap. `smooth` draws the raw curve pale, and on top of it the running mean
    over a fiftieth of the points. bands: the lower and the upper ends of a pale band around a series of that name.
    """
    many = len(series) > INSIDE
    figure = Figure(figsize=(10, max(4.4, 0.22 * len(series))) if many else (6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    if many:
        axes.set_prop_cycle(cycler(linestyle=["-", "--", ":"]) * matplotlib.rcParams["axes.prop_cycle"])
    for name, (x, y) in series.items():
        xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        assert xs.shape == ys.shape, f"{name}: {len(xs)} x for {len(ys)} y"
        _plot(axes, name, xs, np.where(np.isfinite(ys), ys, np.nan), smooth)
        if bands is not None and name in bands:
            axes.fill_between(xs, *bands[name], color=axes.lines[-1].get_color(), alpha=0.15, linewidth=0)
    if not any(np.isfinite(line.get_ydata()).any() for line in axes.lines):
        axes.text(0.5, 0.5, "nothing recorded", transform=axes.transAxes, ha="center", va="center", color="gray")
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    _clear(axes)
    if many:
        axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    elif len(series) > 1:
        axes.legend(frameon=False, fontsize="small")
    return _rendered(figure, image_format)


def plot_convergence(runs: Sequence[tuple[str, Numbers, Numbers]], *, y_label: str) -> bytes:
    """Plots the scores of several runs (name, epochs, scores) over epochs, as in Figure 6, and returns a PNG file.

    The last score of each run is marked and stands in the legend, because schedules of different lengths compare there.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for name, epochs, scores in runs:
        xs, ys = np.asarray(epochs, dtype=np.float64), np.asarray(scores, dtype=np.float64)
        assert len(xs) == len(ys) > 0, f"{name}: {len(xs)} epochs for {len(ys)} scores"
        label = f"{name}: {ys[-1]:.1f} after epoch {xs[-1]:g}"
        (line,) = axes.plot(xs, ys, linewidth=1.6, marker="." if len(xs) <= FEW else "", markersize=5, label=label)
        end = axes.plot(xs[-1], ys[-1], marker="o", markersize=8, markeredgecolor="white", color=line.get_color())
        end[0].set_zorder(3)  # above the lines of the others
    axes.set(xlabel="epoch", ylabel=y_label)
    by_schedule = axes.dataLim.x1 >= 2 * SCHEDULE
    axes.xaxis.set_major_locator(MultipleLocator(SCHEDULE) if by_schedule else MaxNLocator(integer=True))
    _clear(axes)
    axes.legend(frameon=False)
    return _rendered(figure, "png")


def running_mean(y: np.ndarray, window: int) -> np.ndarray:
    """Returns, for each point, the mean of the finite values of the `window` points around it; NaN if there is none.

    At both ends the window has fewer points.
    """
    finite = np.isfinite(y)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, y, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    here = np.arange(len(y))
    first, last = np.maximum(here - window // 2, 0), np.minimum(here + (window + 1) // 2, len(y))
    number = counts[last] - counts[first]
    return np.where(number > 0, (sums[last] - sums[first]) / np.maximum(number, 1), np.nan)


def _clear(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.9")
    axes.set_axisbelow(True)


def _plot(axes: Axes, name: str, x: np.ndarray, y: np.ndarray, smooth: bool) -> None:
    every = -(-len(x) // MANY) if len(x) else 1
    if smooth and len(x) > FEW:
        (raw,) = axes.plot(x[::every], y[::every], linewidth=0.8, alpha=0.3)
        mean = running_mean(y, len(y) // 50)
        axes.plot(x[::every], mean[::every], color=raw.get_color(), linewidth=1.8, label=name)
    else:
        axes.plot(x[::every], y[::every], marker="o" if len(x) <= FEW else "", markersize=3.5, label=name)


def _rendered(figure: Figure, image_format: Literal["svg", "png"]) -> bytes:
    # Letters stored as text keep an SVG small and searchable; a fixed salt and no date make its bytes reproducible.
    metadata = {"Date": None} if image_format == "svg" else {"Software": None}
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "uncrowd"}), io.BytesIO() as file:
        figure.savefig(file, format=image_format, dpi=150, metadata=metadata)
        return file.getvalue()
