"""A figure of matplotlib that shows itself in notebooks; importing this takes a second."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure without pyplot, which alone makes notebooks show figures."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png")
        return content.getvalue()
