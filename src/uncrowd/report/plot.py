"""Plots as SVG elements in the colours of the page."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from uncrowd.visualize.curves import plot_curves

# matplotlib's colours in an SVG -> the page's, which differ between light and dark mode.
THEME = {
    "#ffffff": "none",
    "#000000": "currentColor",
    "#e6e6e6": "var(--line)",
    "#1f77b4": "var(--first)",
    "#ff7f0e": "var(--second)",
    "#2ca02c": "var(--third)",
    "#d62728": "var(--fourth)",
}


class Plot(NamedTuple):
    """A plot: its title, an SVG element in the page's colours, and the names of its series in order."""

    title: str
    svg: str
    names: list[str]


def plot(
    title: str,
    series: Mapping[str, tuple[Any, Any]],
    *,
    x_label: str = "epoch",
    y_label: str = "",
    smooth: bool = False,
) -> Plot:
    """Plots up to four named (x, y) series; `smooth` as in `plot_curves`."""
    svg = plot_curves(series, title="", x_label=x_label, y_label=y_label, smooth=smooth).decode()
    # An SVG inside a page needs no metadata and no style.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # All plots have the same ids, but the ids of a page must differ, so they are removed. The page hides the drawn
    # legend and has its own, whose letters do not shrink with the plot.
    svg = re.sub(r'<g id="[^"]*"', "<g", svg.replace('<g id="legend_1"', '<g class="drawn-legend"'))
    svg = re.sub("|".join(THEME), lambda colour: THEME[colour[0]], svg)
    return Plot(title, svg, list(series))
