"""At which scale a slide is segmented: what was asked for, what its file states, or an estimate that is said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median

from nucleate.api.loading import LoadedModel
from nucleate.api.scaling import ScaleRequest, estimated_scale, known_scale
from nucleate.core import Frame, ImageScale
from nucleate.slides import SlideReader, Tissue, sample_windows

# Enough nuclei for a mean where tissue is there at all, seconds of work.
_SAMPLE_PX = 1024
_SAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideScale:
    """A slide's scale.

    Attributes:
        scale: what level-0 pixels are magnified by, and why.
        mpp: um a level-0 pixel, None where nobody can tell.
        mpp_known_by: `given`, `file`, `magnification`, `estimate`; None where unknown.
    """

    scale: ImageScale
    mpp: float | None
    mpp_known_by: str | None

    def of(self, frame: Frame) -> Frame:
        """Return level 0 with this scale."""
        return replace(frame, mpp=self.mpp)


def slide_scale(model: LoadedModel, slide: SlideReader, tissue: Tissue, request: ScaleRequest) -> SlideScale:
    """Return the scale of a slide (see `SlideScale`).

    Raises:
        ConfigError: the model doesn't know what the request speaks of.
        SlideRegionError: the tissue that an estimate looks at can't be decoded.
    """
    info, card = slide.info, model.card
    scale = known_scale(card, request, mpp=info.mpp)
    mpp, known_by = info.mpp, None if info.mpp_known_by is None else str(info.mpp_known_by)
    if scale is None:
        scale = _estimated(model, slide, tissue)
    if mpp is None and card.working_mpp is not None and scale.known_by in ("estimate", "diameter"):
        return SlideScale(scale=scale, mpp=scale.magnification * card.working_mpp, mpp_known_by="estimate")
    return SlideScale(scale=scale, mpp=mpp, mpp_known_by=known_by)


def _estimated(model: LoadedModel, slide: SlideReader, tissue: Tissue) -> ImageScale:
    looks = [
        estimated_scale(model, slide.read(window), stain=model.card.stain)
        for window in sample_windows(tissue, side_px=_SAMPLE_PX, count=_SAMPLES)
    ]
    found = [look for look in looks if look.diameter_px is not None]
    if not found:
        return ImageScale(magnification=1.0, known_by="no nuclei")
    factor = median(look.magnification for look in found)
    diameter_px = median(look.diameter_px for look in found if look.diameter_px is not None)
    return ImageScale(magnification=factor, known_by="estimate", diameter_px=diameter_px)
