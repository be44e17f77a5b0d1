"""What the colours of outlines mean."""

from __future__ import annotations

from dataclasses import dataclass

from nucleate.evaluation.fates import Fate
from nucleate.pages.colours import BLACK, GREEN, SKY, VERMILION, YELLOW, rgb_of


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
        return rgb_of(self.colour)


FATE_STYLES: dict[Fate, FateStyle] = {
    Fate.MATCHED: FateStyle(colour=SKY, label="matched (prediction)"),
    Fate.MISSED: FateStyle(colour=YELLOW, label="missed (annotation)"),
    Fate.FALSE: FateStyle(colour=VERMILION, label="false (prediction)"),
    Fate.SPLIT: FateStyle(colour=GREEN, label="split (annotation and its pieces)"),
    Fate.MERGED: FateStyle(colour=BLACK, label="merged (prediction and what it holds)"),
}
