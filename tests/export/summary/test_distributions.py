"""Distributions from batches are numpy's within the error that is stated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nucleate.export.summary import MOST_RELATIVE_ERROR, Distribution, DistributionSketch
from nucleate.export.summary.distributions import PERCENTS


def sketched(values: NDArray[np.floating], parts: int = 1) -> Distribution:
    sketch = DistributionSketch("area_um2")
    for part in np.array_split(values, parts):
        sketch.add(part)
    return sketch.distribution()


def percentiles(found: Distribution) -> list[float | None]:
    return [found.p5, found.p25, found.median, found.p75, found.p95]


def assert_within_the_stated_error(found: Distribution, values: NDArray[np.float64]) -> None:
    """A percentile lies between two values, each off by a share of its size."""
    ordered = np.sort(values)
    for percent, value in zip(PERCENTS, percentiles(found), strict=True):
        position = percent / 100 * (len(ordered) - 1)
        around = ordered[[int(np.floor(position)), int(np.ceil(position))]]
        assert value == pytest.approx(
            np.percentile(values, percent), abs=1.01 * MOST_RELATIVE_ERROR * np.abs(around).max() + 1e-30
        )


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.lognormal(3, 0.6, 50_000),
        lambda rng: rng.normal(0, 1, 50_000),
        lambda rng: rng.integers(0, 30, 20_000).astype(float),
        lambda rng: np.concatenate([np.zeros(1000), rng.uniform(1e-6, 1e6, 1000)]),
    ],
)
def test_a_million_values_in_batches_are_numpys(draw: object) -> None:
    values = draw(np.random.default_rng(3))  # type: ignore[operator]
    found = sketched(values.astype(np.float32).astype(np.float64), parts=37)
    values = values.astype(np.float32).astype(np.float64)
    assert_within_the_stated_error(found, values)
    assert (found.count, found.undefined) == (len(values), 0)
    assert found.mean == pytest.approx(values.mean(), rel=1e-12, abs=1e-12)
    assert found.sd == pytest.approx(values.std(ddof=1), rel=1e-12)
    assert (found.minimum, found.maximum) == (values.min(), values.max())


@given(
    values=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=60),
    parts=st.integers(1, 5),
)
def test_any_values_are_numpys(values: list[float], parts: int) -> None:
    array = np.array(values)
    found = sketched(array, parts)
    assert_within_the_stated_error(found, array)
    assert [found.minimum, found.maximum] == [array.min(), array.max()]
    rising = [found.minimum, *percentiles(found), found.maximum]
    assert rising == sorted(rising)  # type: ignore[type-var]


def test_percentiles_dont_depend_on_batches_or_order() -> None:
    values = np.random.default_rng(0).normal(0, 10, 9000)
    whole = sketched(values)
    for parts in (3, 9000):
        assert percentiles(sketched(values[::-1], parts)) == percentiles(whole)


def test_small_whole_numbers_are_exact() -> None:
    """Nuclei of 4 pixels once had a median of 4.002, the middle of their bin."""
    values = np.arange(1.0, 1025)
    for value in values:
        assert sketched(np.array([0.0, value, 5000])).median == value


def test_what_is_not_finite_is_undefined() -> None:
    found = sketched(np.array([1.0, np.nan, 3.0, np.inf, -np.inf]))
    assert (found.count, found.undefined, found.mean, found.median) == (2, 3, 2.0, 2.0)


def test_nothing_has_no_values() -> None:
    found = DistributionSketch("x").distribution()
    expected = dict.fromkeys(["mean", "sd", "minimum", "p5", "p25", "median", "p75", "p95", "maximum"])
    assert found.to_dict() == {"name": "x", "count": 0, "undefined": 0, **expected}


def test_one_value_has_no_deviation() -> None:
    found = sketched(np.array([7.0]))
    assert (found.sd, found.mean, found.p5, found.p95) == (None, 7.0, 7.0, 7.0)


def test_memory_is_bounded_by_bins_not_by_values() -> None:
    sketch = DistributionSketch("x")
    rng = np.random.default_rng(0)
    for _ in range(50):
        sketch.add(rng.lognormal(4, 0.5, 10_000))
    sketch.distribution()
    assert len(sketch._bins) < 5000
    assert sketch._waiting == []
