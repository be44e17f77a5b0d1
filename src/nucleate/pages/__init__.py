"""Pages to read: one HTML file that loads nothing, its tables, charts and pictures."""

from __future__ import annotations

from nucleate.pages.page import Picture, jpeg_picture, render, svg_picture, versions
from nucleate.pages.table import Table

__all__ = ["Picture", "Table", "jpeg_picture", "render", "svg_picture", "versions"]
