"""The charts of the statistics, as SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nucleate.data.audit.statistics import GroupStatistics
from nucleate.pages.charts import INK, chart_row, new_chart, svg_of
from nucleate.pages.colours import BLUE, GREEN, SKY, VERMILION

# A chart of more groups can't be read.
MOST_BARS = 60


def group_bars(groups: Sequence[GroupStatistics]) -> str:
    """Return images and nuclei of each organ, side by side."""
    shown = groups[:MOST_BARS]
    figure, (left, right) = chart_row(8.6, 0.9 + 0.24 * len(shown), 2)
    places = range(len(shown))
    for axes, values, colour, heading in (
        (left, [group.images for group in shown], SKY, "images"),
        (right, [group.nuclei for group in shown], BLUE, "nuclei"),
    ):
        axes.barh(places, values, height=0.7, color=colour)
        for place, value in enumerate(values):
            axes.text(value, place, f" {value:,}", va="center", fontsize=8, color=INK)
        axes.set_xlim(0, 1.16 * max(*values, 1))
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(heading)
    left.set_yticks(places, labels=[group.name for group in shown], fontsize=9, parse_math=False)
    right.set_yticks([])
    return svg_of(figure)


def diameter_boxes(groups: Sequence[GroupStatistics]) -> str:
    """Return the diameters of each organ's nuclei: median, quartiles, and the 5th and 95th percentile."""
    shown = [group for group in groups if group.nuclei][:MOST_BARS]
    figure, axes = new_chart(8.6, 0.9 + 0.24 * len(shown))
    for place, group in enumerate(shown):
        low, first, median, third, high = np.percentile(group.diameters_px, [5, 25, 50, 75, 95])
        axes.plot([low, high], [place, place], color=INK, linewidth=1)
        axes.barh(place, third - first, left=first, height=0.6, color=SKY)
        axes.plot([median, median], [place - 0.3, place + 0.3], color=VERMILION, linewidth=2)
    axes.set_yticks(range(len(shown)), labels=[group.name for group in shown], fontsize=9, parse_math=False)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("diameter, px (red: median; box: half of the nuclei; line: 90 %)")
    return svg_of(figure)


def distributions(overall: GroupStatistics) -> list[tuple[str, str]]:
    """Return (chart, what it shows): areas, diameters, nuclei an image."""
    charts = [
        (_histogram(overall.areas_px, "area, px", "nuclei", BLUE), "Distribution of nuclear areas"),
        (_histogram(overall.diameters_px, "diameter, px", "nuclei", SKY), "Distribution of nuclear diameters"),
    ]
    if overall.diameters_um is not None:
        chart = _histogram(overall.diameters_um, "diameter, um", "nuclei", SKY)
        charts.append((chart, "Distribution of nuclear diameters in um"))
    charts.append((_histogram(overall.nuclei_an_image, "nuclei an image", "images", GREEN), "Nuclei an image"))
    return charts


def _histogram(values: NDArray[np.integer] | NDArray[np.floating], x_label: str, y_label: str, colour: str) -> str:
    figure, axes = new_chart(4.6, 3.0)
    if len(values):
        # The largest few would squeeze all others into the first bars; the last bar holds them.
        end = max(float(np.percentile(values, 99)), 1.0)
        edges = np.linspace(0, end, 41 if end > 40 else int(np.ceil(end)) + 2)
        counts, _ = np.histogram(np.minimum(values, end), edges)
        axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=colour)
        median = float(np.median(values))
        axes.axvline(median, color=VERMILION, linewidth=1.3)
        above = int(np.count_nonzero(values > end))
        more = f"; {above:,} above in the last bar" if above else ""
        axes.set_xlabel(f"{x_label} (line: median {median:,.4g}{more})", fontsize=9)
    axes.set_ylabel(y_label)
    axes.grid(visible=False, axis="x")
    return svg_of(figure)
