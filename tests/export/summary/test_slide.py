"""A slide's summary is what numpy says of its table, and comes back from its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nucleate.core import NucleiColumns
from nucleate.errors import DataError
from nucleate.export import NucleiTableWriter, read_nuclei
from nucleate.export.summary import (
    MOST_RELATIVE_ERROR,
    ModelFacts,
    RunFacts,
    StageTime,
    read_summary,
    summarise_table,
    write_summary,
)
from tests.tables import MEASUREMENTS, drawn_nuclei, table_info, write_table


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three row groups, a measurement undefined for every seventh nucleus."""
    path = tmp_path_factory.mktemp("table") / "nuclei.parquet"
    with NucleiTableWriter(path, table_info()) as writer:
        for seed in range(2):
            nuclei = drawn_nuclei(20_000, seed=seed, first_number=1 + seed * 20_000)
            nuclei.measurements[::7, 2] = np.nan
            writer.write(nuclei)
    return path


def test_summary_is_numpys(table: Path) -> None:
    whole = NucleiColumns.concatenate(list(read_nuclei(table)))
    summary = summarise_table(table, tissue_mm2=2.5)
    assert (summary.nuclei, summary.nuclei_per_mm2) == (40_000, 16_000)
    assert [(each.name, each.count) for each in summary.classes] == [
        ("nucleus", int((whole.class_indices == 0).sum())),
        ("lymphocyte", int((whole.class_indices == 1).sum())),
    ]
    assert summary.classes[1].per_mm2 == summary.classes[1].count / 2.5
    assert [each.name for each in summary.distributions] == ["area_px", "score", *MEASUREMENTS]
    columns: dict[str, NDArray[Any]] = {"area_px": whole.areas_px, "score": whole.scores}
    columns |= {name: whole.measurement(name) for name in MEASUREMENTS}
    for name, values in columns.items():
        known = values[np.isfinite(values)].astype(np.float64)
        found = summary.distribution(name)
        assert (found.count, found.undefined) == (len(known), len(values) - len(known))
        assert found.mean == pytest.approx(known.mean())
        assert found.sd == pytest.approx(known.std(ddof=1))
        found_percentiles = [found.p5, found.p25, found.median, found.p75, found.p95]
        expected = np.percentile(known, [5, 25, 50, 75, 95])
        np.testing.assert_allclose(np.array(found_percentiles, float), expected, rtol=1.01 * MOST_RELATIVE_ERROR)
    assert summary.distribution("haematoxylin_od_mean").undefined > 0
    with pytest.raises(DataError, match="no measurement 'volume'"):
        summary.distribution("volume")


def test_summary_comes_back_from_its_file(table: Path, tmp_path: Path) -> None:
    run = RunFacts(
        model=ModelFacts(name="nucleate-he", network="star-convex", working_mpp=0.25, licence="Apache-2.0"),
        settings={"score": None, "roi": ["a"]},
        versions={"nucleate": "0.1.0"},
        tiles=12,
        seconds=3.5,
        stages=(StageTime(name="network", seconds=3.0, share=0.86),),
        notes=("1 region could not be read",),
    )
    summary = summarise_table(table, tissue_mm2=None, run=run)
    write_summary(tmp_path / "summary.json", summary)
    assert read_summary(tmp_path / "summary.json") == summary
    assert summary.nuclei_per_mm2 is None


def test_no_nuclei_are_a_summary_of_nulls(tmp_path: Path) -> None:
    table = write_table(tmp_path / "nuclei.parquet", drawn_nuclei(0))
    summary = summarise_table(table, tissue_mm2=0.0)
    assert (summary.nuclei, summary.nuclei_per_mm2) == (0, None)
    assert summary.run.model == ModelFacts(name="drawn")
    content = summary.to_dict()
    assert [each["count"] for each in content["classes"]] == [0, 0]
    assert content["distributions"]["area_um2"]["median"] is None
    assert content["schema_version"] == 1


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    table = write_table(tmp_path / "nuclei.parquet", drawn_nuclei(1))
    summary = summarise_table(table, tissue_mm2=1.0, run=RunFacts(settings={"a": [np.nan, 1.0], "b": float("inf")}))
    write_summary(tmp_path / "summary.json", summary)
    assert json.loads((tmp_path / "summary.json").read_text())["run"]["settings"] == {"a": [None, 1.0], "b": None}


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"schema_version": 1}', '{"schema_version": 1, "run": {}}'])
def test_other_files_are_no_summary(tmp_path: Path, content: str) -> None:
    path = tmp_path / "summary.json"
    path.write_text(content)
    with pytest.raises(DataError, match="no summary of a slide"):
        read_summary(path)


def test_a_missing_or_newer_summary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_summary(tmp_path / "summary.json")
    (tmp_path / "summary.json").write_text('{"schema_version": 9}')
    with pytest.raises(DataError, match="schema version 9: 1 is read"):
        read_summary(tmp_path / "summary.json")
