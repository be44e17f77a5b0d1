"""What became of each nucleus of an image: matched, missed, false, split, merged; which annotated ones touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from nucleate.evaluation.matching import Overlaps
from nucleate.evaluation.panoptic import matched_pairs


class Fate(IntEnum):
    """What became of a nucleus."""

    MATCHED = 0
    MISSED = 1
    FALSE = 2
    SPLIT = 3
    MERGED = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageFates:
    """The fates of an image's nuclei, in the order of its `Overlaps`.

    Attributes:
        annotated: (M,) `Fate`: SPLIT if it holds more than half of the area of each of two or more predicted nuclei;
            MERGED if it is one of those that a predicted nucleus holds so; else MATCHED at IoU > 0.5, else MISSED.
        predicted: (N,) `Fate`: MERGED if it holds two or more annotated nuclei, SPLIT if it is one of the pieces of
            one; else MATCHED, else FALSE.
    """

    annotated: NDArray[np.int64]
    predicted: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnnotatedNuclei:
    """Annotated nuclei of one or more images, as the label maps of `standard` have them.

    Attributes:
        areas_px: (M,) pixels.
        found: (M,) a predicted nucleus has IoU > 0.5 with it.
        touching: (M,) a pixel of it is one of the eight neighbours of another nucleus' pixel.
    """

    areas_px: NDArray[np.int64]
    found: NDArray[np.bool_]
    touching: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.areas_px)

    @classmethod
    def of_image(cls, annotated: NDArray[np.integer], overlaps: Overlaps) -> AnnotatedNuclei:
        """Return the nuclei of one label map (H, W), in the order of its overlaps with a predicted one."""
        found = np.zeros(overlaps.annotated_count, np.bool_)
        found[overlaps.annotated_indices[matched_pairs(overlaps)]] = True
        touching = np.isin(overlaps.annotated_ids, touching_ids(annotated))
        return cls(areas_px=overlaps.annotated_areas_px, found=found, touching=touching)

    @classmethod
    def concatenate(cls, parts: Sequence[AnnotatedNuclei]) -> AnnotatedNuclei:
        """Return the nuclei of several images, one after the other."""
        return cls(
            areas_px=np.concatenate([np.zeros(0, np.int64), *(part.areas_px for part in parts)]),
            found=np.concatenate([np.zeros(0, np.bool_), *(part.found for part in parts)]),
            touching=np.concatenate([np.zeros(0, np.bool_), *(part.touching for part in parts)]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundShare:
    """How many nuclei of a kind were found at IoU > 0.5.

    Attributes:
        name: of the kind.
        annotated: nuclei of it.
        found: of these.
    """

    name: str
    annotated: int
    found: int

    @property
    def recall(self) -> float:
        """Return the share that was found, percent; NaN where there is none."""
        return 100 * self.found / self.annotated if self.annotated else float("nan")


def image_fates(overlaps: Overlaps) -> ImageFates:
    """Return what became of the nuclei of an image."""
    rows, columns = overlaps.annotated_indices, overlaps.predicted_indices
    matched = matched_pairs(overlaps)
    annotated = np.full(overlaps.annotated_count, int(Fate.MISSED))
    predicted = np.full(overlaps.predicted_count, int(Fate.FALSE))
    annotated[rows[matched]], predicted[columns[matched]] = Fate.MATCHED, Fate.MATCHED
    # Splits and merges say more than a match: the largest piece of a split nucleus may match it.
    merged = _held_by_one(columns, 2 * overlaps.intersections_px > overlaps.annotated_areas_px[rows])
    annotated[rows[merged]] = Fate.MERGED
    split = _held_by_one(rows, 2 * overlaps.intersections_px > overlaps.predicted_areas_px[columns])
    predicted[columns[split]] = Fate.SPLIT
    annotated[rows[split]] = Fate.SPLIT
    predicted[columns[merged]] = Fate.MERGED
    return ImageFates(annotated=annotated, predicted=predicted)


def touching_ids(label_map: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the ids of (H, W) nuclei that touch another one, at an edge or corner of a pixel; ascending."""
    found = []
    for one, other in (
        (label_map[:, :-1], label_map[:, 1:]),
        (label_map[:-1], label_map[1:]),
        (label_map[:-1, :-1], label_map[1:, 1:]),
        (label_map[:-1, 1:], label_map[1:, :-1]),
    ):
        border = (one != other) & (one > 0) & (other > 0)
        found += [one[border], other[border]]
    return np.unique(np.concatenate(found)).astype(np.int64)


def recall_by_contact(nuclei: AnnotatedNuclei) -> tuple[FoundShare, FoundShare]:
    """Return the shares of touching and of isolated nuclei that were found."""
    return (
        _share("touching", nuclei.found[nuclei.touching]),
        _share("isolated", nuclei.found[~nuclei.touching]),
    )


def recall_by_area(nuclei: AnnotatedNuclei, bins: int = 8) -> tuple[FoundShare, ...]:
    """Return the shares found of about equally many nuclei each, by rising area; equal areas stay together."""
    if not len(nuclei):
        return ()
    edges = np.unique(np.quantile(nuclei.areas_px, np.arange(1, bins) / bins, method="higher"))
    places = np.searchsorted(edges, nuclei.areas_px, side="right")
    shares = []
    for place in np.unique(places).tolist():
        areas = nuclei.areas_px[places == place]
        shares.append(_share(f"{areas.min()} to {areas.max()} px", nuclei.found[places == place]))
    return tuple(shares)


def _share(name: str, found: NDArray[np.bool_]) -> FoundShare:
    return FoundShare(name=name, annotated=len(found), found=int(np.count_nonzero(found)))


def _held_by_one(holders: NDArray[np.int64], held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (K,) the pairs in which the holder holds most of the other, and of a second one too."""
    counts = np.bincount(holders[held], minlength=int(holders.max(initial=-1)) + 1)
    return np.asarray(held & (counts[holders] >= 2) if len(holders) else held)
