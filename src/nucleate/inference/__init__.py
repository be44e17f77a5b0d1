"""From images to nuclei: inputs, tiles, batches."""

from __future__ import annotations

from nucleate.inference.segmenter import Segmenter

__all__ = ["Segmenter"]
