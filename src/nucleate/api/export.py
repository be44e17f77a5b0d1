"""`nucleate export`: slides' results and data sets in the formats of other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, assert_never

from nucleate.api.export_data import export_dataset, is_dataset
from nucleate.core import OverlapRule
from nucleate.errors import ConfigError, NucleateError, ResultsError
from nucleate.export import DatasetExport, DatasetFormat, slide
from nucleate.export.slide import ExportArea, SlideTable

SlideFormat = Literal["geojson", "geojson.gz", "csv", "coco", "labels", "rois", "spatialdata", "qupath-script"]
ExportFormat = SlideFormat | DatasetFormat
SUFFIXES: dict[SlideFormat, str] = {
    "geojson": ".geojson",
    "geojson.gz": ".geojson.gz",
    "csv": ".csv",
    "coco": ".json",
    "labels": ".ome.tif",
    "rois": ".zip",
    "spatialdata": ".zarr",
}
SCRIPT_NAME = "segment_with_nucleate.groovy"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """One file (or, for spatialdata, folder) that was written.

    Attributes:
        path: of it.
        nuclei: that it holds; None for a script.
    """

    path: Path
    nuclei: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What was written, and what could not be.

    Attributes:
        files: in the order of the results.
        failures: results that could not be exported, where there were several.
    """

    files: tuple[ExportedFile, ...]
    failures: tuple[NucleateError, ...] = ()

    def summary(self) -> str:
        """Return one line a file."""
        return "\n".join(
            str(file.path) if file.nuclei is None else f"{file.path}: {file.nuclei:,} nuclei" for file in self.files
        )


def export(
    results: Sequence[Path] | Path = (),
    *,
    to: ExportFormat,
    output: Path,
    expand_um: float | None = None,
    region: str | None = None,
    overlaps: OverlapRule = "score",
) -> ExportReport | DatasetExport:
    """Write slides' nuclei, or a data set, in a format of other programs.

    A data set that prepare made, or a COCO file, goes to yolo, labels, binary-masks, geojson, rois, stardist or
    cellpose: a folder with its images. Slides' results go to the others, and to geojson, labels and rois:
    geojson and geojson.gz open in QuPath; labels is a 32-bit label OME-TIFF pyramid, rois a RoiSet.zip of ImageJ,
    coco an annotation file, spatialdata a folder (.zarr). qupath-script needs no results: it writes the script
    that runs nucleate from within QuPath.

    Args:
        results: `.nucleate` folders, folders of them, or nuclei.parquet files; or one data set.
        to: The format.
        output: The file; a folder where there are several results.
        expand_um: Grow cells from the nuclei, this many um at most, without overlap.
        region: For rois, `x1,y1,x2,y2` in level-0 pixels or a GeoJSON file; coordinates then start at its corner.
        overlaps: Of a data set's labels, stardist and cellpose: whose a pixel of several nuclei is. The higher score's,
            the larger or smaller nucleus', the first's or last's; refuse stops. Slides' labels go by the score.

    Returns:
        The files written, and what failed among several results.

    Raises:
        DataError: no results there.
        ConfigError: settings that the format or the slide does not allow.
        MissingExtraError: the format needs a package that is not installed.
        ResultsError: the output can't be written.
    """
    output = Path(output)
    if to == "qupath-script":
        path = output / SCRIPT_NAME if output.is_dir() else output
        slide.write_qupath_script(path)
        return ExportReport(files=(ExportedFile(path=path, nuclei=None),))
    given = [Path(results)] if isinstance(results, str | Path) else [Path(each) for each in results]
    if not given:
        raise ConfigError("export needs results: nucleate export SLIDE.nucleate --to ... --output ...")
    if is_dataset(given[0]):
        if expand_um is not None or region is not None:
            raise ConfigError("--expand-um and --region are for slides' results")
        return export_dataset(given, to=to, output=output, overlaps=overlaps)
    if overlaps != "score":
        raise ConfigError("--overlaps is for data sets: in slides' label images the higher score owns a pixel")
    slide_format = _slide_format(to)
    if region is not None and slide_format != "rois":
        raise ConfigError(f"--region is for --to rois; {slide_format} holds the whole slide")
    place = None if region is None else ExportArea.parse(region)
    tables = [table for each in given for table in slide.results_tables(each)]
    several = len(tables) > 1
    if several and output.is_file():
        raise ResultsError("is a file: --output is a folder for several results", path=output)
    # A .zarr is a folder itself.
    into = several or (output.is_dir() and slide_format != "spatialdata")
    files: list[ExportedFile] = []
    failures: list[NucleateError] = []
    for path in tables:
        try:
            table = SlideTable.open(path)
            target = _target(output, table, slide_format, into=into)
            if target in {file.path for file in files}:
                raise ResultsError("a second slide of this name: export it on its own", path=path)
            with _maybe_cells(table, expand_um, target.parent) as ready:
                written = _write(target, ready, slide_format, place)
            files.append(ExportedFile(path=target, nuclei=written))
        except NucleateError as error:
            if not several:
                raise
            failures.append(error)
    return ExportReport(files=tuple(files), failures=tuple(failures))


def _slide_format(to: ExportFormat) -> SlideFormat:
    match to:
        case "yolo" | "binary-masks" | "stardist" | "cellpose":
            raise ConfigError(f"--to {to} is for data sets that `nucleate prepare` made, not for slides' results")
        case _:
            return to


def _target(output: Path, table: SlideTable, to: SlideFormat, *, into: bool) -> Path:
    if into:
        return output / f"{Path(table.info.slide).stem}{SUFFIXES[to]}"
    if to == "geojson.gz" and output.suffix != ".gz":
        raise ConfigError(f"--output {output.name}: the name of a geojson.gz ends in .gz")
    return output


@contextmanager
def _maybe_cells(table: SlideTable, expand_um: float | None, beside: Path) -> Iterator[SlideTable]:
    if expand_um is None:
        yield table
        return
    with slide.with_cells(table, expand_um=expand_um, beside=beside) as grown:
        yield grown


def _write(path: Path, table: SlideTable, to: SlideFormat, region: ExportArea | None) -> int:
    """Write one file and return the number of its nuclei."""
    match to:
        case "geojson" | "geojson.gz":
            slide.write_slide_geojson(path, table)
        case "csv":
            slide.write_slide_csv(path, table)
        case "coco":
            slide.write_slide_coco(path, table)
        case "labels":
            slide.write_slide_labels(path, table)
        case "rois":
            return slide.write_slide_rois(path, table, region)
        case "spatialdata":
            slide.write_slide_spatialdata(path, table)
        case "qupath-script":
            raise ConfigError("a script holds no nuclei")
        case _:
            assert_never(to)
    return len(table)
