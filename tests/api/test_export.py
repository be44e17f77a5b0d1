"""`nucleate export` from its arguments to its files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import geopandas
import pytest

import nucleate
from nucleate.api.export import ExportReport, SlideFormat
from nucleate.cli import run
from nucleate.errors import ConfigError, DataError, ResultsError
from nucleate.export import NucleiTableWriter, read_slide_csv, read_slide_geojson, read_slide_labels
from nucleate.export.nuclei_table import ROWS_A_GROUP
from tests.export.slide.drawn_table import blob_table
from tests.tables import drawn_nuclei, table_info, write_table

FORMATS = [name for name in get_args(SlideFormat) if name not in ("spatialdata", "qupath-script")]


@pytest.mark.parametrize("to", FORMATS)
def test_every_format_is_a_command(to: SlideFormat, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = blob_table(tmp_path).path.parent
    target = tmp_path / "new" / f"a.{to}"
    assert run(["export", str(results), "--to", to, "--output", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}: 63 nuclei\n"
    assert target.stat().st_size > 1000


@pytest.mark.parametrize("to", FORMATS)
def test_cells_in_every_format(to: SlideFormat, tmp_path: Path) -> None:
    table = blob_table(tmp_path)
    plain, grown = tmp_path / f"a.{to}", tmp_path / f"b.{to}"
    nucleate.export_results(table.path, to=to, output=plain)
    nucleate.export_results(table.path, to=to, output=grown, expand_um=2)
    assert plain.read_bytes() != grown.read_bytes()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_spatialdata_is_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr("nucleate.export.slide.write_slide_spatialdata", lambda path, table: written.append(path))
    target = tmp_path / "a.zarr"
    assert run(["export", str(blob_table(tmp_path).path), "--to", "spatialdata", "--output", str(target)]) == 0
    assert written == [target]


def test_region_is_for_rois(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = str(blob_table(tmp_path).path)
    target = str(tmp_path / "a.zip")
    assert run(["export", results, "--to", "rois", "--output", target, "--region", "0,0,100,100"]) == 0
    assert capsys.readouterr().out == f"{target}: 8 nuclei\n"
    with pytest.raises(ConfigError, match="--region is for --to rois"):
        nucleate.export_results(Path(results), to="csv", output=tmp_path / "a.csv", region="0,0,1,1")


def test_several_results_go_into_a_folder_and_one_failure_stops_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blob_table(tmp_path)
    write_table(tmp_path / "drawn.nucleate" / "nuclei.parquet", drawn_nuclei(20))
    (tmp_path / "broken.nucleate").mkdir()
    (tmp_path / "broken.nucleate" / "nuclei.parquet").write_text("nothing")
    output = tmp_path / "out"
    assert run(["export", str(tmp_path), "--to", "geojson.gz", "--output", str(output)]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [f"{output}/blobs.geojson.gz: 63 nuclei", f"{output}/drawn.geojson.gz: 20 nuclei"]
    assert len(said.err.splitlines()) == 1
    assert "broken.nucleate" in said.err
    assert len(read_slide_geojson(output / "drawn.geojson.gz").nuclei) == 20
    assert sorted(path.name for path in output.iterdir()) == ["blobs.geojson.gz", "drawn.geojson.gz"]


def test_two_slides_of_one_name_are_not_mixed(tmp_path: Path) -> None:
    tables = [write_table(tmp_path / name / "nuclei.parquet", drawn_nuclei(3)) for name in ("a", "b")]
    report = nucleate.export_results(tables, to="csv", output=tmp_path / "out")
    assert isinstance(report, ExportReport)
    assert len(report.files) == 1
    assert "a second slide of this name" in str(report.failures[0])
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="--output is a folder"):
        nucleate.export_results(tables, to="csv", output=tmp_path / "file")


def test_one_result_into_a_folder_that_stands(tmp_path: Path) -> None:
    results = blob_table(tmp_path).path.parent
    (tmp_path / "out").mkdir()
    report = nucleate.export_results(str(results), to="labels", output=tmp_path / "out")  # type: ignore[arg-type]
    assert isinstance(report, ExportReport)
    assert report.files[0].path == tmp_path / "out" / "blobs.ome.tif"
    assert len(read_slide_labels(report.files[0].path).nuclei) == 63


def test_users_mistakes_are_named(tmp_path: Path) -> None:
    results = blob_table(tmp_path).path
    with pytest.raises(DataError, match="no such file or folder"):
        nucleate.export_results(tmp_path / "none", to="csv", output=tmp_path / "a.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no nuclei\.parquet in it"):
        nucleate.export_results(tmp_path / "empty", to="csv", output=tmp_path / "a.csv")
    with pytest.raises(ConfigError, match=r"ends in \.gz"):
        nucleate.export_results(results, to="geojson.gz", output=tmp_path / "a.geojson")
    unknown = write_table(tmp_path / "u.parquet", drawn_nuclei(2), table_info(mpp=None))
    with pytest.raises(ConfigError, match="um/px"):
        nucleate.export_results(unknown, to="csv", output=tmp_path / "a.csv", expand_um=3)
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="can't be written"):
        nucleate.export_results(results, to="csv", output=tmp_path / "file" / "a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_csv_of_a_table_by_its_path_opens_in_geopandas(tmp_path: Path) -> None:
    path = write_table(tmp_path / "t.parquet", drawn_nuclei(30))
    nucleate.export_results(path, to="csv", output=tmp_path / "a.csv")
    assert len(read_slide_csv(tmp_path / "a.csv").nuclei) == len(geopandas.read_parquet(path)) == 30


@pytest.mark.parametrize("into_folder", [True, False])
def test_qupath_script_is_written_without_results(
    into_folder: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path if into_folder else tmp_path / "mine.groovy"
    assert run(["export", "--to", "qupath-script", "--output", str(target)]) == 0
    path = tmp_path / "segment_with_nucleate.groovy" if into_folder else target
    assert capsys.readouterr().out == f"{path}\n"
    text = path.read_text(encoding="utf-8")
    assert "qupath.lib.io.PathIO.readObjects" in text
    # Balanced, as far as can be said without Groovy.
    assert all(text.count(first) == text.count(last) for first, last in ("()", "[]", "{}"))


def test_commands_of_the_qupath_script_are_ours() -> None:
    """The script can't run here; what it asks of the command line can be checked."""
    from nucleate.cli import build_app
    from nucleate.export.slide import qupath_script

    assert '"export"' in qupath_script()
    app = build_app()
    arguments = ["export", "a.nucleate", "--to", "geojson", "--output", "a.geojson", "--expand-um", "5"]
    _, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    assert bound.arguments["expand_um"] == 5.0
    assert all(f'"{option}"' in qupath_script() for option in ("--to", "--output", "--expand-um", "geojson"))


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    """Peak resident memory of 24 row groups is within 60 MiB of that of 4; the 20 more hold 78 MiB as a table.

    A single group says too little: what reads ahead has nothing to hold yet.
    """
    nuclei = drawn_nuclei(ROWS_A_GROUP)
    peaks = []
    for groups in (4, 24):
        path = tmp_path / f"{groups}.parquet"
        with NucleiTableWriter(path, table_info()) as table:
            for _ in range(groups):
                table.write(nuclei)
        code = (
            "import re, sys; from nucleate.cli import run; run(sys.argv[1:]); "
            "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
        )
        arguments = ["export", str(path), "--to", "csv", "--output", f"{path}.csv"]
        ran = subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.PIPE, text=True)
        peaks.append(int(ran.stdout.split()[-1]) / 1024)
    assert peaks[1] < peaks[0] + 60
