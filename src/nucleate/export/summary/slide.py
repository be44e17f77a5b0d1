"""`summary.json`: what a slide's nuclei are in one page, read off the table row group by row group."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nucleate.core import Frame
from nucleate.errors import DataError
from nucleate.export.nuclei_table import read_nuclei, read_table_info
from nucleate.export.summary.distributions import Distribution, sketches_of
from nucleate.files import write_json

SUMMARY_NAME = "summary.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCount:
    """Nuclei of one class.

    Attributes:
        name: of the class.
        count: of its nuclei.
        per_mm2: count by the area it is told with; None where that is unknown or nothing.
    """

    name: str
    count: int
    per_mm2: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a summary says of the model.

    Attributes:
        name: as `--model` takes it.
        network: its kind; "" where unknown.
        working_mpp: um/px at which it works, None where unknown.
        score_threshold: nuclei above it were kept, None where unknown.
        licence: of its weights; "" where unknown.
        commercial_use: whether that allows it.
        learned_from: its data and their licences, for people.
    """

    name: str
    network: str = ""
    working_mpp: float | None = None
    score_threshold: float | None = None
    licence: str = ""
    commercial_use: bool = False
    learned_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTime:
    """One stage of a run.

    Attributes:
        name: `reading`, `network`, ...
        seconds: it was at work.
        share: of the run's time, 0 to 1; stages overlap, so shares may add up to more than 1.
    """

    name: str
    seconds: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """How the nuclei were found, as the caller knows it.

    Attributes:
        model: the model; None takes its name from the table.
        settings: everything that decides results, as JSON values.
        versions: of this package and what computes.
        tiles: that went through the network, None where unknown.
        seconds: of the whole run, None where unknown.
        stages: what took them.
        notes: what was left out or could not be read, a sentence each.
    """

    model: ModelFacts | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    tiles: int | None = None
    seconds: float | None = None
    stages: tuple[StageTime, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideSummary:
    """A slide's nuclei in one page.

    Attributes:
        slide: file name.
        width_px: of level 0.
        height_px: of level 0.
        mpp: um a level-0 pixel, None when unknown.
        mpp_known_by: how (see `NucleiTableInfo`).
        tissue_mm2: area that was looked at, None where unknown.
        nuclei: count of all.
        nuclei_per_mm2: by tissue, None where that is unknown or nothing.
        classes: every class of the model, also those of no nucleus.
        distributions: `area_px`, `score` and every measurement.
        run: how they were found.
    """

    slide: str
    width_px: int
    height_px: int
    mpp: float | None
    mpp_known_by: str | None
    tissue_mm2: float | None
    nuclei: int
    nuclei_per_mm2: float | None
    classes: tuple[ClassCount, ...]
    distributions: tuple[Distribution, ...]
    run: RunFacts

    def distribution(self, name: str) -> Distribution:
        """Return one measurement's distribution.

        Raises:
            DataError: there is none of that name.
        """
        for each in self.distributions:
            if each.name == name:
                return each
        raise DataError(f"no measurement {name!r}; there are: {', '.join(each.name for each in self.distributions)}")

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, numbers that are not finite as null."""
        content = {"schema_version": SCHEMA_VERSION, **_json_values(asdict(self))}
        content["distributions"] = {each.pop("name"): each for each in content["distributions"]}
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SlideSummary:
        """Return what `to_dict` was made of."""
        values = {name: value for name, value in content.items() if name != "schema_version"}
        run = dict(values["run"])
        run["model"] = None if run["model"] is None else ModelFacts(**run["model"])
        run["stages"] = tuple(StageTime(**stage) for stage in run["stages"])
        run["notes"] = tuple(run["notes"])
        values["run"] = RunFacts(**run)
        values["classes"] = tuple(ClassCount(**each) for each in values["classes"])
        values["distributions"] = tuple(
            Distribution(name=name, **each) for name, each in values["distributions"].items()
        )
        return cls(**values)


def summarise_table(path: Path, *, tissue_mm2: float | None, run: RunFacts | None = None) -> SlideSummary:
    """Read a table once and return its summary; memory doesn't grow with the rows.

    Args:
        path: the table.
        tissue_mm2: area that was looked at; None where um a pixel are unknown.
        run: how the nuclei were found.

    Raises:
        DataError: no table that `segment` wrote.
    """
    info = read_table_info(path)
    run = run or RunFacts()
    counts = np.zeros(len(info.class_names), np.int64)
    sketches = sketches_of(("area_px", "score", *info.measurement_names))
    for nuclei in read_nuclei(path):
        counts += np.bincount(nuclei.class_indices, minlength=len(counts))
        for sketch, values in zip(sketches, (nuclei.areas_px, nuclei.scores, *nuclei.measurements.T), strict=True):
            sketch.add(values)
    nuclei_count = int(counts.sum())
    return SlideSummary(
        slide=info.slide,
        width_px=info.frame.width_px,
        height_px=info.frame.height_px,
        mpp=info.frame.mpp,
        mpp_known_by=info.mpp_known_by,
        tissue_mm2=tissue_mm2,
        nuclei=nuclei_count,
        nuclei_per_mm2=per_mm2(nuclei_count, tissue_mm2),
        classes=class_counts(info.class_names, counts, tissue_mm2),
        distributions=tuple(sketch.distribution() for sketch in sketches),
        run=run if run.model is not None else replace(run, model=ModelFacts(name=info.model)),
    )


def write_summary(path: Path, summary: SlideSummary) -> None:
    """Write `summary.json`, whole or not at all."""
    write_json(path, summary.to_dict(), indent=1)


def read_summary(path: Path) -> SlideSummary:
    """Read `summary.json`.

    Raises:
        DataError: no such file, or none that `segment` wrote.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema_version"] != SCHEMA_VERSION:
            raise DataError(f"schema version {content['schema_version']}: {SCHEMA_VERSION} is read", path=path)
        return SlideSummary.from_dict(content)
    except FileNotFoundError as error:
        raise DataError("no such file", path=path) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError("no summary of a slide: `nucleate segment SLIDE` writes summary.json", path=path) from error


def area_in_mm2(area_px: float, frame: Frame) -> float | None:
    """Return an area of level-0 pixels in mm2, None where um a pixel are unknown."""
    return None if frame.mpp is None else area_px * frame.mpp**2 / 1e6


def per_mm2(count: int, area_mm2: float | None) -> float | None:
    """Return a density, None where the area is unknown or nothing."""
    return count / area_mm2 if area_mm2 else None


def class_counts(
    class_names: Sequence[str], counts: NDArray[np.int64], area_mm2: float | None
) -> tuple[ClassCount, ...]:
    """Return the counts of all classes, in the classes' order."""
    return tuple(
        ClassCount(name=name, count=count, per_mm2=per_mm2(count, area_mm2))
        for name, count in zip(class_names, counts.tolist(), strict=True)
    )


def _json_values(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json_values(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json_values(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
