"""A prepared data set through `nucleate export`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from nucleate.api import PrepareSettings, prepare
from nucleate.api.export import export
from nucleate.cli import run
from nucleate.errors import ConfigError
from tests.synthetic import write_nuinsseg
from tests.tables import drawn_nuclei, write_table


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_nuinsseg(tmp_path / "source")
    prepare([tmp_path / "source"], output=tmp_path / "data", settings=PrepareSettings())
    return tmp_path / "data"


def test_a_data_set_is_written_for_other_programs(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["export", str(data), "--to", "yolo", "--output", str(tmp_path / "yolo")]) == 0
    assert "as yolo" in capsys.readouterr().out
    names = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())["names"]
    assert names == ["nucleus"]
    labels = list((tmp_path / "yolo" / "labels").rglob("*.txt"))
    assert labels
    assert len(labels) == len(list((tmp_path / "yolo" / "images").rglob("*.png")))


def test_a_coco_file_is_a_data_set_too(data: Path, tmp_path: Path) -> None:
    report = export(data / "annotations" / "all.json", to="labels", output=tmp_path / "labels")
    assert "as labels" in report.summary()


def test_formats_of_the_other_kind_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="csv is for slides' results"):
        export(data, to="csv", output=tmp_path / "x")
    with pytest.raises(ConfigError, match="one data set a call"):
        export([data, data], to="yolo", output=tmp_path / "x")
    with pytest.raises(ConfigError, match="--expand-um and --region"):
        export(data, to="yolo", output=tmp_path / "x", expand_um=3.0)
    with pytest.raises(ConfigError, match="yolo gives no pixel an owner"):
        export(data, to="yolo", output=tmp_path / "x", overlaps="larger")
    table = write_table(tmp_path / "nuclei.parquet", drawn_nuclei(3))
    with pytest.raises(ConfigError, match="--overlaps is for data sets"):
        export(table, to="labels", output=tmp_path / "x", overlaps="larger")
    with pytest.raises(ConfigError, match="yolo is for data sets"):
        export(table, to="yolo", output=tmp_path / "x")
