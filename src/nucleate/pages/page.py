"""Templates filled in, and pictures that lie in the page itself."""

from __future__ import annotations

import base64
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image of the page.

    Attributes:
        source: a data URI.
        alt: what it shows, for those who don't see it.
        caption: below it.
    """

    source: str
    alt: str
    caption: str = ""


def render(package: str, template: str, **values: Any) -> str:
    """Return a template filled in; texts are escaped.

    Args:
        package: whose folder `templates` holds it; what it extends and includes may lie in this package's.
        template: its name.
        values: what it shows.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("nucleate.pages")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def svg_picture(svg: str, alt: str) -> Picture:
    """Return a chart as an image of its own, whose ids can't meet those of another."""
    return Picture(source=_uri(svg.encode("utf-8"), "image/svg+xml"), alt=alt)


def jpeg_picture(content: bytes, alt: str, caption: str = "") -> Picture:
    """Return a JPEG file's bytes as an image."""
    return Picture(source=_uri(content, "image/jpeg"), alt=alt, caption=caption)


def versions(libraries: Sequence[str]) -> str:
    """Return Python's version and those of the installed libraries among the named ones, in one line."""
    found = [f"Python {platform.python_version()}"]
    for name in libraries:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
