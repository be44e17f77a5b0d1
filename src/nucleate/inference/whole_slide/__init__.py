"""Whole slides: blocks of tiles in bounded memory, a journal that survives a kill, seams settled at the end."""

from __future__ import annotations

from nucleate.inference.whole_slide.asked import AskedRegions
from nucleate.inference.whole_slide.assembly import NeighbourSettings
from nucleate.inference.whole_slide.folder import (
    SUFFIX,
    SUMMARY_NAME,
    TABLE_NAME,
    SlideFolder,
    StageSeconds,
    UnreadableTile,
    finished_blocks,
    is_finished,
)
from nucleate.inference.whole_slide.memory import MemoryBound, resident_bytes
from nucleate.inference.whole_slide.outcome import SlideResult, slides_table
from nucleate.inference.whole_slide.plan import Block, SlidePlan, SlideTile, plan_slide, slide_magnification
from nucleate.inference.whole_slide.run import SlideOutcome, SlideProgress, SlideRun, segment_slide
from nucleate.inference.whole_slide.stored_plan import StoredPlan
from nucleate.inference.whole_slide.work import TimedTile, WorkSettings, time_tile

__all__ = [
    "SUFFIX",
    "SUMMARY_NAME",
    "TABLE_NAME",
    "AskedRegions",
    "Block",
    "MemoryBound",
    "NeighbourSettings",
    "SlideFolder",
    "SlideOutcome",
    "SlidePlan",
    "SlideProgress",
    "SlideResult",
    "SlideRun",
    "SlideTile",
    "StageSeconds",
    "StoredPlan",
    "TimedTile",
    "UnreadableTile",
    "WorkSettings",
    "finished_blocks",
    "is_finished",
    "plan_slide",
    "resident_bytes",
    "segment_slide",
    "slide_magnification",
    "slides_table",
    "time_tile",
]
