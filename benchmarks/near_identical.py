"""How far apart the perceptual hashes of copies and of different images are (docs/audit.md).

    python benchmarks/near_identical.py IMAGES... [--every 3]

IMAGES are folders; all images below them must be different. Prints the closest different images, and for each kind of
copy the largest and the median number of differing bits.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nucleate.data.audit import likeness
from nucleate.data.audit.likeness import HASH_BITS, MOST_DIFFERING_BITS, like_pairs, perceptual_hash
from nucleate.data.sources.source import image_files
from nucleate.errors import DataError
from nucleate.files import read_rgb

Rgb = NDArray[np.uint8]


def jpeg(image: Rgb, quality: int) -> Rgb:
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="JPEG", quality=quality)
    return np.asarray(Image.open(content))


def resized(image: Rgb, scale: float, interpolation: int) -> Rgb:
    return np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=interpolation), np.uint8)


def tilted(image: Rgb, degrees: float) -> Rgb:
    height_px, width_px = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width_px / 2, height_px / 2), degrees, 1)
    turned = cv2.warpAffine(image, matrix, (width_px, height_px), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(turned, np.uint8)


def noisy(image: Rgb) -> Rgb:
    noise = np.random.default_rng(0).normal(0, 10, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


COPIES: dict[str, Callable[[Rgb], Rgb]] = {
    "JPEG of quality 30": lambda image: jpeg(image, 30),
    "half size": lambda image: resized(image, 0.5, cv2.INTER_AREA),
    "a quarter of the size": lambda image: resized(image, 0.25, cv2.INTER_AREA),
    "1.37 times the size": lambda image: resized(image, 1.37, cv2.INTER_CUBIC),
    "0.6 of the size, nearest pixels": lambda image: resized(image, 0.6, cv2.INTER_NEAREST),
    "turned by 90 degrees": lambda image: np.ascontiguousarray(np.rot90(image)),
    "mirrored, turned, half size": lambda image: resized(np.ascontiguousarray(np.rot90(image[::-1])), 0.5, 3),
    "brighter by 15 %": lambda image: np.clip(image * 1.15 + 5, 0, 255).astype(np.uint8),
    "other colours": lambda image: np.clip(image * np.array([0.8, 1, 1.1]), 0, 255).astype(np.uint8),
    "noise of 10": noisy,
    "2 % cut off on two sides": lambda image: np.ascontiguousarray(image[len(image) // 50 :, image.shape[1] // 50 :]),
    "tilted by 3 degrees": lambda image: tilted(image, 3),
    "a quarter cut off": lambda image: np.ascontiguousarray(image[len(image) // 4 :]),
}


def differing_bits(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> int:
    (pair,) = like_pairs(np.stack([one, other]))
    return pair.differing_bits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--every", type=int, default=3, help="take copies of every so many images")
    arguments = parser.parse_args()
    limit = MOST_DIFFERING_BITS
    # All pairs are wanted here, not only those that are told.
    likeness.MOST_DIFFERING_BITS = HASH_BITS
    hashes, copies = [], {name: list[int]() for name in COPIES}
    files = [file for folder in arguments.images for file in image_files(folder, deep=True)]
    for number, file in enumerate(files):
        try:
            image = read_rgb(file)
        except DataError:
            continue
        look = perceptual_hash(image)
        if look is None:
            continue
        hashes.append(look)
        if number % arguments.every == 0:
            for name, copy in COPIES.items():
                other = perceptual_hash(copy(image))
                copies[name].append(HASH_BITS if other is None else differing_bits(look, other))
    apart = sorted(pair.differing_bits for pair in like_pairs(np.stack(hashes)))
    print(f"{len(hashes)} images, {len(apart):,} pairs, of {HASH_BITS} bits; told up to {limit}")
    print(f"different images: least {apart[0]}, median {apart[len(apart) // 2]}")
    for name, bits in copies.items():
        found = sum(each <= limit for each in bits)
        print(f"{name}: most {max(bits)}, median {int(np.median(bits))}, found {found} of {len(bits)}")


if __name__ == "__main__":
    main()
