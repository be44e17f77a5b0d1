"""Images that look alike, turned and mirrored copies too: a perceptual hash by the discrete cosine transform."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

HASH_PX = 64
BLOCK = 16
HASH_BITS = BLOCK * BLOCK - 1
# Of 255 bits, measured by benchmarks/near_identical.py (docs/audit.md): resized, recompressed and turned copies differ
# in at most 18, slightly cropped and tilted ones in at most 65; of different images the closest two in 89.
MOST_DIFFERING_BITS = 72
# Grey values; an image without any structure (glass, black) has no hash that says something.
LEAST_CONTRAST = 2.0
COMPARED_AT_ONCE = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class LikePair:
    """Two images that look alike.

    Attributes:
        first: index of the one.
        second: index of the other, which is higher.
        differing_bits: of the hash's `HASH_BITS`, in the orientation in which they are most alike.
    """

    first: int
    second: int
    differing_bits: int


def perceptual_hash(image_rgb: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Return the (255,) signs of an image's lowest spatial frequencies, None for an image without structure.

    The image is shrunk to 64 x 64 px by areas; of its discrete cosine transform the first 16 x 16 coefficients count,
    without the mean. This is Zauner's pHash (2010) with 255 bits for 63, and with 0 for the median, so that mirroring
    flips known signs.

    Args:
        image_rgb: (H, W, 3).
    """
    # Shrunk before it becomes grey: a copy of the whole image is never made.
    small = cv2.resize(image_rgb, (HASH_PX, HASH_PX), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if grey.std() < LEAST_CONTRAST:
        return None
    return np.asarray((cv2.dct(grey)[:BLOCK, :BLOCK] > 0).reshape(-1)[1:], np.bool_)


def like_pairs(hashes: NDArray[np.bool_]) -> list[LikePair]:
    """Return the pairs of images that look alike in any of the eight orientations, in their order.

    Args:
        hashes: (N, 255).
    """
    count = len(hashes)
    signs = np.zeros((count, BLOCK * BLOCK), np.float32)
    signs[:, 1:] = np.where(hashes, 1, -1)
    turned = [each.reshape(count, BLOCK * BLOCK).T for each in _orientations(signs.reshape(count, BLOCK, BLOCK))]
    pairs = []
    for start in range(0, count, COMPARED_AT_ONCE):
        some = signs[start : start + COMPARED_AT_ONCE]
        agreement = np.full((len(some), count - start), -np.inf, np.float32)
        for each in turned:
            np.maximum(agreement, some @ each[:, start:], out=agreement)
        # Equal signs less unequal ones are 255 less twice the unequal ones.
        differing = np.rint((HASH_BITS - agreement) / 2).astype(np.int64)
        rows, columns = np.nonzero(np.triu(differing <= MOST_DIFFERING_BITS, 1))
        pairs += [
            LikePair(first=start + row, second=start + column, differing_bits=int(differing[row, column]))
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
        ]
    return pairs


def _orientations(signs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the signs of the eight turned and mirrored images: mirroring flips the odd frequencies along its axis."""
    flips = np.where(np.arange(BLOCK) % 2, -1, 1).astype(np.float32)
    along_x, along_y = flips[None, None, :], flips[None, :, None]
    return [
        side * mirrored
        for side in (signs, signs.transpose(0, 2, 1))
        for mirrored in (np.float32(1), along_x, along_y, along_x * along_y)
    ]
