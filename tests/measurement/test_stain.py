from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.color import rgb2hed

from nucleate.core import Frame, Masks
from nucleate.errors import ConfigError, DataError
from nucleate.measurement import StainMeasurements, StainSettings, measure_stain, strips
from nucleate.measurement.stain import STAINS_OD
from tests.core.strategies import masks_of, stacks
from tests.measurement.scenes import drawn, mixed_sizes, of
from tests.synthetic import EOSIN_OD, HAEMATOXYLIN_OD


def one_by_one(image: NDArray[np.uint8], masks: Masks, mpp: float, settings: StainSettings) -> NDArray[np.float64]:
    """Measure with whole images, nucleus by nucleus: (N, 8)."""
    density = -np.log10(np.maximum(image, 1) / np.array(settings.white_rgb))
    stains = density @ np.linalg.inv(np.array(STAINS_OD))
    nuclei = np.zeros(masks.frame.shape, np.bool_)
    for index in range(len(masks)):
        nuclei |= masks.full(index)
    measured = np.full((len(masks), 8), np.nan)
    for index in range(len(masks)):
        inside = masks.full(index)
        if not inside.any():
            continue
        width_px = max(settings.ring_um / mpp, settings.minimum_ring_px)
        ring = (ndimage.distance_transform_edt(~inside) <= width_px + 1e-9) & ~nuclei
        for place, pixels in enumerate((inside, ring)):
            for stain in range(2):
                values = stains[pixels][:, stain]
                if len(values):
                    measured[index, 4 * place + 2 * stain :][:2] = values.mean(), values.std()
    return measured


def assert_as_one_by_one(
    image: NDArray[np.uint8], masks: Masks, mpp: float, settings: StainSettings | None = None
) -> StainMeasurements:
    settings = settings or StainSettings()
    measured = measure_stain(image, masks, mpp=mpp, settings=settings)
    found = np.stack([column for _, column in measured.columns()], axis=1)
    np.testing.assert_allclose(found, one_by_one(image, masks, mpp, settings), atol=1e-6)
    return measured


@pytest.mark.parametrize("mpp", [0.2, 0.4624, 1.7])
def test_drawn_nuclei_measure_as_one_by_one(mpp: float) -> None:
    drawing, masks = drawn(seed=5, nuclei=15)
    assert_as_one_by_one(drawing.image_rgb, masks, mpp)


@given(stacks(), st.sampled_from([0.3, 0.6, 5.0]), st.integers(0, 2**32 - 1))
def test_any_masks_measure_as_one_by_one(stack: NDArray[np.bool_], mpp: float, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (*stack.shape[1:], 3)).astype(np.uint8)
    assert_as_one_by_one(image, masks_of(stack), mpp)


def test_all_sizes_of_nuclei_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 220, 3)).astype(np.uint8)
    assert_as_one_by_one(image, mixed_sizes(), 0.5)
    monkeypatch.setattr(strips, "STRIP_PX", 500)
    assert_as_one_by_one(image, mixed_sizes(), 0.5)


def test_settings_change_white_and_ring() -> None:
    drawing, masks = drawn(seed=5)
    settings = StainSettings(white_rgb=(240.0, 235.0, 245.0), ring_um=3.0, minimum_ring_px=0.0)
    measured = assert_as_one_by_one(drawing.image_rgb, masks, 0.5, settings)
    default = measure_stain(drawing.image_rgb, masks, mpp=0.5)
    assert (measured.haematoxylin_od_mean < default.haematoxylin_od_mean).all()


def test_known_amounts_of_stain_are_found() -> None:
    """Haematoxylin of OD 0.6 and eosin of OD 0.1 in the nucleus, eosin of OD 0.3 around."""
    bitmap = np.zeros((20, 20), np.bool_)
    bitmap[6:14, 6:14] = True
    density = np.where(bitmap[..., None], 0.6 * HAEMATOXYLIN_OD + 0.1 * EOSIN_OD, 0.3 * EOSIN_OD)
    image = np.rint(255 * 10**-density).astype(np.uint8)
    stain = measure_stain(image, of(bitmap), mpp=1.0)
    assert stain.haematoxylin_od_mean[0] == pytest.approx(0.6, abs=0.01)
    assert stain.eosin_od_mean[0] == pytest.approx(0.1, abs=0.01)
    assert stain.ring_haematoxylin_od_mean[0] == pytest.approx(0, abs=0.01)
    assert stain.ring_eosin_od_mean[0] == pytest.approx(0.3, abs=0.01)
    assert stain.haematoxylin_od_sd[0] == pytest.approx(0, abs=1e-6)


def test_densities_are_those_of_rgb2hed_but_for_the_logarithms_base() -> None:
    # Away from 0, where rgb2hed cuts off.
    image = np.full((6, 6, 3), (90, 60, 150), np.uint8)
    bitmap = np.zeros((6, 6), np.bool_)
    bitmap[2:4, 2:4] = True
    stain = measure_stain(image, of(bitmap), mpp=1.0)
    by_scikit_image = rgb2hed(image)[3, 3] * 6
    assert stain.haematoxylin_od_mean[0] == pytest.approx(by_scikit_image[0], abs=1e-5)
    assert stain.eosin_od_mean[0] == pytest.approx(by_scikit_image[1], abs=1e-5)


def test_ring_has_no_pixel_of_a_neighbour_and_ends_at_the_border() -> None:
    left, right = np.zeros((2, 4, 8), np.bool_)
    left[:, :4], right[:, 4:] = True, True
    stain = measure_stain(np.zeros((4, 8, 3), np.uint8), of(left, right), mpp=0.5)
    assert np.isnan(stain.ring_haematoxylin_od_mean).all()
    assert np.isnan(stain.ring_eosin_od_sd).all()
    assert np.isfinite(stain.haematoxylin_od_mean).all()


def test_ring_is_two_pixels_wide_at_least() -> None:
    """The ring of a single pixel of 5 um: a disk of radius 2 px, 12 pixels, one of which is black."""
    bitmap = np.zeros((9, 9), np.bool_)
    bitmap[4, 4] = True
    image = np.full((9, 9, 3), 255, np.uint8)
    image[4, 6] = 0
    ring = measure_stain(image, of(bitmap), mpp=5.0).ring_eosin_od_mean[0]
    black = np.full((9, 9, 3), 0, np.uint8)
    assert ring == pytest.approx(measure_stain(black, of(bitmap), mpp=5.0).ring_eosin_od_mean[0] / 12, rel=1e-5)


def test_ring_of_whole_pixels_loses_none_to_rounding() -> None:
    assert StainSettings(ring_um=0.6, minimum_ring_px=0).ring_px(0.2) == 3


def test_nucleus_without_pixels_has_nan() -> None:
    stain = measure_stain(np.zeros((3, 3, 3), np.uint8), of(np.zeros((3, 3), np.bool_)), mpp=1.0)
    assert all(np.isnan(column).tolist() == [True] for _, column in stain.columns())


def test_no_nucleus_has_no_stain() -> None:
    stain = measure_stain(np.zeros((3, 3, 3), np.uint8), Masks.empty(Frame(height_px=3, width_px=3)), mpp=1.0)
    assert len(stain) == 0


def test_image_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match="an image of shape"):
        measure_stain(np.zeros((3, 4, 3), np.uint8), of(np.ones((3, 3), np.bool_)), mpp=1.0)


@pytest.mark.parametrize("white_rgb", [(255.0, 255.0), (0.0, 255.0, 255.0), (256.0, 1.0, 1.0), (float("nan"),) * 3])
def test_white_is_three_intensities(white_rgb: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError, match="white_rgb"):
        StainSettings(white_rgb=white_rgb)


@pytest.mark.parametrize("name", ["ring_um", "minimum_ring_px"])
@pytest.mark.parametrize("width", [-1.0, float("inf"), float("nan")])
def test_ring_width_is_a_number_from_0(name: str, width: float) -> None:
    with pytest.raises(ConfigError, match=name):
        StainSettings(**{name: width})  # type: ignore[arg-type]
