"""`nucleate demo`: the sample slide's region through the model, with pictures to look at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nucleate.api.loading import DEFAULT_MODEL, LoadedModel, load_model
from nucleate.api.segment import SegmentSettings, segment_with
from nucleate.assets import find_sample_slide
from nucleate.core import Frame
from nucleate.export import OverlayStyle, draw_overlay, figure_png, side_by_side
from nucleate.files import folder_lock, write_bytes, write_image
from nucleate.inference import Segmentation, collect_inputs
from nucleate.inference.magnification import in_frame, magnified
from nucleate.models.run_card import RunCard
from nucleate.slides import open_slide

REGION_NAME = "CMU-1-Small-Region.png"
# Level-0 pixels: epidermis, a hair follicle and dermis with inflammation; chosen by eye.
REGION_XY = (610, 1800)
REGION_SIDE_PX = 1024
# Median equivalent diameter of the region's nuclei at 0.499 um/px: their dark cores measured 10 px (500 components
# of a local threshold), outlines by eye lie half a pixel further out.
REGION_NUCLEUS_DIAMETER_PX = 11.0
# The picture is drawn larger than the region, so that lines are thin beside nuclei of eleven pixels.
PICTURE_FACTOR = 2
PICTURE_DPI = 170


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoReport:
    """What the demo left.

    Attributes:
        picture: the region beside its overlay.
        magnification: the factor that brought the region's nuclei to the size that the model learned.
        segmentation: the region's nuclei and the folder of results.
    """

    picture: Path
    magnification: float
    segmentation: Segmentation

    def summary(self) -> str:
        """Return what was done and where the files are, a few lines."""
        return (
            f"a {REGION_SIDE_PX} x {REGION_SIDE_PX} region at {REGION_XY} of CMU-1-Small-Region.svs (H&E, 20x), "
            f"magnified {self.magnification:.2f} times\n{self.segmentation.summary()}\n"
            f"{self.picture}: open this picture"
        )


def demo(
    *,
    output: Path = Path("demo"),
    slide: Path | None = None,
    model: str | Path = DEFAULT_MODEL,
    device: str | None = None,
    fresh: bool = False,
) -> DemoReport:
    """Segment a region of a public H&E slide and draw the result.

    Args:
        output: folder for the results.
        slide: a copy of CMU-1-Small-Region.svs; unset fetches it (2 MB) into the cache.
        model: a model's name or a run folder.
        device: cpu, cuda or mps; unset takes the best there is.
        fresh: start anew in an output folder that holds results of another model.

    Raises:
        DownloadError: the slide could not be fetched.
        DataError: the given slide is another one.
        ResultsError: the output holds results of other settings.
    """
    found = find_sample_slide(slide)
    return demo_with(load_model(model, device), found, output=output, fresh=fresh)


def demo_with(model: LoadedModel, slide: Path, *, output: Path, fresh: bool = False) -> DemoReport:
    """Segment the region with a loaded model (see `demo`)."""
    region_rgb = read_region(slide)
    region = output / REGION_NAME
    with folder_lock(output):
        write_image(region, region_rgb)
    settings = replace(_scale_settings(model.card, read_mpp(slide)), fresh=fresh)
    segmentation = segment_with(model, collect_inputs(region), output=output, settings=settings)
    picture = output / "demo.png"
    write_bytes(picture, _picture(segmentation, model.card.name, region_rgb))
    magnification = segmentation[0].scale.magnification
    return DemoReport(picture=picture, magnification=magnification, segmentation=segmentation)


def _scale_settings(card: RunCard, mpp: float | None) -> SegmentSettings:
    """Return what says the region's scale to a model."""
    if card.working_mpp is not None and mpp is not None:
        return SegmentSettings(mpp=mpp)
    if card.working_diameter_px is not None:
        return SegmentSettings(diameter=REGION_NUCLEUS_DIAMETER_PX)
    if card.nucleus_diameter_px is not None:
        return SegmentSettings(magnification=round(card.nucleus_diameter_px / REGION_NUCLEUS_DIAMETER_PX, 2))
    # A model that doesn't say its scale gets the slide as it is.
    return SegmentSettings()


def read_mpp(slide: Path) -> float | None:
    """Return the um/px of the slide's level 0, None where it says none.

    Raises:
        DataError: the file is no slide that can be read.
    """
    with open_slide(slide) as opened:
        return opened.info.mpp


def read_region(slide: Path) -> NDArray[np.uint8]:
    """Return the demo's (1024, 1024, 3) region of the slide's level 0.

    Raises:
        DataError: the file is no slide that can be read.
    """
    x, y = REGION_XY
    with open_slide(slide) as opened:
        return opened.read((x, y, x + REGION_SIDE_PX, y + REGION_SIDE_PX))


def _picture(segmentation: Segmentation, model_name: str, region_rgb: NDArray[np.uint8]) -> bytes:
    found = segmentation[0]
    large_rgb = magnified(region_rgb, PICTURE_FACTOR)
    frame = Frame(height_px=large_rgb.shape[0], width_px=large_rgb.shape[1])
    # Boxes nearly hidden: they would cover nuclei that stand this close.
    style = OverlayStyle(fill_opacity=0.25, box_opacity=0.2)
    overlay = draw_overlay(large_rgb, in_frame(found.instances, frame), found.class_names, style=style)
    titles = ("CMU-1-Small-Region, H&E, 0.5 \N{MICRO SIGN}m a pixel", f"{len(found):,} nuclei found by {model_name}")
    return figure_png(side_by_side(large_rgb, overlay, titles=titles), dpi=PICTURE_DPI)
