"""How large an image's nuclei are, how that was known, and the factor that brings them to a model's working scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

from nucleate.errors import DataError

ScaleOrigin = Literal["diameter", "mpp", "magnification", "image", "source", "estimate", "no nuclei", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScale:
    """The scale of one image.

    Attributes:
        magnification: the factor that the image is resampled by before the network.
        known_by: `diameter`, `mpp` and `magnification` were given; `image`: the um/px that came with the image;
            `source`: the model learned from images of this source; `estimate`: measured over three scales;
            `no nuclei`: at none of these scales were nuclei found; `model`: nothing is known, or nothing needed.
        diameter_px: median nuclear diameter in the image's pixels; None where nobody knows.
        mpp: um a pixel; None where nobody knows.
    """

    magnification: float
    known_by: ScaleOrigin
    diameter_px: float | None = None
    mpp: float | None = None

    def __post_init__(self) -> None:
        for name in ("magnification", "diameter_px", "mpp"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise DataError(f"{name} {value}: a positive number is needed")


def describe_scales(scales: Sequence[ImageScale]) -> list[str]:
    """Return a line for each way in which images' scales were known, in the order in which the ways first occur.

    What a model needs no scale for is not said. A line gives ranges, and how many images it speaks of where not of
    all.
    """
    groups: dict[ScaleOrigin, list[ImageScale]] = {}
    for scale in scales:
        groups.setdefault(scale.known_by, []).append(scale)
    lines = []
    for known_by, group in groups.items():
        if known_by == "model":
            continue
        resampled = f"images resampled by {_range([scale.magnification for scale in group], '.2f')}"
        share = "" if len(groups) == 1 else f" ({len(group):,} of {len(scales):,} images)"
        lines.append(f"scale: {_what_is_known(known_by, group, resampled)}{share}")
    return lines


def _what_is_known(
    known_by: Literal["diameter", "mpp", "magnification", "image", "source", "estimate", "no nuclei"],
    group: Sequence[ImageScale],
    resampled: str,
) -> str:
    match known_by:
        case "diameter":
            return f"{_diameters(group)} (given): {resampled}"
        case "mpp":
            return f"{_mpps(group)} (given): {resampled}"
        case "magnification":
            return f"{resampled} (given)"
        case "image":
            return f"{_mpps(group)} (as the images say): {resampled}"
        case "source":
            return f"{_diameters(group)} (the model learned from this source): {resampled}"
        case "estimate":
            return f"{_diameters(group)} (estimated over three scales): {resampled}"
        case "no nuclei":
            return "unknown, no nuclei found at any of three scales: images taken as they are; give --diameter"
    assert_never(known_by)


def _diameters(group: Sequence[ImageScale]) -> str:
    return f"nuclei of about {_range([scale.diameter_px for scale in group], '.0f')} px"


def _mpps(group: Sequence[ImageScale]) -> str:
    return f"{_range([scale.mpp for scale in group], '.3g')} um/px"


def _range(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "unknown"
    low, high = format(min(known), form), format(max(known), form)
    return low if low == high else f"{low} to {high}"
