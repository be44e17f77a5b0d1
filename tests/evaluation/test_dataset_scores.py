"""Data sets scored by `nuceval` and `pannuke`, and the intervals; test_standard.py has the protocol `standard`."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from nucleate.errors import ConfigError, DataError
from nucleate.evaluation import (
    CentroidLimit,
    EvaluationSettings,
    NucevalParts,
    Protocol,
    VagueAreas,
    evaluate_predictions,
    evaluation_to_html,
    evaluation_to_json,
    evaluation_to_markdown,
)
from nucleate.files import write_image
from tests.evaluation.drawings import Box, draw, predict, write_dataset

G: Box = (5, 15, 10, 20)
SHIFTED: Box = (5, 15, 11, 21)
FAR: Box = (5, 15, 25, 35)
PAIR: list[Box] = [(5, 15, 2, 12), (5, 15, 25, 35)]


def _nuceval(
    *, vague_threshold: float | None = None, weighted: bool = False, overlapping: bool = False, ring_px: int = 0
) -> EvaluationSettings:
    parts = NucevalParts(vague_threshold=vague_threshold, weighted=weighted, overlapping=overlapping, ring_px=ring_px)
    return EvaluationSettings(protocol=Protocol(name="nuceval", parts=parts))


def test_weights_by_nuclei(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[G], PAIR])
    predictions = [predict(1, [SHIFTED], [0.9]), predict(2, PAIR[:1], [0.9])]
    weighted = evaluate_predictions(dataset, predictions, _nuceval(weighted=True)).overall
    alike = evaluate_predictions(dataset, predictions, _nuceval()).overall
    assert (weighted.scores.pq, weighted.scores.aji) == pytest.approx((71.717, 60.606), abs=1e-3)
    assert (alike.scores.pq, alike.pooled.pq) == pytest.approx((74.242, 72.727), abs=1e-3)
    assert weighted.detection[0].f1 == pytest.approx((100 + 2 * 66.667) / 3, abs=1e-3)


def test_overlapping_annotations_are_kept_whole_and_not_noted(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[(5, 15, 5, 15), (5, 15, 11, 21)]])
    predictions = [predict(1, [(5, 15, 5, 15), (5, 15, 15, 21)], [0.9, 0.8])]
    kept = evaluate_predictions(dataset, predictions, _nuceval(overlapping=True))
    flat = evaluate_predictions(dataset, predictions, _nuceval())
    assert kept.overall.scores.pq == pytest.approx(80)
    assert kept.notes == ()
    assert flat.overall.scores.pq == pytest.approx(60)
    assert len(flat.notes) == 1


def test_a_ring_forgives_a_shift_by_one(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[G]])
    assert evaluate_predictions(dataset, [predict(1, [SHIFTED], [0.9])], _nuceval(ring_px=1)).overall.scores.pq == 100


def _vague(folder: Path, *areas: Box | None) -> VagueAreas:
    for number, area in enumerate(areas, start=1):
        pixels = draw() if area is None else draw(area, ids=[255])
        write_image(folder / f"image_{number}.png", pixels.astype(np.uint8))
    return VagueAreas(folder=folder)


def test_vague_areas_come_from_a_folder(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", [[G], [G]])
    predictions = [predict(1, [], []), predict(2, [G], [0.9])]
    vague = _vague(tmp_path / "vague", (5, 15, 17, 20), None)
    evaluation = evaluate_predictions(dataset, predictions, _nuceval(vague_threshold=0.25), vague=vague)
    assert [(image.annotated, image.scores and image.scores.pq) for image in evaluation.images] == [(0, 100), (1, 100)]


def test_an_image_without_a_vague_area_is_refused(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", [[G], [G]])
    with pytest.raises(DataError, match=r"1 of 2 images have no vague area, the first is 'image_2.png'"):
        _vague(tmp_path / "vague", None).fingerprint(dataset)


def test_the_fingerprint_changes_with_the_masks(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", [[G]])
    assert _vague(tmp_path / "a", None).fingerprint(dataset) != _vague(tmp_path / "b", G).fingerprint(dataset)


def test_a_vague_area_of_another_size_is_refused(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", [[G]])
    write_image(tmp_path / "image_1.png", np.zeros((3, 4), np.uint8))
    with pytest.raises(DataError, match="vague area of 4 x 3 for an image of 40 x 20"):
        VagueAreas(folder=tmp_path).read(dataset.records[0])


def test_vague_areas_and_threshold_belong_together(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[]])
    with pytest.raises(ConfigError, match="a vague threshold without vague areas"):
        evaluate_predictions(dataset, [predict(1, [], [])], _nuceval(vague_threshold=0.25))
    with pytest.raises(ConfigError, match="of no use to the protocol standard"):
        evaluate_predictions(dataset, [predict(1, [], [])], vague=VagueAreas(folder=tmp_path))


def test_pannuke_leaves_out_images_without_annotated_nuclei(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[G, (0, 3, 0, 3)], []], organs=["colon", "colon"], classes=("round", "oval"))
    predictions = [predict(1, [G, (0, 3, 0, 3)], [0.9, 0.9], [0, 0]), predict(2, [G], [0.9])]
    settings = EvaluationSettings(protocol=Protocol(name="pannuke"))
    evaluation = evaluate_predictions(dataset, predictions, settings)
    assert evaluation.pannuke is not None
    assert (evaluation.pannuke.bpq, evaluation.pannuke.mpq) == pytest.approx((100, 100 / 3), abs=1e-3)
    assert evaluation.overall.scores.pq == 100
    assert evaluation.overall.pooled.pq == pytest.approx(80)
    assert evaluation.images[1].scores is None
    text = evaluation_to_markdown(evaluation)
    assert "| over 1 images | 100.0 | 33.3 |" in text
    assert "Images without annotated nuclei are skipped" in text


def test_the_protocol_stands_beside_the_numbers_and_in_the_document(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[G], []])
    predictions = [predict(1, [SHIFTED], [0.9]), predict(2, [], [])]
    evaluation = evaluate_predictions(dataset, predictions, _nuceval(ring_px=2, weighted=True))
    words = (
        "nuceval (vague areas off, ring 2 px, overlapping annotations flattened, weighted by nuclei, rasteriser coco)"
    )
    document = evaluation_to_json(evaluation)
    assert (document["protocol"], document["nuceval"]["ring_px"]) == (words, 2)
    assert f"protocol `{words}`" in evaluation_to_markdown(evaluation)
    assert "| nuceval, mean over images weighted by annotated nuclei | 100.0 |" in evaluation.summary()


def test_intervals_hold_their_means_and_are_printed(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[G]] * 6)
    predictions = [predict(number, [SHIFTED] if number % 2 else [G], [0.9]) for number in range(1, 7)]
    evaluation = evaluate_predictions(dataset, predictions)
    pq = evaluation.intervals[0]
    assert (pq.score, pq.low < evaluation.overall.scores.pq < pq.high) == ("pq", True)
    assert f"| {pq.low:.1f} to {pq.high:.1f} |" in evaluation.summary()
    assert evaluation_to_json(evaluation)["intervals"]["scores"]["pq"] == {"low": pq.low, "high": pq.high}


def test_intervals_by_organ_need_two_organs(tmp_path: Path) -> None:
    predictions = [predict(1, [G], [0.9]), predict(2, [], [])]
    settings = EvaluationSettings(resample_by="organ")
    one = write_dataset(tmp_path / "one", [[G], [G]], organs=["colon", "colon"])
    two = write_dataset(tmp_path / "two", [[G], [G]], organs=["colon", "liver"])
    assert math.isnan(evaluate_predictions(one, predictions, settings).intervals[0].low)
    assert evaluate_predictions(two, predictions, settings).intervals[0].low == 0


@pytest.mark.parametrize("by", ["organ", "source"])
def test_images_that_name_no_group_are_refused(tmp_path: Path, by: str) -> None:
    settings = EvaluationSettings(resample_by=by)
    with pytest.raises(DataError, match=f"'image_1.png' names no {by}: resample by image"):
        evaluate_predictions(write_dataset(tmp_path, [[G]]), [predict(1, [], [])], settings)


def test_a_skipped_set_has_no_interval(tmp_path: Path) -> None:
    settings = EvaluationSettings(empty_image="skip")
    evaluation = evaluate_predictions(
        write_dataset(tmp_path, [[], []]), [predict(1, [], []), predict(2, [], [])], settings
    )
    assert math.isnan(evaluation.intervals[0].low)
    assert evaluation_to_json(evaluation)["overall"]["detection"][0]["f1"] is None


def test_counts_splits_and_merges_are_in_the_details_only(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[G], [G]])
    halves: list[Box] = [(5, 15, 10, 15), (5, 15, 15, 20)]
    evaluation = evaluate_predictions(dataset, [predict(1, halves, [0.9, 0.9]), predict(2, [], [])])
    assert "| all | +0.0 | 1.0 | 1 | 0 |" in evaluation_to_markdown(evaluation)
    assert "mean absolute error" not in evaluation.summary()
    document = evaluation_to_json(evaluation)
    assert document["overall"]["count_error"] == {"mean": 0, "mean_absolute": 1}
    assert [rule["rule"] for rule in document["overall"]["detection"]][-2:] == ["IoU >= 0.95", "centroid"]


def test_the_centroid_limit_is_a_setting(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[G]])
    predictions = [predict(1, [(5, 15, 14, 24)], [0.9])]
    strict = EvaluationSettings(centroid_limit=CentroidLimit(distance_px=3))
    assert evaluate_predictions(dataset, predictions).overall.detection[-1].f1 == 100
    assert evaluate_predictions(dataset, predictions, strict).overall.detection[-1].f1 == 0


def test_species_and_classes_have_scores_of_their_own(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, [[G, FAR], [G]], species=["human", "mouse"], classes=["a", "b"])
    evaluation = evaluate_predictions(
        dataset, [predict(1, [G, FAR], [0.9, 0.9], [0, 0]), predict(2, [], [])], EvaluationSettings()
    )
    assert [(group.name, group.scores.pq) for group in evaluation.species] == [("human", 100), ("mouse", 0)]
    assert [image.species for image in evaluation.images] == ["human", "mouse"]
    one, other = evaluation.classes
    # Of class a one nucleus of two is found and one invented; the one of b is taken for a.
    assert one.name == "a"
    assert (one.matches.dq, one.pq) == pytest.approx((1 / 2, 100 / 3))
    assert (other.matches.false_negatives, other.pq) == (1, 0)
    assert evaluation.pannuke is not None
    assert evaluation.pannuke.bpq == 50
    document = evaluation_to_json(evaluation)
    assert [each["f1"] for each in document["classes"]] == [pytest.approx(50), 0]
    assert [group["name"] for group in document["species"]] == ["human", "mouse"]
    text = evaluation_to_markdown(evaluation)
    assert "| a | 2 | 2 | 50.0 | 50.0 | 50.0 | 33.3 |" in text
    assert "## By species" in text
    assert "<td>mouse</td>" in evaluation_to_html(evaluation)


def test_one_class_and_unknown_species_have_no_tables(tmp_path: Path) -> None:
    evaluation = evaluate_predictions(write_dataset(tmp_path, [[G]]), [predict(1, [G], [0.9])])
    assert (evaluation.species, evaluation.classes, evaluation.pannuke) == ((), (), None)


def test_patients_are_found_in_file_names(tmp_path: Path) -> None:
    """`image_1` and `image_2`: every image is its own patient; by `image`, all are one."""
    dataset, predictions = write_dataset(tmp_path, [[G], [G]]), [predict(1, [G], [0.9]), predict(2, [], [])]
    each = evaluate_predictions(dataset, predictions, EvaluationSettings(resample_by=r"image_(\d)"))
    assert each.intervals[0].low == 0
    assert r"(by `image_(\d)` in the file name)" in evaluation_to_markdown(each)
    assert math.isnan(
        evaluate_predictions(dataset, predictions, EvaluationSettings(resample_by="^ima")).intervals[0].low
    )


def test_a_pattern_that_matches_nothing_or_is_none_is_refused(tmp_path: Path) -> None:
    settings = EvaluationSettings(resample_by="organs")
    with pytest.raises(DataError, match="'organs' is neither image, organ nor source, and matches nothing"):
        evaluate_predictions(write_dataset(tmp_path, [[G]]), [predict(1, [], [])], settings)
    with pytest.raises(ConfigError, match="nor a regular expression"):
        EvaluationSettings(resample_by="(")
