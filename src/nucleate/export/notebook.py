"""Results as a notebook shows them: pictures of bounded size and small tables, as HTML without scripts."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# The longest side of a picture in a notebook, whose file keeps every picture that was shown.
LONGEST_SIDE_PX = 1024
JPEG_QUALITY = 85


def picture_png(image_rgb: NDArray[np.uint8]) -> bytes:
    """Return an image as PNG, made smaller where a side is longer than 1024 px."""
    content = io.BytesIO()
    _bounded(image_rgb).save(content, format="PNG")
    return content.getvalue()


def picture_html(image_rgb: NDArray[np.uint8] | None, caption: str) -> str:
    """Return an image, made smaller where a side is longer than 1024 px, above its caption; None leaves it out."""
    picture = ""
    if image_rgb is not None:
        content = io.BytesIO()
        _bounded(image_rgb).save(content, format="JPEG", quality=JPEG_QUALITY)
        code = base64.b64encode(content.getvalue()).decode("ascii")
        picture = f'<img src="data:image/jpeg;base64,{code}" style="max-width:100%" alt="{escape(caption)}">'
    return f'<figure style="margin:0">{picture}<figcaption>{escape(caption)}</figcaption></figure>'


def table_html(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _bounded(image_rgb: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(image_rgb)
    picture.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX), Image.Resampling.BOX)
    return picture
