"""The code of docs/exports.md runs; what it counts is what a loop over bins and nuclei counts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from tests.export.slide.drawn_table import blob_nuclei, blob_table

PAGE = Path(__file__).resolve().parents[3] / "docs" / "exports.md"


def run_blocks(folder: Path, count: int) -> dict[str, Any]:
    """Run the page's first blocks on a drawn slide and return their names."""
    (folder / blob_table(folder).path.parent).rename(folder / "slide.nucleate")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 3
    known: dict[str, Any] = {}
    for block in blocks[:count]:
        exec(block, known)  # noqa: S102
    return known


def counted_by_hand(known: dict[str, Any]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    bins = known["bins"]
    counts = np.zeros((63, 2), np.int64)
    for row, outline in enumerate(blob_nuclei().outlines()):
        held = shapely.contains_xy(outline, bins["x"], bins["y"])
        counts[row] = bins.loc[held, ["ACTB", "CD3E"]].sum()
    return counts


def test_bins_are_counted_by_nucleus_with_geopandas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known = run_blocks(tmp_path, 2)
    assert len(known["read"].nuclei) == len(known["read"].cells_wkb) == 63
    counts = known["counts"]
    assert counts.index.tolist() == blob_nuclei().numbers.tolist()
    np.testing.assert_array_equal(counts, counted_by_hand(known))
    assert counts["ACTB"].sum() > 100


@pytest.mark.filterwarnings("ignore")
def test_bins_are_counted_by_nucleus_with_spatialdata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("spatialdata", reason="NOT TESTED: spatialdata is not installed; see docs/exports.md")
    monkeypatch.chdir(tmp_path)
    known = run_blocks(tmp_path, 3)
    np.testing.assert_array_equal(known["table"].X.toarray(), counted_by_hand(known))


def test_every_measurement_of_qupath_is_on_the_page() -> None:
    from nucleate.export.slide.measurement_names import QUPATH_NAMES

    page = PAGE.read_text(encoding="utf-8")
    for ours, qupath in QUPATH_NAMES.items():
        if not ours.startswith("ring_"):
            assert f"`{ours}`" in page
            assert qupath.removeprefix("Nucleus: ") in page
