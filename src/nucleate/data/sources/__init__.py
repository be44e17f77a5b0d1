"""Sources of annotated images, one module a format."""

from __future__ import annotations

from nucleate.data.sources.detection import open_source
from nucleate.data.sources.source import Dropped, Mended, Source, SourceFormat, SourceImage, SourceNuclei, source_digest

__all__ = ["Dropped", "Mended", "Source", "SourceFormat", "SourceImage", "SourceNuclei", "open_source", "source_digest"]
