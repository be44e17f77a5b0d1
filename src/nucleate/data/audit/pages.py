"""`audit.html` and `statistics.html`: each one file that needs nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nucleate.core.stain import od_to_rgb
from nucleate.data.audit import charts
from nucleate.data.audit.drawings import contact_sheet, thumbnail
from nucleate.data.audit.likeness import HASH_BITS, MOST_DIFFERING_BITS
from nucleate.data.audit.report import Audit
from nucleate.data.audit.statistics import DatasetStatistics, GroupStatistics, Rgb
from nucleate.pages import Picture, Table, render, svg_picture, versions

TEMPLATES = "nucleate.data.audit"
LIBRARIES = ("nucleate", "numpy", "opencv-python-headless", "pillow", "matplotlib")
# What a page shows; audit.json names all.
MOST_ITEMS, MOST_PAIRS = 200, 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Items below a heading, as many as the page shows.

    Attributes:
        heading: what they are, and how many.
        items: the first ones.
        more: how many are not shown.
    """

    heading: str
    items: tuple[str, ...]
    more: int

    @classmethod
    def of(cls, heading: str, items: Sequence[str]) -> Listed:
        """Return the first `MOST_ITEMS` of them."""
        return cls(heading=heading, items=tuple(items[:MOST_ITEMS]), more=max(0, len(items) - MOST_ITEMS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Swatch:
    """A colour in a table.

    Attributes:
        colour: `rgb(...)` of CSS.
        text: beside it.
    """

    colour: str
    text: str


def audit_to_html(audit: Audit, *, title: str, facts: Sequence[tuple[str, str]] = ()) -> str:
    """Return the page of an audit.

    Args:
        audit: what was found.
        title: of the page.
        facts: names and values that stand below it.
    """
    pairs = [
        (pair, [picture for index in (pair.first, pair.second) if (picture := thumbnail(audit.images[index]))])
        for pair in audit.alike[:MOST_PAIRS]
    ]
    return render(
        TEMPLATES,
        "audit.html.j2",
        title=title,
        verdict=_verdict(audit),
        facts=[*_totals(audit), *facts],
        levels=[
            (heading, [(each, Listed.of("", each.items)) for each in audit.findings if each.level == level])
            for level, heading in (("error", "Errors"), ("warning", "Warnings"), ("note", "Good to know"))
            if audit.count_of(level)  # type: ignore[arg-type]
        ],
        pairs=pairs,
        hash_bits=HASH_BITS,
        most_bits=MOST_DIFFERING_BITS,
        more_pairs=max(0, len(audit.alike) - MOST_PAIRS),
        left_out=[Listed.of(f"{reason}: {len(items):,}", items) for reason, items in audit.left_out.items()],
        mended=[Listed.of(f"{reason}: {len(items):,}", items) for reason, items in audit.mended.items()],
        images=_image_table(audit),
        versions=versions(LIBRARIES),
    )


def statistics_to_html(audit: Audit, statistics: DatasetStatistics, *, title: str) -> str:
    """Return the page of a data set's statistics.

    Args:
        audit: its images.
        statistics: of them.
        title: of the page.
    """
    rows = [*statistics.groups, statistics.overall]
    return render(
        TEMPLATES,
        "statistics.html.j2",
        title=title,
        overall=statistics.overall,
        facts=_totals(audit),
        grouped_by=statistics.grouped_by,
        distributions=[svg_picture(chart, alt) for chart, alt in charts.distributions(statistics.overall)],
        group_charts=_group_charts(statistics),
        sizes=_size_table(statistics.grouped_by, rows),
        colours=[(group.name, _swatches(group)) for group in rows],
        classes=_count_table("class", statistics.classes) if len(statistics.classes) > 1 else None,
        splits=Table.of(
            ("split", "images", "nuclei"),
            [(name, f"{images:,}", f"{nuclei:,}") for name, images, nuclei in statistics.splits],
        )
        if statistics.splits
        else None,
        sheet=contact_sheet(audit.images),
        versions=versions(LIBRARIES),
    )


def _verdict(audit: Audit) -> str:
    errors, warnings = audit.lines_of("error"), audit.count_of("warning") + len(audit.left_out) + len(audit.mended)
    if errors:
        return f"Results with this data set would be wrong: {audit.findings[0].what}."
    return f"No errors; {warnings} to look at." if warnings else "No errors, no warnings."


def _totals(audit: Audit) -> list[tuple[str, str]]:
    organs = {image.organ for image in audit.images if image.organ is not None}
    found = sum(image.annotations_found for image in audit.images)
    nuclei = f"{audit.nuclei:,}"
    if found != audit.nuclei:
        nuclei += f" of {found:,} annotations of these images"
    facts = [("Images", f"{len(audit.images):,}"), ("Nuclei", nuclei)]
    if organs:
        facts.append(("Organs", f"{len(organs)}"))
    return facts


def _image_table(audit: Audit) -> Table:
    return Table.of(
        ("image", "organ", "split", "width, px", "height, px", "file", "annotations", "nuclei", "touch", "overlap"),
        [
            (
                image.file_name,
                image.organ or "",
                ", ".join(image.splits),
                str(image.frame.width_px),
                str(image.frame.height_px),
                image.facts.mode,
                f"{image.annotations_found:,}",
                f"{len(image.nuclei):,}",
                f"{np.count_nonzero(image.nuclei.touching):,}",
                f"{np.count_nonzero(image.nuclei.overlapping):,}",
            )
            for image in audit.images
        ],
    )


def _group_charts(statistics: DatasetStatistics) -> list[Picture]:
    if not statistics.groups:
        return []
    name = statistics.grouped_by
    pictures = [svg_picture(charts.group_bars(statistics.groups), f"Images and nuclei of each {name}")]
    if statistics.overall.nuclei:
        pictures.append(svg_picture(charts.diameter_boxes(statistics.groups), f"Nuclear diameters of each {name}"))
    return pictures


def _size_table(grouped_by: str, groups: Sequence[GroupStatistics]) -> Table:
    has_um = any(group.diameters_um is not None for group in groups)
    headings = [grouped_by, "images", "nuclei", "nuclei an image", "area, px", "diameter, px"]
    headings += ["diameter, um"] if has_um else []
    rows = []
    for group in groups:
        row = [
            group.name,
            f"{group.images:,}",
            f"{group.nuclei:,}",
            _range(group.nuclei_an_image, (0, 50, 100)),
            _range(group.areas_px),
            _range(group.diameters_px, digits=1),
        ]
        if has_um:
            row.append("-" if group.diameters_um is None else _range(group.diameters_um, digits=1))
        rows.append([*row, "-" if math.isnan(group.touching_percent) else f"{group.touching_percent:.0f}"])
    return Table.of([*headings, "touching, %"], rows)


def _range(
    values: NDArray[np.integer] | NDArray[np.floating],
    percentiles: tuple[int, int, int] = (25, 50, 75),
    digits: int = 0,
) -> str:
    """Return the middle with the low and high end in brackets."""
    if not len(values):
        return "-"
    low, middle, high = np.percentile(values, percentiles)
    return f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def _count_table(name: str, counts: Sequence[tuple[str, int]]) -> Table:
    return Table.of((name, "nuclei"), [(each, f"{count:,}") for each, count in counts])


def _swatches(group: GroupStatistics) -> list[Swatch | None]:
    """Return the mean colour, haematoxylin and eosin, None for what is not known."""
    stains: list[Swatch | None] = [None, None]
    if group.stain is not None:
        stains = [
            Swatch(colour=_css(_shown(vector)), text=" ".join(f"{value:.2f}" for value in vector))
            for vector in group.stain.vectors()
        ]
    mean = None if group.colour is None else Swatch(colour=_css(group.colour), text=" ".join(map(str, group.colour)))
    return [mean, *stains]


def _shown(vector: NDArray[np.float64]) -> Rgb:
    """Return the colour of a stain at an optical density of 1 along its vector."""
    red, green, blue = od_to_rgb(vector).tolist()
    return red, green, blue


def _css(colour: Rgb) -> str:
    return f"rgb({colour[0]}, {colour[1]}, {colour[2]})"
