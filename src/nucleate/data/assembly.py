"""One source image turned into a data set's image and annotations: resized, normalised, cleaned, encoded."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame, Masks
from nucleate.core.stain import StainNormalisation, fit_reinhard, median_statistics
from nucleate.data.audit.facts import ImageFacts, examine_image
from nucleate.data.coco_file import ImageRecord
from nucleate.data.read_ahead import ReadPixels
from nucleate.data.resizing import resize_image, resize_masks, resize_nearest, resized_frame
from nucleate.data.segmentations import MaskEncoding, Segmentation, encode_segmentations
from nucleate.data.sources import Dropped, Mended, Source, SourceImage, SourceNuclei
from nucleate.data.sources.coco import VAGUE_FOLDER
from nucleate.data.sources.source import check_same_size, read_pixels, stored_mode
from nucleate.errors import DataError
from nucleate.files import read_label_map, write_image, write_path

Normalise = Literal["none", "macenko", "reinhard"]

IMAGES_FOLDER = "images"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Bits a channel and colour type, behind the width and height.
EIGHT_BIT_RGB = bytes([8, 2])
# Where ImageMagick, Photoshop and Pillow keep EXIF, or XMP with an orientation, beside EXIF's own chunk.
TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
EXIF_KEYWORDS = frozenset(
    {b"raw profile type exif", b"raw profile type app1", b"raw profile type xmp", b"xml:com.adobe.xmp"}
)
ENCODED_AT_ONCE_PX = 2**21


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblySettings:
    """What is done to every image.

    Attributes:
        masks: how masks are written.
        min_area_px: nuclei with fewer pixels are dropped, counted and named.
        short_side_px: images are resized to it, None leaves them.
    """

    masks: MaskEncoding = "auto"
    min_area_px: int = 1
    short_side_px: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A source image that was chosen.

    Attributes:
        source: where it comes from.
        image: which one.
        key: its path, preceded by the source's name where there are several sources; decides every order.
        source_name: what `images[].source` will say.
        file_name: in the data set.
    """

    source: Source
    image: SourceImage
    key: str
    source_name: str
    file_name: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedNucleus:
    """One annotation of the data set."""

    segmentation: Segmentation
    label_id: int
    class_name: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedImage:
    """One image of the data set, written.

    Attributes:
        key: of its candidate.
        record: with a provisional id 0; ids are given once all images are known.
        nuclei: in the source's order.
        dropped: what was left out of it.
        mended: what is in it in another form than the source's.
        facts: what the audit keeps of it.
    """

    key: str
    record: ImageRecord
    nuclei: tuple[PreparedNucleus, ...]
    facts: ImageFacts
    dropped: tuple[Dropped, ...]
    mended: tuple[Mended, ...] = ()


def prepare_image(
    candidate: Candidate,
    folder: Path,
    *,
    settings: AssemblySettings,
    stain: StainNormalisation | None,
    read: ReadPixels | None = None,
) -> PreparedImage:
    """Write one image, and its vague areas where it has such, and return its annotations.

    Args:
        candidate: the image.
        folder: of the data set; images/ and vague_areas/ in it are written to.
        settings: what is done to it.
        stain: the normalisation, None for none.
        read: returns the image's pixels, where they are being read already.

    Raises:
        DataError: image or annotation is unreadable, or their sizes differ.
    """
    image = candidate.image
    pixels = read_pixels(image) if read is None else read()
    frame = Frame(height_px=pixels.shape[0], width_px=pixels.shape[1], mpp=image.mpp)
    nuclei = candidate.source.read_nuclei(image, frame)
    if settings.short_side_px is not None:
        frame = resized_frame(frame, settings.short_side_px)
    resized = resize_image(pixels, frame)
    normalised = resized if stain is None else stain.apply(resized)
    was_normalised = normalised is not resized
    if image.vague_mask is not None:
        _write_vague(image.vague_mask, pixels.shape[:2], frame, folder / VAGUE_FOLDER / candidate.file_name)
    target = folder / IMAGES_FOLDER / candidate.file_name
    if normalised is pixels and _is_plain_png(image.path):
        with write_path(target) as temporary:
            shutil.copyfile(image.path, temporary)
    else:
        write_image(target, normalised)
    masks = resize_masks(nuclei.masks, frame)
    kept, dropped = _large_enough(candidate, nuclei, masks, settings)
    # Copied only where some are left out: the masks of a large image take as much as its pixels.
    chosen = masks if len(kept) == len(masks) else masks.select(kept)
    facts = examine_image(normalised, chosen, nuclei.label_ids[kept], mode=stored_mode(image))
    record = ImageRecord(
        image_id=0,
        file_name=candidate.file_name,
        frame=frame,
        organ=image.organ,
        species=image.species,
        source=candidate.source_name,
        stain=stain if was_normalised else image.stain,
        magnification=round(image.magnification * frame.height_px / pixels.shape[0], 6),
    )
    return PreparedImage(
        key=candidate.key,
        record=record,
        nuclei=_encoded(nuclei, masks, kept, settings),
        facts=facts,
        dropped=nuclei.dropped + dropped,
        mended=nuclei.mended,
    )


def stain_reference(
    candidates: Iterable[Candidate], normalise: Normalise, *, short_side_px: int | None
) -> StainNormalisation | None:
    """Return the normalisation to apply: Macenko's towards the literature, Reinhard's towards the images' own median.

    Raises:
        DataError: an image is normalised already, or `reinhard` finds no stained image.
    """
    chosen = list(candidates)
    if normalise == "none":
        return None
    done = next((each for each in chosen if each.image.stain is not None), None)
    if done is not None:
        raise DataError("is normalised already: prepare it without --normalise", path=done.key)
    match normalise:
        case "macenko":
            return StainNormalisation.macenko()
        case "reinhard":
            fitted = [fit_reinhard(pixels) for pixels in _readable(chosen, short_side_px)]
            statistics = [each for each in fitted if each is not None]
            if not statistics:
                raise DataError("--normalise reinhard: no image is stained enough to take colours from")
            return StainNormalisation.reinhard(median_statistics(statistics))
        case _:
            assert_never(normalise)


def _readable(candidates: list[Candidate], short_side_px: int | None) -> Iterable[NDArray[np.uint8]]:
    for candidate in candidates:
        try:
            pixels = read_pixels(candidate.image)
        except DataError:
            # `prepare_image` meets the same error and counts it.
            continue
        frame = Frame(height_px=pixels.shape[0], width_px=pixels.shape[1])
        yield pixels if short_side_px is None else resize_image(pixels, resized_frame(frame, short_side_px))


def _large_enough(
    candidate: Candidate, nuclei: SourceNuclei, masks: Masks, settings: AssemblySettings
) -> tuple[NDArray[np.int64], tuple[Dropped, ...]]:
    """Return the indices of the nuclei to keep, and what is said of the others."""
    before, areas = nuclei.masks.areas_px(), masks.areas_px()
    minimum = max(1, settings.min_area_px)
    dropped = []
    for index in np.flatnonzero(areas < minimum):
        if before[index] == 0:
            reason = "nucleus without a pixel"
        elif areas[index] == 0:
            reason = "nucleus lost by resizing"
        else:
            reason = f"nucleus under {minimum} px"
        item = f"{candidate.key}: nucleus {nuclei.label_ids[index]} ({areas[index]} px)"
        dropped.append(Dropped(reason=reason, item=item))
    return np.flatnonzero(areas >= minimum), tuple(dropped)


def _encoded(
    nuclei: SourceNuclei, masks: Masks, kept: NDArray[np.int64], settings: AssemblySettings
) -> tuple[PreparedNucleus, ...]:
    encoded = [
        segmentation
        for some in _some_at_a_time(masks, kept)
        for segmentation in encode_segmentations(masks.select(some), settings.masks)
    ]
    return tuple(
        PreparedNucleus(
            segmentation=segmentation,
            label_id=int(nuclei.label_ids[index]),
            class_name=nuclei.class_names[int(nuclei.class_indices[index])],
            score=float(nuclei.scores[index]),
        )
        for index, segmentation in zip(kept, encoded, strict=True)
    )


def _some_at_a_time(masks: Masks, chosen: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the chosen indices in parts: encoding takes some hundred bytes a pixel."""
    if len(chosen) == 0:
        return []
    reached = np.cumsum(np.diff(masks.offsets)[chosen]) // ENCODED_AT_ONCE_PX
    return np.split(chosen, np.flatnonzero(np.diff(reached)) + 1)


def _write_vague(path: Path, shape: tuple[int, ...], frame: Frame, target: Path) -> None:
    vague = read_label_map(path)
    check_same_size(vague.shape, Frame(height_px=shape[0], width_px=shape[1]), "mask of vague areas", path)
    write_image(target, resize_nearest((vague != 0).astype(np.uint8) * np.uint8(255), frame))


def _is_plain_png(path: Path) -> bool:
    return path.suffix.lower() == ".png" and _has_plain_chunks(path)


def _keyword(text: bytes) -> bytes:
    return text.split(b"\0", 1)[0].lower()


def _has_plain_chunks(path: Path) -> bool:
    """Return whether a PNG is of 8-bit RGB and no chunk can turn it.

    Pillow opens 16-bit RGB as RGB too, but other readers would not see the same pixels in it; and it would decode all
    pixels to see EXIF behind them.
    """
    is_rgb = False
    try:
        with path.open("rb") as file:
            if file.read(len(PNG_SIGNATURE)) != PNG_SIGNATURE:
                return False
            while len(head := file.read(8)) == 8:
                length, kind = struct.unpack(">I4s", head)
                following = file.tell() + length + 4
                if kind == b"IHDR":
                    is_rgb = file.read(min(length, 10))[8:] == EIGHT_BIT_RGB
                if kind == b"eXIf" or (kind in TEXT_CHUNKS and _keyword(file.read(min(length, 80))) in EXIF_KEYWORDS):
                    return False
                file.seek(following)
    except OSError:
        return False
    return is_rgb
