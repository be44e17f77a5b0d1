"""Okabe and Ito's colours, which people with any colour vision tell apart, and what they mean here."""

from __future__ import annotations

from dataclasses import dataclass

from nucleate.evaluation.fates import Fate

BLUE, SKY, GREEN = "#0072B2", "#56B4E9", "#009E73"
YELLOW, VERMILION, PURPLE, BLACK = "#F0E442", "#D55E00", "#CC79A7", "#000000"
GREY = "#8A8F98"


@dataclass(frozen=True, slots=True, kw_only=True)
class FateStyle:
    """How the nuclei of one fate are outlined.

    Attributes:
        colour: `#rrggbb`.
        label: of the legend.
    """

    colour: str
    label: str

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Return red, green and blue, 0 to 255."""
        red, green, blue = bytes.fromhex(self.colour[1:])
        return red, green, blue


FATE_STYLES: dict[Fate, FateStyle] = {
    Fate.MATCHED: FateStyle(colour=SKY, label="matched (prediction)"),
    Fate.MISSED: FateStyle(colour=YELLOW, label="missed (annotation)"),
    Fate.FALSE: FateStyle(colour=VERMILION, label="false (prediction)"),
    Fate.SPLIT: FateStyle(colour=GREEN, label="split (annotation and its pieces)"),
    Fate.MERGED: FateStyle(colour=BLACK, label="merged (prediction and what it holds)"),
}
