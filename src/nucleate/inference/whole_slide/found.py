"""What a block's tiles found, as values and as a file, until the neighbours are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nucleate.core import Frame, Instances, Masks, NucleiColumns
from nucleate.errors import ResultsError
from nucleate.export.nuclei_table import NucleiTableInfo, nuclei_from_arrow, nuclei_to_arrow
from nucleate.files import write_path
from nucleate.inference.seams import Reports
from nucleate.inference.tiling import enters, holds_centre
from nucleate.inference.whole_slide.plan import SlideTile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundNuclei:
    """N nuclei as tiles report them, some of them several times.

    Attributes:
        nuclei: in level-0 pixels, not numbered yet (0).
        tile_of: (N,) int64 number of the tile.
        owned: (N,) bool, see `Reports`.
        cut: (N,) bool, see `Reports`.
        bits: (N,) object, the mask's pixels of its box row by row, packed to bytes; None for a nucleus that no other
            tile can have seen.
    """

    nuclei: NucleiColumns
    tile_of: NDArray[np.int64]
    owned: NDArray[np.bool_]
    cut: NDArray[np.bool_]
    bits: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.nuclei)

    @classmethod
    def empty(cls, measurement_names: Sequence[str]) -> FoundNuclei:
        """Return no nucleus."""
        return cls(
            nuclei=NucleiColumns.empty(measurement_names),
            tile_of=np.zeros(0, np.int64),
            owned=np.zeros(0, np.bool_),
            cut=np.zeros(0, np.bool_),
            bits=np.zeros(0, np.object_),
        )

    @staticmethod
    def concatenate(parts: Sequence[FoundNuclei]) -> FoundNuclei:
        """Return the nuclei of at least one part, in order."""
        return FoundNuclei(
            nuclei=NucleiColumns.concatenate([part.nuclei for part in parts]),
            tile_of=np.concatenate([part.tile_of for part in parts]),
            owned=np.concatenate([part.owned for part in parts]),
            cut=np.concatenate([part.cut for part in parts]),
            bits=np.concatenate([part.bits for part in parts]),
        )

    def select(self, indices: NDArray[np.integer] | NDArray[np.bool_]) -> FoundNuclei:
        """Return the nuclei at the given indices (or where a boolean is true), in that order."""
        return FoundNuclei(
            nuclei=self.nuclei.select(indices),
            tile_of=self.tile_of[indices],
            owned=self.owned[indices],
            cut=self.cut[indices],
            bits=self.bits[indices],
        )

    @property
    def is_shared(self) -> NDArray[np.bool_]:
        """Return (N,): another tile may report the same nucleus."""
        return np.array([bits is not None for bits in self.bits], np.bool_)

    def reports(self, frame: Frame) -> Reports:
        """Return what decides at seams; all nuclei must be shared ones.

        Args:
            frame: the slide's level 0.
        """
        boxes = self.nuclei.boxes_xyxy.astype(np.int64)
        sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        packed = [
            np.unpackbits(np.frombuffer(bits, np.uint8), count=int(size))
            for bits, size in zip(self.bits, sizes, strict=True)
        ]
        bits = np.concatenate([np.zeros(0, np.uint8), *packed]).astype(np.bool_)
        return Reports(
            masks=Masks(frame=frame, windows_xyxy=boxes.astype(np.int32), bits=bits),
            scores=self.nuclei.scores,
            tile_of=self.tile_of,
            owned=self.owned,
            cut=self.cut,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileReport:
    """Which of a tile's nuclei it reports, with what `Reports` calls owned and cut.

    Attributes:
        indices: (K,) int64, ascending, of the nuclei that were found.
        owned: (K,) bool.
        cut: (K,) bool.
    """

    indices: NDArray[np.int64]
    owned: NDArray[np.bool_]
    cut: NDArray[np.bool_]


def report_tile(tile: SlideTile, found: Instances, slide: Frame, *, within_px: float) -> TileReport:
    """Return which nuclei a tile reports: none without a pixel, and none that is another tile's without doubt.

    Args:
        tile: where they were found.
        found: in the tile's pixels.
        slide: level 0.
        within_px: a mask that comes this near to the tile's side is cut by it.
    """
    boxes = found.masks.cropped().windows_xyxy + np.array(tile.window_xyxy[:2] * 2)
    regions = np.broadcast_to(np.array(tile.owned_xyxy), boxes.shape)
    sides = np.array(tile.window_xyxy)
    inner = sides != np.array([0, 0, slide.width_px, slide.height_px])
    cut = ((np.abs(boxes - sides) <= within_px) & inner).any(axis=1)
    owned = holds_centre(boxes.astype(np.float64), regions)
    reported = (owned | (enters(boxes.astype(np.float64), regions) & ~cut)) & (found.masks.areas_px() > 0)
    indices = np.flatnonzero(reported)
    return TileReport(indices=indices, owned=owned[indices], cut=np.asarray(cut[indices], np.bool_))


def packed_bits(tile: SlideTile, masks: Masks) -> NDArray[np.object_]:
    """Return `FoundNuclei.bits` of a tile's cropped masks."""
    boxes = masks.windows_xyxy + np.array(tile.window_xyxy[:2] * 2)
    left, top, right, bottom = tile.private_xyxy
    alone = (boxes[:, 0] >= left) & (boxes[:, 1] >= top) & (boxes[:, 2] <= right) & (boxes[:, 3] <= bottom)
    bits = np.full(len(masks), None, np.object_)
    for index in np.flatnonzero(~alone).tolist():
        bits[index] = np.packbits(masks.bitmap(index)).tobytes()
    return bits


def write_found(path: Path, found: FoundNuclei, info: NucleiTableInfo) -> None:
    """Write a block's nuclei, whole or not at all.

    Raises:
        ResultsError: the disk is full or not writable.
    """
    table = nuclei_to_arrow(found.nuclei, info)
    for name, values in (
        ("tile", pa.array(found.tile_of)),
        ("owned", pa.array(found.owned)),
        ("cut", pa.array(found.cut)),
        ("bits", pa.array(found.bits, pa.binary())),
    ):
        table = table.append_column(name, values)
    with write_path(path) as part, pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)


def read_found(path: Path, info: NucleiTableInfo) -> FoundNuclei:
    """Return what `write_found` wrote.

    Raises:
        ResultsError: the file is missing or damaged.
    """
    try:
        with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source) as file:
            table = file.read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise ResultsError(f"a finished block can't be read: start anew with --fresh ({error})", path=path) from error
    return FoundNuclei(
        nuclei=nuclei_from_arrow(table, info),
        tile_of=table.column("tile").to_numpy(),
        owned=table.column("owned").to_numpy(),
        cut=table.column("cut").to_numpy(),
        bits=table.column("bits").to_numpy(),
    )
