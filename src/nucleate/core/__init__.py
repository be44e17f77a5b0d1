"""Central values: frames, ragged masks, instances, label maps, outlines, run-length codes."""

from __future__ import annotations

from nucleate.core.frame import Frame
from nucleate.core.instances import Instances
from nucleate.core.label_maps import label_map_from_masks, masks_from_label_map, relabel_sequentially
from nucleate.core.masks import Masks
from nucleate.core.nuclei import NucleiColumns
from nucleate.core.outlines import Outline, trace_all_outlines, trace_outlines
from nucleate.core.overlaps import OverlapRule, describe_overlap_rule, overlap_priority, shared_px
from nucleate.core.polygons import FilledRing, fill_ring, ring_window
from nucleate.core.rle import (
    Rle,
    decode_polygons,
    decode_rles,
    encode_polygons,
    encode_rings,
    encode_rles,
    rle_from_counts,
    rle_problem,
)
from nucleate.core.scale import ImageScale, ScaleOrigin, describe_scales
from nucleate.core.scanlines import Runs, masks_from_polygons, polygon_runs

__all__ = [
    "FilledRing",
    "Frame",
    "ImageScale",
    "Instances",
    "Masks",
    "NucleiColumns",
    "Outline",
    "OverlapRule",
    "Rle",
    "Runs",
    "ScaleOrigin",
    "decode_polygons",
    "decode_rles",
    "describe_overlap_rule",
    "describe_scales",
    "encode_polygons",
    "encode_rings",
    "encode_rles",
    "fill_ring",
    "label_map_from_masks",
    "masks_from_label_map",
    "masks_from_polygons",
    "overlap_priority",
    "polygon_runs",
    "relabel_sequentially",
    "ring_window",
    "rle_from_counts",
    "rle_problem",
    "shared_px",
    "trace_all_outlines",
    "trace_outlines",
]
