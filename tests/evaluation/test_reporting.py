from __future__ import annotations

import base64
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nucleate.evaluation import (
    Comparison,
    Evaluation,
    EvaluationSettings,
    Fate,
    NucevalParts,
    Protocol,
    compare_evaluations,
    conclusions,
    draw_fates,
    evaluate_predictions,
    evaluation_to_html,
    pair_image,
    worst_and_best,
    write_comparison,
)
from nucleate.evaluation.report import report_markdown
from nucleate.evaluation.reporting.cases import PICTURE_PX
from nucleate.evaluation.reporting.palette import FATE_STYLES
from tests.evaluation.drawings import SHAPE, Box, predict, write_dataset
from tests.pages import check_page

G: Box = (5, 15, 10, 20)
SHIFTED: Box = (5, 15, 11, 21)
FAR: Box = (0, 4, 30, 34)
SCHEMA = Path(__file__).parents[2] / "docs" / "evaluation-schema.md"


def _evaluate(
    folder: Path,
    annotated: Sequence[Sequence[Box]],
    predicted: Sequence[Sequence[Box]],
    settings: EvaluationSettings | None = None,
    organs: Sequence[str | None] | None = None,
) -> Evaluation:
    dataset = write_dataset(folder, annotated, organs=organs)
    predictions = [predict(place, boxes, [0.9] * len(boxes)) for place, boxes in enumerate(predicted, start=1)]
    return evaluate_predictions(dataset, predictions, settings)


def _said(evaluation: Evaluation, kind: str) -> str:
    return " ".join(each.text for each in conclusions(evaluation) if each.kind == kind)


@pytest.fixture
def evaluation(tmp_path: Path) -> Evaluation:
    settings = EvaluationSettings(model="a <model>", split="test")
    return _evaluate(
        tmp_path / "data", [[G, FAR], [G], [G]], [[SHIFTED], [G], []], settings, ["liver & co", "liver & co", "lung"]
    )


def test_the_page_is_whole_and_loads_nothing(evaluation: Evaluation) -> None:
    sources = check_page(evaluation_to_html(evaluation))
    assert len(sources) == 5
    for source in sources:
        assert ET.fromstring(base64.b64decode(source.split(",")[1])).tag.endswith("svg")  # noqa: S314


def test_texts_of_the_page_are_escaped(evaluation: Evaluation) -> None:
    page = evaluation_to_html(evaluation)
    assert "<h1>Evaluation of a &lt;model&gt;</h1>" in page
    assert "liver &amp; co" in page


def test_the_page_holds_the_markdown_tables_numbers(evaluation: Evaluation) -> None:
    cells = re.findall(r"<td>(.*?)</td>", evaluation_to_html(evaluation))
    text = report_markdown(evaluation)
    assert f"{evaluation.overall.scores.pq:.1f}" in cells
    assert "## Conclusions" in text
    interval = evaluation.intervals[0]
    assert f"{interval.low:.1f} to {interval.high:.1f}" in cells
    assert f"{interval.low:.1f} to {interval.high:.1f}" in text


def test_a_page_of_nothing_annotated_is_whole(tmp_path: Path) -> None:
    evaluation = _evaluate(tmp_path, [[]], [[]], EvaluationSettings(empty_image="skip"))
    check_page(evaluation_to_html(evaluation))
    assert "No image counts" in _said(evaluation, "note")


def test_worst_and_best_images_are_apart_and_in_order(tmp_path: Path) -> None:
    annotated, predicted = [[G, FAR]] * 4 + [[]], [[SHIFTED], [G, FAR], [], [SHIFTED, FAR], []]
    dataset = write_dataset(tmp_path, annotated)
    predictions = [predict(place, boxes, [0.9] * len(boxes)) for place, boxes in enumerate(predicted, start=1)]
    pixels = np.full((*SHAPE, 3), 180, np.uint8)
    Image.fromarray(pixels).save(dataset.image_path(dataset.records[2]))
    worst, best = worst_and_best(dataset, predictions, evaluate_predictions(dataset, predictions), each=4)
    assert [case.result.image_id for case in worst] == [3, 1]
    assert [case.result.image_id for case in best] == [2, 4]
    assert (worst[0].counts[Fate.MISSED], best[0].counts[Fate.MATCHED]) == (2, 2)
    assert (worst[0].image_jpeg is None, worst[1].image_jpeg is None) == (False, True)
    page = evaluation_to_html(evaluate_predictions(dataset, predictions), worst, best)
    assert len(check_page(page)) == 4 + 5
    outlined = Image.open(io.BytesIO(worst[0].outlined_jpeg))
    assert max(outlined.size) <= PICTURE_PX


def test_one_image_is_worst_only(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[G]])
    predictions = [predict(1, [G], [0.9])]
    worst, best = worst_and_best(dataset, predictions, evaluate_predictions(dataset, predictions))
    assert (len(worst), len(best)) == (1, 0)


def test_each_fate_is_outlined_in_its_colour(tmp_path: Path) -> None:
    annotated: list[Box] = [(1, 8, 1, 8), (1, 8, 12, 19), (1, 8, 24, 34), (11, 18, 1, 6), (11, 18, 6, 11)]
    predicted: list[Box] = [(1, 8, 1, 8), (1, 8, 24, 28), (1, 8, 29, 34), (11, 18, 1, 11), (11, 18, 25, 32)]
    dataset = write_dataset(tmp_path, [annotated])
    pair = pair_image(dataset.annotations(dataset.records[0]), predict(1, predicted, [0.9] * 5).instances)
    picture = draw_fates(np.full((*SHAPE, 3), 120, np.uint8), pair, scale=4)
    places = {
        Fate.MATCHED: (slice(0, 36), slice(0, 36)),
        Fate.MISSED: (slice(0, 36), slice(44, 80)),
        Fate.SPLIT: (slice(0, 36), slice(92, 140)),
        Fate.MERGED: (slice(40, 76), slice(0, 48)),
        Fate.FALSE: (slice(40, 76), slice(96, 132)),
    }
    for fate, (rows, columns) in places.items():
        seen = {tuple(colour) for colour in picture[rows, columns].reshape(-1, 3).tolist()}
        assert {kind for kind in Fate if FATE_STYLES[kind].rgb in seen} == {fate}


@pytest.mark.parametrize(
    ("predicted", "kind", "words"),
    [
        ([[G], [], []], "weak", "nuclei are missed rather than invented"),
        ([[G, FAR], [G, FAR], [G, FAR]], "weak", "nuclei are invented rather than missed"),
        ([[G], [G], [G]], "strong", "are balanced"),
        ([[G, FAR], [G, FAR], [G, FAR]], "weak", "6 nuclei are predicted where 3 are annotated (+100 %"),
        ([[SHIFTED], [SHIFTED], [SHIFTED]], "weak", "loses more by outlines (SQ 81.8)"),
        ([[], [], []], "note", "APl is nan: no annotated nucleus of 96x96 px or more in this set."),
    ],
)
def test_conclusions_follow_the_numbers(tmp_path: Path, predicted: list[list[Box]], kind: str, words: str) -> None:
    assert words in _said(_evaluate(tmp_path, [[G], [G], [G]], predicted), kind)


def test_missed_nuclei_of_a_kind_are_said(tmp_path: Path) -> None:
    touching: list[Box] = [(0, 4, 0, 4), (0, 4, 4, 8)]
    evaluation = _evaluate(tmp_path, [[*touching, G]] * 3, [[G]] * 3)
    said = _said(evaluation, "weak")
    assert "0.0 % of touching and 100.0 % of isolated nuclei are found; 67 % touch" in said
    assert "Of nuclei of 16 to 16 px 0.0 % are found (IoU > 0.5), of those of 100 to 100 px 100.0 %" in said
    found = _evaluate(tmp_path, [[*touching, G]] * 3, [[*touching, G]] * 3)
    assert "Nuclei of all sizes are found alike" in _said(found, "strong")
    assert "found as well" in _said(found, "strong")


def test_merging_is_said_where_it_is_the_commoner_fault(tmp_path: Path) -> None:
    halves: list[Box] = [(5, 15, 10, 15), (5, 15, 15, 20)]
    merging = _evaluate(tmp_path, [halves] * 10, [[G]] * 10)
    assert "Merging is the commoner fault: 10 predictions" in _said(merging, "weak")
    assert "Splitting is the commoner fault" in _said(_evaluate(tmp_path, [[G]] * 10, [halves] * 10), "weak")


def test_organs_beyond_the_mean_are_named_and_small_ones_are_not(tmp_path: Path) -> None:
    organs = ["good"] * 4 + ["bad"] * 4 + ["lone"] + ["empty"]
    predicted: list[list[Box]] = [[G]] * 4 + [[]] * 4 + [[G], []]
    evaluation = _evaluate(tmp_path, [[G]] * 9 + [[]], predicted, EvaluationSettings(), organs)
    assert "its whole interval too, in good (100.0)" in _said(evaluation, "strong")
    assert "its whole interval too, in bad (0.0)" in _said(evaluation, "weak")
    notes = _said(evaluation, "note")
    assert "No nucleus is annotated in empty: AP is nan there." in notes
    assert "no interval (nan) for empty, lone" in notes
    assert "by organ, which is wider" in notes


def test_overlapping_annotations_have_no_bound(tmp_path: Path) -> None:
    settings = EvaluationSettings(protocol=Protocol(name="nuceval", parts=NucevalParts(overlapping=True)))
    assert "not bound by" in _said(_evaluate(tmp_path / "a", [[G]], [[G]], settings), "note")
    assert "reaches 100 % of that bound" in _said(_evaluate(tmp_path / "b", [[G]], [[G]]), "note")


def test_more_nuclei_than_detectron2_counts_are_said(tmp_path: Path) -> None:
    many: list[Box] = [(2 * row, 2 * row + 1, 3 * column, 3 * column + 1) for row in range(10) for column in range(13)]
    assert "1 of 1 images hold more than 100 annotated nuclei" in _said(_evaluate(tmp_path, [many], [many]), "note")


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    annotated: list[list[Box]] = [[G]] * 8
    first = _evaluate(tmp_path, annotated, [[SHIFTED]] * 8, EvaluationSettings(model="a"))
    second = _evaluate(tmp_path, annotated, [[G]] * 8, EvaluationSettings(model="b"))
    third = _evaluate(tmp_path, annotated, [[G]] * 4 + [[]] * 4, EvaluationSettings(model="c"))
    worse = _evaluate(tmp_path, annotated, [[]] * 8, EvaluationSettings(model="d"))
    return compare_evaluations([first, second, third, replace(worse, notes=("left out",))])


def test_a_comparison_is_three_files(tmp_path: Path, comparison: Comparison) -> None:
    write_comparison(tmp_path / "out", comparison)
    assert len(check_page((tmp_path / "out" / "comparison.html").read_text())) == 1
    document = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [model["model"] for model in document["models"]] == ["a", "b", "c", "d"]
    assert document["differences"][0]["difference"] == pytest.approx(18.18, abs=0.01)
    assert comparison.summary() in (tmp_path / "out" / "comparison.md").read_text()
    documented = set(re.findall(r"`([A-Za-z0-9_]+)`", SCHEMA.read_text()))
    keys = {*document, *document["models"][0], *document["differences"][0], *document["models"][0]["scores"]["pq"]}
    assert keys <= documented


def test_conclusions_of_a_comparison(comparison: Comparison) -> None:
    better, alike, worse = comparison.conclusions()
    assert better.startswith("2: b against 1: a: better in PQ by 18.2 points (+18.2 to +18.2)")
    assert "not told apart in PQ" in alike
    assert "worse in PQ by 81.8 points" in worse
    assert comparison.notes() == ("4: d: left out.",)
