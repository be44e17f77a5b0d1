"""How the values of a million nuclei are distributed, in memory that doesn't grow with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Values are kept with this many binary digits after the first: 2,048 bins hold areas of 10 to 160 um2.
KEPT_BITS = 9
# A percentile is the exact one of values that are each off by at most this share of their size.
MOST_RELATIVE_ERROR = 2.0 ** -(KEPT_BITS + 1)
PERCENTS = (5, 25, 50, 75, 95)

_DROPPED_BITS = 23 - KEPT_BITS
_LEAST_WAITING = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Values of one measurement. What is not defined is None: everything of no value, the deviation of one.

    Attributes:
        name: of the measurement, with its unit.
        count: nuclei for which it is defined (finite).
        undefined: nuclei for which it is not.
        mean: exact.
        sd: sample standard deviation (n - 1), exact.
        minimum: exact.
        p5: the 5th percentile, numpy's linear definition, of values rounded by up to 0.1 % of their size.
        p25: the 25th.
        median: the 50th.
        p75: the 75th.
        p95: the 95th.
        maximum: exact.
    """

    name: str
    count: int
    undefined: int
    mean: float | None
    sd: float | None
    minimum: float | None
    p5: float | None
    p25: float | None
    median: float | None
    p75: float | None
    p95: float | None
    maximum: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


class DistributionSketch:
    """Collects values batch by batch; their order doesn't change percentiles.

    Values become float32 (as the tables keep them), rounded to ten binary digits, and are counted bin by bin: never
    more than 2**18 bins, a few thousand for what nuclei measure.

    Args:
        name: of the measurement.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._undefined = 0
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0
        self._minimum, self._maximum = math.inf, -math.inf
        self._bins = np.zeros(0, np.int64)
        self._counts = np.zeros(0, np.int64)
        self._waiting: list[NDArray[np.int64]] = []
        self._waiting_count = 0

    def add(self, values: NDArray[np.floating] | NDArray[np.integer]) -> None:
        """Add (N,) values; what is not finite is counted as undefined."""
        numbers = np.asarray(values, np.float64)
        known = numbers[np.isfinite(numbers)]
        self._undefined += len(numbers) - len(known)
        if not len(known):
            return
        # Moments of batches are merged (Chan 1979): sums of squares would lose the deviation's digits.
        mean, total = float(known.mean()), self._count + len(known)
        difference = mean - self._mean
        self._squares += float(((known - mean) ** 2).sum()) + difference**2 * self._count * len(known) / total
        self._mean += difference * len(known) / total
        self._count = total
        self._minimum = min(self._minimum, float(known.min()))
        self._maximum = max(self._maximum, float(known.max()))
        self._waiting.append(_bins_of(known))
        self._waiting_count += len(known)
        if self._waiting_count > max(_LEAST_WAITING, 4 * len(self._bins)):
            self._merge()

    def distribution(self) -> Distribution:
        """Return what has been added so far."""
        self._merge()
        known = self._count > 0
        percentiles = self._percentiles() if known else [None] * len(PERCENTS)
        p5, p25, median, p75, p95 = percentiles
        return Distribution(
            name=self.name,
            count=self._count,
            undefined=self._undefined,
            mean=self._mean if known else None,
            sd=math.sqrt(self._squares / (self._count - 1)) if self._count > 1 else None,
            minimum=self._minimum if known else None,
            p5=p5,
            p25=p25,
            median=median,
            p75=p75,
            p95=p95,
            maximum=self._maximum if known else None,
        )

    def _merge(self) -> None:
        if not self._waiting:
            return
        waiting_bins, waiting_counts = np.unique(np.concatenate(self._waiting), return_counts=True)
        bins = np.concatenate([self._bins, waiting_bins])
        self._bins, places = np.unique(bins, return_inverse=True)
        counts = np.zeros(len(self._bins), np.int64)
        np.add.at(counts, places, np.concatenate([self._counts, waiting_counts]))
        self._counts = counts
        self._waiting, self._waiting_count = [], 0

    def _percentiles(self) -> list[float]:
        values = np.clip(_values_of(self._bins), self._minimum, self._maximum)
        last_ranks = np.cumsum(self._counts) - 1
        positions = np.array(PERCENTS) / 100 * (self._count - 1)
        lower = np.floor(positions)
        low = values[np.searchsorted(last_ranks, lower)]
        high = values[np.searchsorted(last_ranks, np.minimum(lower + 1, self._count - 1))]
        return [float(value) for value in low + (positions - lower) * (high - low)]


def sketches_of(names: Sequence[str]) -> tuple[DistributionSketch, ...]:
    """Return an empty sketch a name."""
    return tuple(DistributionSketch(name) for name in names)


def _bins_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return each value's bin, ascending as the values are; 0 and -0 share one."""
    limits = np.finfo(np.float32)
    single = np.clip(values, limits.min, limits.max).astype(np.float32)
    # Rounded, not cut: so counts and areas of up to ten binary digits stay what they are.
    bits = (np.abs(single).view(np.int32).astype(np.int64) + (1 << (_DROPPED_BITS - 1))) >> _DROPPED_BITS
    return np.where(single < 0, -bits, bits)


def _values_of(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the value that each bin stands for."""
    values = (np.abs(bins) << _DROPPED_BITS).astype(np.int32).view(np.float32).astype(np.float64)
    return np.where(bins < 0, -values, values)
