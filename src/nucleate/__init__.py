"""Nuclei instance segmentation in H&E histology, from annotation to predictions."""

from __future__ import annotations

__version__ = "0.1.0"
