"""Which factor brings an image to a model's working scale: what was asked for, what is known, or an estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nucleate.api.loading import LoadedModel
from nucleate.core import ImageScale, describe_scales
from nucleate.core.stain import StainNormalisation
from nucleate.data import ImageRecord
from nucleate.errors import ConfigError
from nucleate.inference.scale import estimate_scale
from nucleate.models.run_card import RunCard


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRequest:
    """What was said of all images of a call; at most one of the three.

    Attributes:
        diameter_px: median nuclear diameter in the images' pixels.
        mpp: um a pixel of the images.
        magnification: what they are resampled by.
    """

    diameter_px: float | None = None
    mpp: float | None = None
    magnification: float | None = None

    def __post_init__(self) -> None:
        said = {"--diameter": self.diameter_px, "--mpp": self.mpp, "--magnification": self.magnification}
        given = {name: value for name, value in said.items() if value is not None}
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)}: each says the images' scale alone, give one of them")
        for name, value in given.items():
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"{name} {value:g}: a positive number is needed")

    def described(self, card: RunCard) -> str:
        """Return the request in few words, for what decides a folder's results."""
        if self.diameter_px is not None:
            return f"diameter {self.diameter_px:g} px"
        if self.mpp is not None:
            return f"{self.mpp:g} um/px"
        if self.magnification is not None:
            return f"magnification {self.magnification:g}"
        return "as trained" if card.working_diameter_px is None else "estimate"


def known_scale(
    card: RunCard, request: ScaleRequest, *, mpp: float | None = None, source: str | None = None
) -> ImageScale | None:
    """Return an image's scale without a look at its pixels; None where only an estimate can tell it.

    What was asked for comes first, then the source's nuclei, which the model learned from, then the image's um/px.

    Args:
        card: the model's.
        request: of the call.
        mpp: um/px that the image states; None where it states none.
        source: of a data set's image.

    Raises:
        ConfigError: the model doesn't know what the request speaks of.
    """
    if request.mpp is not None and card.working_mpp is None:
        raise ConfigError(
            f"--mpp {request.mpp:g}: {card.name} does not say at how many um/px it works; "
            "give the nuclei's --diameter in pixels instead"
        )
    working_px = card.working_diameter_px
    if working_px is None:
        return _as_trained(card, request)
    if request.diameter_px is not None:
        factor = working_px / request.diameter_px
        return ImageScale(magnification=factor, known_by="diameter", diameter_px=request.diameter_px)
    if request.mpp is not None and card.working_mpp is not None:
        return ImageScale(magnification=request.mpp / card.working_mpp, known_by="mpp", mpp=request.mpp)
    if request.magnification is not None:
        return ImageScale(magnification=request.magnification, known_by="magnification")
    known_px = card.source_diameters_px.get(source) if source is not None else None
    if known_px is not None:
        return ImageScale(magnification=working_px / known_px, known_by="source", diameter_px=known_px)
    if mpp is not None and card.working_mpp is not None:
        return ImageScale(magnification=mpp / card.working_mpp, known_by="image", mpp=mpp)
    return None


def _as_trained(card: RunCard, request: ScaleRequest) -> ImageScale:
    """Return the scale for a network that takes images as its training images were."""
    if request.magnification is not None:
        return ImageScale(magnification=card.magnification * request.magnification, known_by="magnification")
    if request.diameter_px is None:
        return ImageScale(magnification=card.magnification, known_by="model")
    if card.nucleus_diameter_px is None:
        raise ConfigError(
            f"--diameter {request.diameter_px:g}: {card.name} does not say how large the nuclei are that it learned "
            "from; give --magnification instead"
        )
    factor = card.magnification * card.nucleus_diameter_px / request.diameter_px
    return ImageScale(magnification=factor, known_by="diameter", diameter_px=request.diameter_px)


def estimated_scale(
    model: LoadedModel, image_rgb: NDArray[np.uint8], *, stain: StainNormalisation | None
) -> ImageScale:
    """Return an image's scale as the model sees it; a factor of 1 where it finds no nucleus at any scale.

    Args:
        model: has a working scale.
        image_rgb: (H, W, 3).
        stain: the normalisation that segmentation applies.
    """
    working_px = model.card.working_diameter_px
    assert working_px is not None
    pixels = image_rgb if stain is None else stain.apply(image_rgb)
    estimate = estimate_scale(model.segmenter, pixels, working_px)
    if estimate.diameter_px is None:
        return ImageScale(magnification=estimate.magnification, known_by="no nuclei")
    return ImageScale(
        magnification=estimate.magnification, known_by="estimate", diameter_px=round(estimate.diameter_px, 2)
    )


class DatasetScales:
    """What brings each image of a data set to a model's working scale, and what has to be said of that.

    Args:
        model: segments the images.
        request: of the call.
        resized_by: factor from the source images to the data set's.
        stain: the normalisation that segmentation applies.

    Raises:
        ConfigError: the model doesn't know what the request speaks of.
    """

    def __init__(
        self, model: LoadedModel, request: ScaleRequest, *, resized_by: float, stain: StainNormalisation | None
    ) -> None:
        # Told before the first image is read.
        known_scale(model.card, request)
        self._model, self._request, self._stain = model, request, stain
        self._resized_by = resized_by
        self._scales: list[ImageScale] = []

    def magnification_of(self, record: ImageRecord, image_rgb: NDArray[np.uint8]) -> float:
        """Return the factor for one image, and remember its scale."""
        scale = known_scale(self._model.card, self._request, mpp=record.frame.mpp, source=record.source or "")
        if scale is None:
            scale = estimated_scale(self._model, image_rgb, stain=self._stain)
        elif scale.known_by != "image":
            # What is said of a source is said of its images before `prepare --resize`.
            scale = replace(scale, magnification=scale.magnification / self._resized_by)
        self._scales.append(scale)
        return scale.magnification

    def notes(self) -> tuple[str, ...]:
        """Return a line for each way in which the scales of the images so far were known."""
        return tuple(describe_scales(self._scales))
