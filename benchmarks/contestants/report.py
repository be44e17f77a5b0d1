"""The comparison for people and programs: a table, a JSON document, a plot."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from matplotlib.figure import Figure

from benchmarks.contestants.measurements import Comparison, Series
from benchmarks.contestants.verdicts import CALL, NETWORK, Verdict, verdicts

_BUSY = 0.5
"""Load before the start from which on other work disturbs the times."""
_COLOURS = {"star-convex": "#1f6f8b", "Mask R-CNN": "#c06014", "StarDist": "#7a6c9d"}


def report_text(comparison: Comparison) -> str:
    """Return machine, conditions, times, memory and verdicts."""
    machine = comparison.machine
    lines = [
        f"processor   {machine.processor}, {machine.processors} usable; {' '.join(machine.units) or 'units unknown'}",
        f"OpenVINO    OPTIMIZATION_CAPABILITIES: {' '.join(machine.capabilities) or 'not installed'}",
        f"images      {comparison.scenes.origin}",
        f"working     magnification {comparison.scenes.magnification:.3g}, as `segment` chooses: 'as used'; else 1",
        *[f"absent      {name}: {why}" for name, why in comparison.absent.items()],
        *[f"CAUTION     {line}" for line in cautions(comparison)],
        "",
    ]
    titles = ("threads", "contestant", "part", "median ms", "lowest", "highest", "cpu ms", "processors used", "peak MB")
    lines += _aligned([titles, *(row for series in comparison.series for row in _rows(series))])
    lines += ["", *_notes(comparison), ""]
    lines += _aligned(
        [
            ("verdict", "threads", "goal", "measured", "compared"),
            *[
                (
                    _word(each),
                    "" if each.threads is None else str(each.threads),
                    each.goal,
                    each.measured,
                    each.compared,
                )
                for each in verdicts(comparison)
            ],
        ]
    )
    return "\n".join(lines)


def cautions(comparison: Comparison) -> list[str]:
    """Return why the times may mean little."""
    answer = []
    if comparison.is_smoke:
        answer.append("a smoke run: too small and too short, its times mean nothing")
    if comparison.load_before is not None and comparison.load_before > _BUSY:
        answer.append(
            f"the machine was busy before the start (load {comparison.load_before:.1f} on"
            f" {comparison.machine.processors} processors): the times mean little"
        )
    if max(comparison.threads) > comparison.machine.processors:
        answer.append(f"more threads than the {comparison.machine.processors} usable processors")
    return answer


def report_document(comparison: Comparison) -> dict[str, Any]:
    """Return everything as JSON's types: every round's times, not only medians."""
    scenes = comparison.scenes
    return {
        "machine": asdict(comparison.machine),
        "load_before": comparison.load_before,
        "load_after": comparison.load_after,
        "cautions": cautions(comparison),
        "absent": dict(comparison.absent),
        "images": {
            "origin": scenes.origin,
            "names": list(scenes.names),
            "side_px": scenes.side_px,
            "annotated_nuclei": scenes.annotated_nuclei(),
            "magnification_as_used": scenes.magnification,
        },
        "series": [_series_document(series) for series in comparison.series],
        "verdicts": [asdict(each) for each in verdicts(comparison)],
    }


def report_figure(comparison: Comparison) -> Figure:
    """Return horizontal bars of the median times, one panel a thread count.

    Whiskers go from the fastest to the slowest round.
    """
    panels = comparison.threads
    bars = {threads: _bars(comparison, threads) for threads in panels}
    height = sum(len(each) for each in bars.values())
    figure = Figure(figsize=(9, 1.2 + 0.42 * height + 0.6 * len(panels)), dpi=130, layout="constrained")
    axes = figure.subplots(
        len(panels), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": [len(bars[each]) for each in panels]}
    )
    for panel, threads in zip(axes[:, 0], panels, strict=True):
        labels = [label for label, _, _ in bars[threads]]
        spreads = [series.seconds(part) for _, series, part in bars[threads]]
        medians = [1000 * spread.median for spread in spreads]
        whiskers = [
            [1000 * (spread.median - spread.lowest) for spread in spreads],
            [1000 * (spread.highest - spread.median) for spread in spreads],
        ]
        colours = [_COLOURS.get(series.entry.name, "#777777") for _, series, _ in bars[threads]]
        panel.barh(labels, medians, xerr=whiskers, color=colours, ecolor="#444444", capsize=2, height=0.65)
        for place, (median, highest) in enumerate(zip(medians, whiskers[1], strict=True)):
            end = (median + highest, place)
            panel.annotate(f"{median:.0f}", end, xytext=(4, 0), textcoords="offset points", size=7, va="center")
        panel.invert_yaxis()
        # Room for the numbers.
        panel.margins(x=0.1)
        panel.grid(axis="x", color="#dddddd", linewidth=0.5)
        panel.set_axisbelow(True)
        panel.tick_params(labelsize=8)
        panel.set_title(f"{threads} thread{'s' if threads > 1 else ''}", loc="left", fontsize=9)
    axes[-1, 0].set_xlabel("milliseconds an image: median, lowest to highest", fontsize=8)
    side_px = comparison.scenes.side_px
    title = f"{side_px} x {side_px} pixels on {comparison.machine.processor}"
    figure.suptitle(title + (" (smoke run)" if comparison.is_smoke else ""), fontsize=10)
    return figure


def _bars(comparison: Comparison, threads: int) -> list[tuple[str, Series, str]]:
    return [
        (f"{series.entry.name} {series.entry.precision}: {part}", series, part)
        for series in comparison.series
        if series.threads == threads
        for part in (NETWORK, CALL)
    ]


def _rows(series: Series) -> list[tuple[str, ...]]:
    rows = []
    for index, part in enumerate(series.timings):
        spread = series.seconds(part)
        memory = "" if series.peak_memory_mb is None or index else f"{series.peak_memory_mb:.0f}"
        rows.append(
            (
                str(series.threads),
                f"{series.entry.name} {series.entry.precision}",
                part,
                *(f"{1000 * value:.1f}" for value in (spread.median, spread.lowest, spread.highest)),
                f"{1000 * series.cpu_seconds(part):.1f}",
                f"{series.processors_used(part):.2f}",
                memory,
            )
        )
    return rows


def _notes(comparison: Comparison) -> list[str]:
    """Return what the contestants say of themselves, once each."""
    notes: dict[str, tuple[str, ...]] = {}
    for series in comparison.series:
        notes.setdefault(f"{series.entry.name} {series.entry.precision}", series.notes)
    return [f"{name}: {'; '.join(each)}" for name, each in notes.items()]


def _series_document(series: Series) -> dict[str, Any]:
    return {
        "name": series.entry.name,
        "precision": series.entry.precision,
        "threads": series.threads,
        "notes": list(series.notes),
        "nuclei": list(series.nuclei),
        "start_memory_mb": series.start_memory_mb,
        "peak_memory_mb": series.peak_memory_mb,
        "parts": {
            part: {
                "seconds": asdict(series.seconds(part)),
                "processors_used": series.processors_used(part),
                "rounds_wall_s": [timing.wall_s for timing in timings],
                "rounds_cpu_s": [timing.cpu_s for timing in timings],
            }
            for part, timings in series.timings.items()
        },
    }


def _word(verdict: Verdict) -> str:
    return {True: "met", False: "NOT MET", None: "-"}[verdict.met]


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
