"""Okabe and Ito's colours, which people with any colour vision tell apart."""

from __future__ import annotations

BLUE, SKY, GREEN = "#0072B2", "#56B4E9", "#009E73"
YELLOW, VERMILION, PURPLE, BLACK = "#F0E442", "#D55E00", "#CC79A7", "#000000"
GREY = "#8A8F98"


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of `#rrggbb`."""
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue
