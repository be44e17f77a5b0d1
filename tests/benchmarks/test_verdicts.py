from __future__ import annotations

import json

import pytest
from matplotlib.patches import Rectangle

from benchmarks.contestants.measurements import Comparison
from benchmarks.contestants.report import report_document, report_figure, report_text
from benchmarks.contestants.verdicts import MASK_RCNN, STAR_CONVEX, STARDIST, Verdict, verdicts
from tests.benchmarks.series import comparison, series


def usual(*, call_s: float = 0.14, memory_mb: float | None = 500.0, stardist_s: float = 0.4) -> Comparison:
    return comparison(
        series(STAR_CONVEX, {"network": [0.1, 0.1], "call": [call_s, call_s]}, memory_mb=memory_mb),
        series(MASK_RCNN, {"network": [1.0, 1.0], "call": [1.4, 1.4]}),
        series(STARDIST, {"network": [0.3, 0.3], "call": [stardist_s, stardist_s]}),
        absent={"bf16": "no units"},
    )


def about(words: str, measured: Comparison) -> list[Verdict]:
    return [each for each in verdicts(measured) if words in each.goal]


def test_times_faster_is_judged_for_the_network_and_for_the_whole_call() -> None:
    network, call = about("8 times faster than Mask R-CNN", usual(call_s=0.2))
    assert (network.met, network.measured) == (True, "10.0 times (10.0 to 10.0)")
    assert (call.met, call.measured) == (False, "7.0 times (7.0 to 7.0)")


def test_a_ratio_is_taken_round_by_round_and_not_of_medians() -> None:
    """The machine slowed down after the first round for all alike: every round's ratio is 4."""
    ours = series(STAR_CONVEX, {"network": [1.0, 10.0, 10.0]})
    theirs = series(MASK_RCNN, {"network": [4.0, 40.0, 40.0]})
    ratio = ours.times_faster("network", theirs, "network")
    assert (ratio.lowest, ratio.median, ratio.highest) == (4.0, 4.0, 4.0)


@pytest.mark.parametrize(("call_s", "met"), [(0.149, True), (0.151, False)])
def test_the_whole_call_is_held_against_its_own_network(call_s: float, met: bool) -> None:
    (verdict,) = about("bare network", usual(call_s=call_s))
    assert verdict.met is met


def test_the_working_scale_is_judged_too_where_it_was_measured() -> None:
    measured = comparison(
        series(
            STAR_CONVEX,
            {"network": [0.1], "call": [0.14], "network as used": [0.04], "call as used": [0.08]},
        ),
        series(MASK_RCNN, {"network": [1.0], "call": [1.4]}),
    )
    assert [each.met for each in about("bare network", measured)] == [True, False]


def test_beating_stardist_is_enough() -> None:
    (verdict,) = about("than StarDist", usual())
    assert verdict.met is True


def test_neither_stardist_nor_mask_rcnn_beaten_by_enough_is_not_met() -> None:
    (verdict,) = about("than StarDist", usual(stardist_s=0.2))
    assert verdict.met is False


def test_without_stardist_the_goal_is_open_unless_mask_rcnn_is_beaten_by_enough() -> None:
    for call_s, met in ((0.14, None), (0.05, True)):
        measured = comparison(
            series(STAR_CONVEX, {"network": [0.04], "call": [call_s]}),
            series(MASK_RCNN, {"network": [1.0], "call": [1.4]}),
            absent={STARDIST: "not installed"},
        )
        (verdict,) = about("than StarDist", measured)
        assert verdict.met is met
        assert "not measured (not installed)" in verdict.measured


def test_bf16_is_not_measured_where_the_processor_has_no_units() -> None:
    (verdict,) = about("in bf16", usual())
    assert (verdict.met, verdict.measured) == (None, "not measured: no units")


@pytest.mark.parametrize(("memory_mb", "met"), [(599.0, True), (600.0, False), (None, None)])
def test_memory_is_judged_where_the_system_tells_it(memory_mb: float | None, met: bool | None) -> None:
    (verdict,) = about("memory", usual(memory_mb=memory_mb))
    assert verdict.met is met


def test_images_of_another_count_are_told() -> None:
    measured = comparison(
        series(STAR_CONVEX, {"network": [0.1], "call": [0.1]}, nuclei=3),
        series(MASK_RCNN, {"network": [1.0], "call": [1.0]}),
    )
    assert about("about 45 nuclei", measured)[0].met is False


def test_the_table_names_processor_verdicts_and_a_busy_machine() -> None:
    busy = comparison(*usual().series, load_before=1.9)
    text = report_text(busy)
    assert "Abacus" in text
    assert "load 1.9 on 2 processors" in text
    assert "NOT MET  1        8 times" not in text
    assert "load" not in report_text(usual())


def test_the_document_holds_every_round() -> None:
    document = json.loads(json.dumps(report_document(usual())))
    assert document["series"][0]["parts"]["network"]["rounds_wall_s"] == [0.1, 0.1]
    assert document["images"]["annotated_nuclei"] == [1]


def test_the_plot_has_a_bar_for_each_network_and_call() -> None:
    (panel,) = report_figure(usual()).axes
    bars = [patch for patch in panel.patches if isinstance(patch, Rectangle)]
    assert [round(bar.get_width()) for bar in bars] == [100, 140, 1000, 1400, 300, 400]
