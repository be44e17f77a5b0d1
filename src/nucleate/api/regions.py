"""`nucleate regions`: tables and hot spots of a segmented slide's regions, without running the model again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nucleate.errors import DataError, ResultsError
from nucleate.export import read_table_info
from nucleate.export.summary import (
    HOT_SPOTS_NAME,
    REGIONS_CSV_NAME,
    REGIONS_JSON_NAME,
    REGIONS_PICTURE_NAME,
    TABLE_NAME,
    HotSpot,
    HotSpotSettings,
    HotSpotShape,
    Overlays,
    RegionResults,
    RegionRow,
    find_hot_spots,
    read_overview,
    region_table,
    write_density_picture,
    write_hot_spots,
    write_regions_csv,
    write_regions_json,
)
from nucleate.files import folder_lock
from nucleate.slides import read_region_file

_MOST_LINES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionSettings:
    """Which hot spots are looked for in the regions.

    Attributes:
        hot_spots: how many at most, 0 to 100.
        hot_spot_mm2: area of each, 0.01 to 100.
        hot_spot_shape: circle or square.
        hot_spot_class: counts only nuclei of this class; unset counts all.
    """

    hot_spots: int = 5
    hot_spot_mm2: float = 1.0
    hot_spot_shape: HotSpotShape = "circle"
    hot_spot_class: str | None = None

    def hot_spot_settings(self) -> HotSpotSettings:
        """Return the same for `find_hot_spots`.

        Raises:
            ConfigError: out of range.
        """
        return HotSpotSettings(
            number=self.hot_spots,
            area_mm2=self.hot_spot_mm2,
            shape=self.hot_spot_shape,
            class_name=self.hot_spot_class,
        )


DEFAULT_SETTINGS = RegionSettings()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegionsReport:
    """What was found in a slide's regions.

    Attributes:
        folder: where the files are.
        rows: one a region in the file's order, then what lies outside all.
        hot_spots: most nuclei first.
        notes: what was left out or mended, a sentence each.
    """

    folder: Path
    rows: tuple[RegionRow, ...]
    hot_spots: tuple[HotSpot, ...]
    notes: tuple[str, ...]

    def summary(self) -> str:
        """Return a table of the regions, the hot spots and where the files are."""
        shown = self.rows if len(self.rows) <= _MOST_LINES else (*self.rows[: _MOST_LINES - 1], self.rows[-1])
        lines = [("region", "mm2", "nuclei", "per mm2", "median area")]
        lines += [_line(row) for row in shown]
        widths = [max(len(line[column]) for line in lines) for column in range(5)]
        text = [
            "  ".join(
                [
                    line[0].ljust(widths[0]),
                    *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
                ]
            )
            for line in lines
        ]
        if len(shown) < len(self.rows):
            text.append(f"and {len(self.rows) - len(shown):,} more regions: see {REGIONS_CSV_NAME}")
        if self.hot_spots:
            counts = ", ".join(f"{spot.nuclei:,}" for spot in self.hot_spots)
            text.append(f"hot spots, nuclei in each: {counts}")
        text += [f"note: {note}" for note in self.notes]
        text.append(f"tables in {self.folder}")
        return "\n".join(text)


def regions(
    results: Path, *, regions: Path, output: Path | None = None, settings: RegionSettings = DEFAULT_SETTINGS
) -> RegionsReport:
    """Count and measure the nuclei in regions of a segmented slide; find the places with most of them.

    A nucleus belongs to the regions that hold its centroid. Files of an earlier call are replaced.

    Args:
        results: a slide's results folder (SLIDE.nucleate), or the nuclei.parquet in it.
        regions: GeoJSON of polygons in the slide's finest pixels, as QuPath exports annotations.
        output: folder for the tables; unset takes the results folder.
        settings: number, size and shape of the hot spots.

    Raises:
        DataError: no results, no regions, or regions of another slide.
        ConfigError: an impossible setting.
        ResultsError: the folder can't be written, or another process writes there.
    """
    table = _table_of(Path(results))
    folder = table.parent if output is None else Path(output)
    if folder.exists() and not folder.is_dir():
        raise ResultsError("is a file: --output is a folder", path=folder)
    with folder_lock(folder):
        return write_regions(table, Path(regions), output=folder, settings=settings)


def write_regions(
    table: Path, regions: Path, *, output: Path, settings: RegionSettings = DEFAULT_SETTINGS
) -> RegionsReport:
    """Do what `regions` does, for a caller that holds the lock of `output`."""
    info = read_table_info(table)
    read = read_region_file(regions)
    overview = read_overview(table.parent)
    hot_spot_settings = settings.hot_spot_settings()
    spots = find_hot_spots(table, regions=read.regions, tissue=overview.tissue, settings=hot_spot_settings)
    rows = region_table(table, read.regions, tissue=overview.tissue)
    notes = list(read.notes)
    notes += [f"region {row.name!r} {row.note}" for row in rows if row.note.startswith("lies")]
    if info.frame.mpp is None:
        notes.append("um a pixel are unknown: no areas in mm2, no densities, no hot spots; segment with --mpp")
    found = RegionResults(
        info=info,
        source=regions.name,
        rows=rows,
        hot_spots=spots,
        hot_spot_settings=hot_spot_settings,
        notes=tuple(notes),
    )
    write_regions_csv(output / REGIONS_CSV_NAME, rows)
    write_hot_spots(output / HOT_SPOTS_NAME, spots, slide=info.slide)
    if overview.thumbnail_rgb is not None:
        overlays = Overlays(tissue=overview.tissue, regions=read.regions, hot_spots=spots)
        picture = output / REGIONS_PICTURE_NAME
        write_density_picture(picture, table, thumbnail_rgb=overview.thumbnail_rgb, overlays=overlays)
    # Last: it stands for a call that came to its end.
    write_regions_json(output / REGIONS_JSON_NAME, found)
    return RegionsReport(folder=output, rows=rows, hot_spots=spots, notes=tuple(notes))


def _table_of(results: Path) -> Path:
    if results.is_file():
        return results
    table = results / TABLE_NAME
    if table.is_file():
        return table
    if not results.exists():
        raise DataError("no such folder", path=results)
    inner = sorted(path.parent.name for path in results.glob(f"*/{TABLE_NAME}"))
    if inner:
        raise DataError(f"holds the results of {len(inner):,} slides: give one, as {inner[0]}", path=results)
    raise DataError(f"no {TABLE_NAME} in it: give a slide's results folder, SLIDE.nucleate", path=results)


def _line(row: RegionRow) -> tuple[str, str, str, str, str]:
    area = next((each for each in row.distributions if each.name == "area_um2"), row.distributions[0])
    unit = "um2" if area.name == "area_um2" else "px"
    return (
        row.name if len(row.name) <= 40 else f"{row.name[:37]}...",
        "" if row.area_mm2 is None else f"{row.area_mm2:.3f}",
        f"{row.nuclei:,}",
        "" if row.nuclei_per_mm2 is None else f"{row.nuclei_per_mm2:,.0f}",
        "" if area.median is None else f"{area.median:.1f} {unit}",
    )
