"""What decides a slide's results, and what is told of how they were found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import shapely

from nucleate.api.loading import LoadedModel
from nucleate.api.slide_request import SlideRequest
from nucleate.export.summary import ModelFacts, RunFacts, StageTime
from nucleate.inference.whole_slide import SlideOutcome

# Of a file of gigabytes its two ends and its size tell it from others.
_HASHED_BYTES = 2**20
_VERSIONS_OF = ("nucleate", "numpy", "opencv-python-headless", "openslide-python", "pyarrow", "tifffile")


def decisive_settings(model: LoadedModel, path: Path, request: SlideRequest) -> dict[str, Any]:
    """Return what decides a slide's results, as JSON values."""
    inference = request.inference
    return {
        "slide": path.name,
        "bytes": path.stat().st_size,
        "ends_sha256": _ends_sha256(path),
        "model": model.card.name,
        "fingerprint": model.segmenter.fingerprint,
        "class_names": list(model.card.class_names),
        "score": inference.score_threshold,
        "scale": request.scale.described(model.card),
        "tile_px": inference.tiling.tile_px,
        "overlap_px": inference.tiling.overlap_px,
        "stain": None if inference.stain is None else inference.stain.to_dict(),
        "colour_profile": request.apply_colour_profile,
        "roi": [shapely.to_wkt(region.geometry, rounding_precision=1) for region in request.roi],
    }


def _ends_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as content:
        digest.update(content.read(_HASHED_BYTES))
        with suppress(OSError):
            content.seek(-_HASHED_BYTES, 2)
        digest.update(content.read(_HASHED_BYTES))
    return digest.hexdigest()


def run_facts(
    model: LoadedModel,
    settings: Mapping[str, Any],
    outcome: SlideOutcome,
    *,
    seconds: float,
    notes: Sequence[str],
) -> RunFacts:
    """Return what a slide's summary tells of its run.

    Args:
        model: that found the nuclei.
        settings: from `decisive_settings`.
        outcome: of the segmentation.
        seconds: of this call.
        notes: what has to be said.
    """
    card = model.card
    busy = [(field.name, float(getattr(outcome.seconds, field.name))) for field in fields(outcome.seconds)]
    total = sum(value for _, value in busy)
    return RunFacts(
        model=ModelFacts(
            name=card.name,
            network=card.network,
            working_mpp=card.working_mpp,
            score_threshold=float(settings["score"]),
            licence=card.licence,
            commercial_use=card.commercial_use,
            learned_from=card.learned_from,
        ),
        settings=settings,
        versions={name: version(name) for name in _VERSIONS_OF},
        tiles=outcome.tiles,
        seconds=seconds,
        stages=tuple(
            StageTime(name=name, seconds=value, share=value / total if total else 0.0) for name, value in busy
        ),
        notes=(
            *notes,
            *(f"not read: {tile.window_xyxy}: {tile.problem}" for tile in outcome.unreadable),
        ),
    )
