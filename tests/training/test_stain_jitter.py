from __future__ import annotations

import numpy as np

from nucleate.training.mask_rcnn.settings import StainJitter
from nucleate.training.mask_rcnn.stain_jitter import LITERATURE_STAINS_OD, jitter_stain
from tests.synthetic import draw_he

STILL = {
    "matrix": 0.0, "haematoxylin": (1.0, 1.0), "eosin": (1.0, 1.0), "bias": 0.0, "white": (1.0, 1.0),
    "hue_degrees": 0.0, "noise": 0.0, "blur_px": 0.0,
}  # fmt: skip


def jittered(seed: int = 0, **changed: object) -> tuple[np.ndarray, np.ndarray]:
    image = draw_he().image_rgb
    settings = StainJitter(probability=1.0, **(STILL | changed))  # type: ignore[arg-type]
    return image, jitter_stain(image, None, settings, np.random.default_rng(seed))


def test_a_jitter_of_nothing_changes_no_pixel_by_more_than_rounding() -> None:
    image, changed = jittered()
    assert np.abs(image.astype(int) - changed).max() <= 1


def test_probability_zero_returns_the_image_itself() -> None:
    image = draw_he().image_rgb
    assert jitter_stain(image, None, StainJitter(), np.random.default_rng(0)) is image


def test_doubled_haematoxylin_darkens_nuclei_more_than_tissue() -> None:
    image, changed = jittered(haematoxylin=(2.0, 2.0))
    nuclei = draw_he().label_map > 0
    darkening = image.astype(float).mean(axis=2) - changed.mean(axis=2)
    assert darkening[nuclei].mean() > 2 * darkening[~nuclei].mean()


def test_own_stain_vectors_are_used() -> None:
    image = draw_he().image_rgb
    settings = StainJitter(probability=1.0, **(STILL | {"eosin": (2.0, 2.0)}))  # type: ignore[arg-type]
    literature = jitter_stain(image, None, settings, np.random.default_rng(0))
    own = jitter_stain(image, LITERATURE_STAINS_OD[::-1].copy(), settings, np.random.default_rng(0))
    assert not np.array_equal(literature, own)


def test_every_effect_together_stays_an_8_bit_image() -> None:
    image = draw_he().image_rgb
    for seed in range(8):
        changed = jitter_stain(image, None, StainJitter(probability=1.0), np.random.default_rng(seed))
        assert changed.dtype == np.uint8
        assert changed.shape == image.shape
