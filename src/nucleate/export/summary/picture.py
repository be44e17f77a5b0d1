"""A slide's thumbnail with the density of its nuclei, for people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from shapely.geometry import MultiPolygon, Polygon

from nucleate.core import Frame
from nucleate.errors import ConfigError
from nucleate.export.nuclei_table import read_table_info
from nucleate.export.summary.grid import cells_inside, centroid_grid
from nucleate.export.summary.hot_spots import HotSpot
from nucleate.slides import Region

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A length that stands for a micrometre where nobody knows it: 0.25 um a pixel.
_ASSUMED_MPP = 0.25
_DPI = 100
# Widths in pixels beside and above the slide: colour bar with its numbers, title.
_BAR_PX, _TITLE_PX, _MARGIN_PX = 120, 40, 12
_HALO = "white"


@dataclass(frozen=True, slots=True, kw_only=True)
class DensityStyle:
    """How a density picture looks.

    Attributes:
        longest_px: longer side of the slide in the picture, 200 to 10,000; the frame around it comes on top.
        smoothing_um: standard deviation of the Gaussian that smooths densities; 100 um show glands and follicles.
        opacity: of the colours, 0 to 1; tissue must stay visible below.
        colours: matplotlib's name; perceptually uniform, so that equal steps look equal.
        top_percentile: of the densities in tissue that the last colour stands for, 0 to 100; few cells that are
            denser would darken all others.
    """

    longest_px: int = 1200
    smoothing_um: float = 100.0
    opacity: float = 0.6
    colours: str = "viridis"
    top_percentile: float = 99.5

    def __post_init__(self) -> None:
        if not 200 <= self.longest_px <= 10_000:
            raise ConfigError(f"a picture of {self.longest_px} px: 200 to 10,000")


DEFAULT_STYLE = DensityStyle()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Overlays:
    """What is drawn over the densities.

    Attributes:
        tissue: its outline is drawn and densities are by its area; None takes the slide's.
        regions: drawn with their names.
        hot_spots: drawn with their numbers.
    """

    tissue: Region | None = None
    regions: tuple[Region, ...] = ()
    hot_spots: tuple[HotSpot, ...] = ()


NO_OVERLAYS = Overlays()


def density_picture(
    path: Path,
    thumbnail_rgb: NDArray[np.uint8],
    *,
    overlays: Overlays = NO_OVERLAYS,
    style: DensityStyle = DEFAULT_STYLE,
) -> NDArray[np.uint8]:
    """Draw nuclei per mm2 over a slide's thumbnail, with colour bar and scale bar.

    Densities are smoothed counts by the tissue that is smoothed alike, so they don't fall off at its edge. Where um a
    pixel are unknown they are per million pixels, and there is no scale bar.

    Args:
        path: the table.
        thumbnail_rgb: (H, W, 3), the whole slide at any size.
        overlays: outlines of tissue, regions and hot spots.
        style: size and colours.

    Returns:
        (H, W, 3) RGB.

    Raises:
        DataError: no table that `segment` wrote.
    """
    info = read_table_info(path)
    density = _density(path, info.frame, overlays.tissue, style)
    height_px, width_px = density.shape
    shown = cv2.resize(thumbnail_rgb, (width_px, height_px), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(cv2.cvtColor(np.ascontiguousarray(shown), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    known = density[np.isfinite(density)]
    top = float(np.percentile(known, style.top_percentile)) if len(known) and known.max() > 0 else 1.0
    top = top if top > 0 else float(known.max())

    figure, axes = _canvas(width_px, height_px)
    axes.imshow(grey, interpolation="nearest")
    coloured = axes.imshow(
        density, cmap=style.colours, vmin=0, vmax=top, alpha=style.opacity, interpolation="nearest", zorder=1
    )
    _draw_overlays(axes, overlays, info.frame.width_px / width_px)
    axes.set_xlim(-0.5, width_px - 0.5)
    axes.set_ylim(height_px - 0.5, -0.5)
    _draw_colour_bar(figure, coloured, info.frame.mpp)
    if info.frame.mpp is not None:
        _draw_scale_bar(axes, (width_px, height_px), info.frame.mpp * info.frame.width_px / width_px)
    return _pixels(figure)


def _density(path: Path, frame: Frame, tissue: Region | None, style: DensityStyle) -> NDArray[np.float64]:
    """Return nuclei per mm2 (per million pixels where um are unknown) for every pixel shown; NaN off the tissue."""
    longest_px = max(frame.shape)
    cell_px = longest_px / min(style.longest_px, longest_px)
    grid = centroid_grid(path, frame, cell_px=cell_px)
    inside = np.ones(grid.shape, np.bool_)
    if tissue is not None:
        # Nuclei at its very edge belong to it.
        inside = cells_inside(tissue.geometry, grid.shape, cell_px=cell_px) | (grid.counts > 0)
    sigma_cells = style.smoothing_um / (frame.mpp or _ASSUMED_MPP) / cell_px
    counts = ndimage.gaussian_filter(grid.counts.astype(np.float64), sigma_cells, mode="constant")
    areas = ndimage.gaussian_filter(inside.astype(np.float64), sigma_cells, mode="constant")
    area_of_cell = (cell_px * frame.mpp) ** 2 / 1e6 if frame.mpp else cell_px**2 / 1e6
    with np.errstate(divide="ignore", invalid="ignore"):
        density = np.where(inside, counts / (areas * area_of_cell), np.nan)
    factor = style.longest_px / max(grid.shape)
    if factor > 1:
        height, width = (max(1, round(side * factor)) for side in grid.shape)
        density = cv2.resize(density, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.asarray(density, np.float64)


def _canvas(width_px: int, height_px: int) -> tuple[Figure, Axes]:
    # Imported here: it takes a second, which commands that draw nothing needn't wait for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    whole_wh = (width_px + 2 * _MARGIN_PX + _BAR_PX, max(height_px, 160) + _TITLE_PX + _MARGIN_PX)
    figure = Figure(figsize=(whole_wh[0] / _DPI, whole_wh[1] / _DPI), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    place = (_MARGIN_PX / whole_wh[0], _MARGIN_PX / whole_wh[1], width_px / whole_wh[0], height_px / whole_wh[1])
    axes = figure.add_axes(place)
    axes.set_axis_off()
    return figure, axes


def _draw_overlays(axes: Axes, overlays: Overlays, downsample: float) -> None:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=3, foreground=_HALO)]
    if overlays.tissue is not None:
        _draw_outline(axes, overlays.tissue.geometry, downsample, color="#202020", linewidth=1.0)
    for region in overlays.regions:
        _draw_outline(axes, region.geometry, downsample, color="#0b5fff", linewidth=1.6, path_effects=halo)
        left, top, _, _ = region.geometry.bounds
        label = region.name if len(region.name) <= 30 else f"{region.name[:29]}..."
        _draw_label(axes, label, (left, top), downsample, color="#0b5fff", va="bottom", ha="left", fontsize=11)
    for spot in overlays.hot_spots:
        _draw_outline(axes, spot.region.geometry, downsample, color="#d62700", linewidth=2.0, path_effects=halo)
        _draw_label(axes, str(spot.number), spot.centre_xy, downsample, color="#d62700", va="center", ha="center")


def _draw_label(axes: Axes, text: str, place_xy: tuple[float, float], downsample: float, **look: Any) -> None:
    from matplotlib.patheffects import withStroke

    look = {"fontsize": 13, "fontweight": "bold", **look}
    # Names may hold dollar signs, which matplotlib reads as formulas.
    axes.text(
        place_xy[0] / downsample - 0.5,
        place_xy[1] / downsample - 0.5,
        text,
        parse_math=False,
        clip_on=True,
        zorder=5,
        path_effects=[withStroke(linewidth=3, foreground=_HALO)],
        **look,
    )


def _draw_outline(axes: Axes, geometry: Polygon | MultiPolygon, downsample: float, **look: Any) -> None:
    for part in geometry.geoms if isinstance(geometry, MultiPolygon) else [geometry]:
        for ring in (part.exterior, *part.interiors):
            corners = np.asarray(ring.coords)[:, :2] / downsample - 0.5
            axes.plot(corners[:, 0], corners[:, 1], zorder=3, **look)


def _draw_colour_bar(figure: Figure, coloured: Any, mpp: float | None) -> None:
    width_px, height_px = figure.get_size_inches() * _DPI
    bar_height = (height_px - _TITLE_PX - _MARGIN_PX) * 0.9
    place = (
        (width_px - _BAR_PX + 4) / width_px,
        (_MARGIN_PX + (height_px - _TITLE_PX - _MARGIN_PX) * 0.05) / height_px,
        18 / width_px,
        bar_height / height_px,
    )
    bar = figure.colorbar(coloured, cax=figure.add_axes(place), extend="max", extendfrac=0.03)
    bar.ax.tick_params(labelsize=11)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    unit = "nuclei per mm²" if mpp is not None else "nuclei per million pixels"
    figure.text((width_px - _MARGIN_PX) / width_px, 1 - 12 / height_px, unit, fontsize=12, ha="right", va="top")


def _draw_scale_bar(axes: Axes, size_wh: tuple[int, int], mpp_shown: float) -> None:
    """Draw a round number of mm, about a fifth of the slide's width, in the lower left corner."""
    most_mm = size_wh[0] * mpp_shown / 1000 / 4
    power = 10.0 ** math.floor(math.log10(most_mm))
    length_mm = max(step * power for step in (1, 2, 5) if step * power <= most_mm)
    length_px = length_mm * 1000 / mpp_shown
    left, low = 14.0, size_wh[1] - 16.0
    for colour, linewidth in (("white", 8), ("black", 4)):
        axes.plot(
            [left, left + length_px], [low, low], color=colour, linewidth=linewidth, solid_capstyle="butt", zorder=6
        )
    _draw_label(axes, f"{length_mm:g} mm", (left, low - 6), 1.0, color="black", va="bottom", ha="left", fontsize=12)


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    canvas: Any = figure.canvas
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
