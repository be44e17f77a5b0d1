"""What a slide's first call chose, kept beside its blocks: a later call on another machine goes on with it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from nucleate.core import ImageScale
from nucleate.errors import DataError, ResultsError
from nucleate.files import write_json
from nucleate.inference.whole_slide.plan import SlidePlan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredPlan:
    """A plan as a function of slide and settings.

    An estimate of the scale comes from the network, which answers a little differently where it runs in another
    precision, and tissue from a thumbnail; finished blocks are of no use to another scale or other tiles.

    Attributes:
        scale: what level-0 pixels are magnified by, and how that is known.
        mpp: um a level-0 pixel; None where nobody knows.
        mpp_known_by: `given`, `file`, `magnification`, `estimate`; None where unknown.
        blocks: how many hold tissue.
        tile_numbers: (N,) int64, those that hold tissue.
        digest: of the plan's blocks and tiles.
    """

    scale: ImageScale
    mpp: float | None
    mpp_known_by: str | None
    blocks: int
    tile_numbers: NDArray[np.int64]
    digest: str

    @classmethod
    def of(cls, plan: SlidePlan, scale: ImageScale, mpp_known_by: str | None) -> Self:
        """Return what has to be kept of a plan."""
        return cls(
            scale=scale,
            mpp=plan.frame.mpp,
            mpp_known_by=mpp_known_by,
            blocks=len(plan.blocks),
            tile_numbers=plan.tile_numbers,
            digest=plan.digest,
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what `write` wrote.

        Raises:
            ResultsError: the file is missing or damaged.
        """
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                scale=ImageScale(**stored["scale"]),
                mpp=stored["mpp"],
                mpp_known_by=stored["mpp_known_by"],
                blocks=int(stored["blocks"]),
                tile_numbers=np.array(stored["tiles"], np.int64),
                digest=str(stored["digest"]),
            )
        except (OSError, ValueError, KeyError, TypeError, DataError) as error:
            raise ResultsError(
                "the plan of the finished blocks is missing or damaged: start anew with --fresh", path=path
            ) from error

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all.

        Raises:
            ResultsError: the disk is full or not writable.
        """
        stored = {
            "blocks": self.blocks,
            "scale": asdict(self.scale),
            "mpp": self.mpp,
            "mpp_known_by": self.mpp_known_by,
            "digest": self.digest,
            "tiles": self.tile_numbers.tolist(),
        }
        write_json(path, stored)

    def holds_tissue(self, windows_xyxy: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return (N,) which of a slide's tiles, in the order of their numbers, hold tissue (see `plan_slide`)."""
        return np.isin(np.arange(len(windows_xyxy)), self.tile_numbers)

    def check(self, plan: SlidePlan, path: Path) -> None:
        """Refuse a plan that the finished blocks don't belong to.

        Raises:
            ResultsError: it has other tiles, as another version of nucleate may make them.
        """
        if plan.digest != self.digest:
            raise ResultsError(
                "holds finished blocks of other tiles than this version of nucleate makes: "
                "choose another --output, or --fresh to start anew",
                path=path,
            )
