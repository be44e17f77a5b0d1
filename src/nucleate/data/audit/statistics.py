"""Numbers of a data set by organ: images, nuclei, their sizes and contacts, colours and stains."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core.stain import DEFAULT_FIT, WHITE_PERCENTILE, StainMatrix, fit_macenko_pixels
from nucleate.data.audit.findings import AuditedImage

Rgb = tuple[int, int, int]
UNKNOWN = "not known"
# A percentile of an organ's colours needs no more.
MOST_SAMPLES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupStatistics:
    """The images of one organ, or all of them.

    Attributes:
        name: of the organ.
        images: number of images.
        nuclei_an_image: (images,).
        areas_px: (nuclei,).
        diameters_px: (nuclei,) of circles of these areas.
        diameters_um: (nuclei,), None where an image's um a pixel is unknown.
        touching: number of nuclei that touch another.
        colour: mean of what is not glass; None where all is.
        stain: haematoxylin and eosin (Macenko 2009), None for pale, glass and one-stain images.
    """

    name: str
    images: int
    nuclei_an_image: NDArray[np.int64]
    areas_px: NDArray[np.int64]
    diameters_px: NDArray[np.float64]
    diameters_um: NDArray[np.float64] | None
    touching: int
    colour: Rgb | None
    stain: StainMatrix | None

    @property
    def nuclei(self) -> int:
        """Return the number of nuclei."""
        return len(self.areas_px)

    @property
    def touching_percent(self) -> float:
        """Return the share of nuclei that touch another, in percent; NaN without a nucleus."""
        return 100 * self.touching / self.nuclei if self.nuclei else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DatasetStatistics:
    """The statistics of a data set.

    Attributes:
        overall: of all images.
        grouped_by: what the groups are: organ, or source where no organ is known.
        groups: most images first; () where there is only one.
        classes: number of nuclei by class, most first.
        splits: (name, images, nuclei) by split.
    """

    overall: GroupStatistics
    grouped_by: str
    groups: tuple[GroupStatistics, ...]
    classes: tuple[tuple[str, int], ...]
    splits: tuple[tuple[str, int, int], ...]


def dataset_statistics(images: Sequence[AuditedImage]) -> DatasetStatistics:
    """Return the statistics of at least one image."""
    by_organ = any(image.organ is not None for image in images)
    grouped: dict[str, list[AuditedImage]] = defaultdict(list)
    for image in images:
        grouped[group_name(image, by_organ=by_organ)].append(image)
    # Each image counts for its group and for all: its colours are balanced once.
    balanced = {id(image): _balanced(image.facts.samples_rgb) for image in images}
    groups = [_statistics(name, members, balanced) for name, members in grouped.items()] if len(grouped) > 1 else []
    classes = Counter(name for image in images for name in image.class_names)
    return DatasetStatistics(
        overall=_statistics("all images", images, balanced),
        grouped_by="organ" if by_organ else "source",
        groups=tuple(sorted(groups, key=lambda group: (-group.images, group.name))),
        classes=tuple(sorted(classes.items(), key=lambda each: (-each[1], each[0]))),
        splits=split_counts(images),
    )


def split_counts(images: Sequence[AuditedImage]) -> tuple[tuple[str, int, int], ...]:
    """Return (name, images, nuclei) by split: train, val and test first."""
    splits: dict[str, list[AuditedImage]] = {name: [] for name in ("train", "val", "test")}
    for image in images:
        for split in image.splits:
            splits.setdefault(split, []).append(image)
    return tuple(
        (name, len(members), sum(len(image.nuclei) for image in members)) for name, members in splits.items() if members
    )


def group_name(image: AuditedImage, *, by_organ: bool) -> str:
    """Return the organ, else the source, that an image is counted for."""
    return (image.organ if by_organ else image.source) or UNKNOWN


def _statistics(
    name: str, images: Sequence[AuditedImage], balanced: Mapping[int, NDArray[np.uint8]]
) -> GroupStatistics:
    diameters = [image.nuclei.diameters_px for image in images]
    mpps = [image.frame.mpp for image in images]
    known = [mpp for mpp in mpps if mpp is not None]
    plain = _thinned(np.concatenate([image.facts.samples_rgb for image in images]))
    pixels = _thinned(np.concatenate([balanced[id(image)] for image in images]))
    is_tissue = (pixels < DEFAULT_FIT.white * np.exp(-DEFAULT_FIT.minimum_od)).any(axis=1)
    return GroupStatistics(
        name=name,
        images=len(images),
        nuclei_an_image=np.array([len(image.nuclei) for image in images], np.int64),
        areas_px=np.concatenate([image.nuclei.areas_px for image in images]),
        diameters_px=np.concatenate(diameters),
        diameters_um=np.concatenate([each * mpp for each, mpp in zip(diameters, known, strict=True)])
        if len(known) == len(images)
        else None,
        touching=sum(int(np.count_nonzero(image.nuclei.touching)) for image in images),
        colour=_mean_colour(plain[is_tissue]) if is_tissue.any() else None,
        stain=fit_macenko_pixels(pixels),
    )


def _thinned(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return about `MOST_SAMPLES` of (N, 3) colours, evenly taken."""
    return pixels[:: -(-len(pixels) // MOST_SAMPLES)]


def _balanced(samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image's colours against its own glass, as the stain normalisation takes them."""
    white = np.percentile(samples, WHITE_PERCENTILE, axis=0)
    if white.min() < 1:
        return samples
    return np.asarray(np.clip(np.rint(samples * (DEFAULT_FIT.white / white)), 0, 255), np.uint8)


def _mean_colour(pixels: NDArray[np.uint8]) -> Rgb:
    red, green, blue = np.rint(pixels.mean(axis=0)).astype(int).tolist()
    return red, green, blue
