"""Dice of the foreground: all nuclei of an image together."""

from __future__ import annotations

from nucleate.evaluation.matching import Overlaps


def foreground_dice(overlaps: Overlaps) -> float:
    """Return 2 |G and P| / (|G| + |P|) of two label maps, in [0, 1]; 0 where both are empty."""
    shared = int(overlaps.intersections_px.sum())
    total = int(overlaps.annotated_areas_px.sum()) + int(overlaps.predicted_areas_px.sum())
    return 2 * shared / total if total else 0.0
