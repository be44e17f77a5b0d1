from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nucleate.data.audit.likeness import HASH_BITS, MOST_DIFFERING_BITS, LikePair, like_pairs, perceptual_hash
from tests.synthetic import draw_he

Rgb = NDArray[np.uint8]


def look(image: Rgb) -> NDArray[np.bool_]:
    found = perceptual_hash(image)
    assert found is not None
    return found


def recompressed(image: Rgb) -> Rgb:
    content = io.BytesIO()
    Image.fromarray(image).save(content, format="JPEG", quality=40)
    return np.asarray(Image.open(content))


def resized(image: Rgb) -> Rgb:
    return np.asarray(cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA), np.uint8)


COPIES: dict[str, Callable[[Rgb], Rgb]] = {
    "recompressed": recompressed,
    "resized": resized,
    "turned": lambda image: np.ascontiguousarray(np.rot90(image)),
    "upside down": lambda image: np.ascontiguousarray(np.rot90(image, 2)),
    "turned back": lambda image: np.ascontiguousarray(np.rot90(image, 3)),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "mirrored and turned": lambda image: np.ascontiguousarray(np.rot90(image[::-1])),
    "brighter": lambda image: np.clip(image * 1.1, 0, 255).astype(np.uint8),
    "resized, turned and recompressed": lambda image: recompressed(resized(np.ascontiguousarray(np.rot90(image)))),
}


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_found_and_other_images_are_not(name: str) -> None:
    images = [draw_he(seed=seed, nuclei=20).image_rgb for seed in range(6)]
    hashes = [look(image) for image in images] + [look(COPIES[name](images[2]))]
    (pair,) = like_pairs(np.stack(hashes))
    assert (pair.first, pair.second) == (2, 6)
    assert pair.differing_bits <= MOST_DIFFERING_BITS


def test_turned_copies_differ_in_no_bit_but_those_that_rounding_flips() -> None:
    image = draw_he(seed=1).image_rgb
    hashes = np.stack([look(image), look(np.ascontiguousarray(np.rot90(image)))])
    (pair,) = like_pairs(hashes)
    assert pair.differing_bits <= 4


def test_pairs_are_found_across_parts_of_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleate.data.audit.likeness.COMPARED_AT_ONCE", 2)
    hashes = np.random.default_rng(0).random((7, HASH_BITS)) > 0.5
    hashes[6], hashes[3] = hashes[1], hashes[2]
    assert like_pairs(hashes) == [
        LikePair(first=1, second=6, differing_bits=0),
        LikePair(first=2, second=3, differing_bits=0),
    ]


def test_no_image_is_like_no_other() -> None:
    assert like_pairs(np.zeros((0, HASH_BITS), np.bool_)) == []


def test_glass_has_no_look() -> None:
    assert perceptual_hash(np.full((90, 70, 3), 240, np.uint8)) is None
