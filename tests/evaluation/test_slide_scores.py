from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from nucleate.api.evaluate import evaluate
from nucleate.api.scoring import EvaluateSettings
from nucleate.core import Frame, Instances, label_map_from_masks, masks_from_polygons
from nucleate.data import dataset_of_instances
from nucleate.errors import ConfigError, DataError, ResultsError
from nucleate.evaluation import (
    AveragePrecisionScorer,
    EvaluationSettings,
    Kind,
    NucevalParts,
    PrecisionTable,
    Protocol,
    SlideOverlaps,
    evaluate_slide,
    slide_overlaps,
)
from nucleate.evaluation.centroids import label_map_centroids
from nucleate.evaluation.fates import touching_ids
from nucleate.evaluation.matching import label_map_overlaps
from nucleate.evaluation.sparse_precision import ScoredPairs, sparse_average_precision
from nucleate.export import ImagePredictions
from nucleate.export.coco_results import coco_records
from nucleate.readers import BandedPolygons, GeoParquetFile
from tests.readers.nuclei_files import write_parquet

FRAME = Frame(height_px=48, width_px=48)
halves = st.integers(0, 70).map(lambda value: value / 2)
boxes = st.tuples(halves, halves, st.integers(1, 20), st.integers(1, 20)).map(
    lambda box: shapely.box(box[0], box[1], box[0] + box[2] / 2, box[1] + box[3] / 2)
)
sides = st.lists(boxes, max_size=12)


def _open(path: Path, geometries: Sequence[shapely.Geometry], scores: list[float] | None = None) -> GeoParquetFile:
    return GeoParquetFile.open(write_parquet(path, geometries, scores=scores, rows_a_group=4))


def _overlaps(
    annotated: Sequence[shapely.Geometry],
    predicted: Sequence[shapely.Geometry],
    scores: list[float],
    *,
    above: float,
    tile_px: int,
) -> SlideOverlaps:
    with tempfile.TemporaryDirectory() as name:
        return slide_overlaps(
            _open(Path(name, "a.parquet"), annotated),
            _open(Path(name, "p.parquet"), predicted, scores),
            above=above,
            tile_px=tile_px,
        )


def _array(geometries: Sequence[shapely.Geometry]) -> np.ndarray[tuple[int], np.dtype[np.object_]]:
    return np.array([*geometries, None], np.object_)[:-1]


@settings(max_examples=60)
@given(annotated=sides, predicted=sides, data=st.data(), tile_px=st.sampled_from([3, 7, 16, 64]))
def test_bands_and_tiles_give_what_label_maps_of_the_whole_give(
    annotated: list[shapely.Geometry], predicted: list[shapely.Geometry], data: st.DataObject, tile_px: int
) -> None:
    """Nuclei over tile borders and over one another, equal scores, files in any order."""
    scores = data.draw(st.lists(st.sampled_from([0.2, 0.5, 0.9]), min_size=len(predicted), max_size=len(predicted)))
    found = _overlaps(annotated, predicted, scores, above=0.2, tile_px=tile_px)
    kept = [place for place, score in enumerate(scores) if score > 0.2]
    ours = label_map_from_masks(masks_from_polygons(_array(annotated), FRAME), np.arange(len(annotated), dtype=float))
    theirs = label_map_from_masks(
        masks_from_polygons(_array([predicted[place] for place in kept]), FRAME), np.array([scores[k] for k in kept])
    )
    expected = label_map_overlaps(ours, theirs)
    for name in (
        "annotated_ids",
        "predicted_ids",
        "annotated_areas_px",
        "predicted_areas_px",
        "annotated_indices",
        "predicted_indices",
        "intersections_px",
    ):
        assert_array_equal(getattr(found.overlaps, name), getattr(expected, name))
    assert_array_equal(found.overlaps.annotated_ids[found.touching], touching_ids(ours))
    assert found.hidden == len(annotated) - expected.annotated_count
    assert_array_equal(found.centroids.annotated_xy, label_map_centroids(ours, expected.annotated_ids))
    assert_array_equal(found.centroids.predicted_xy, label_map_centroids(theirs, expected.predicted_ids))


@settings(max_examples=60)
@given(annotated=sides, predicted=sides, data=st.data(), tile_px=st.sampled_from([3, 7, 16, 64]))
def test_ap_in_bands_is_that_of_whole_masks(
    annotated: list[shapely.Geometry], predicted: list[shapely.Geometry], data: st.DataObject, tile_px: int
) -> None:
    scores = data.draw(st.lists(st.sampled_from([0.2, 0.5, 0.9]), min_size=len(predicted), max_size=len(predicted)))
    found = _overlaps(annotated, predicted, scores, above=0.5, tile_px=tile_px)
    expected = _precision_of_matrix(annotated, predicted, scores)
    sides: tuple[tuple[Kind, ScoredPairs], ...] = (("bbox", found.box_pairs), ("segm", found.mask_pairs))
    for kind, pairs in sides:
        capped, uncapped = sparse_average_precision(kind, pairs)
        for one, other in ((capped, getattr(expected, kind)), (uncapped, getattr(expected, f"{kind}_uncapped"))):
            assert one.named() == pytest.approx(other.named(), abs=1e-9, nan_ok=True)
            assert one.curve50 == pytest.approx(other.curve50, abs=1e-9)
            assert (one.max_detections, one.undefined) == (other.max_detections, other.undefined)


def _precision_of_matrix(
    annotated: list[shapely.Geometry], predicted: list[shapely.Geometry], scores: list[float]
) -> PrecisionTable:
    masks = [masks_from_polygons(_array(side), FRAME) for side in (annotated, predicted)]
    held = [side.areas_px() > 0 for side in masks]
    dataset = dataset_of_instances(
        Path("a"),
        [("a", Instances.from_masks(masks[0].select(held[0])))],
        class_names=["nucleus"],
        images_dir=Path("a"),
    )
    instances = Instances.from_masks(masks[1].select(held[1]), scores=np.array(scores, np.float32)[held[1]])
    records = coco_records(ImagePredictions(image_id=1, file_name="a", instances=instances), [1])
    return AveragePrecisionScorer(dataset.coco(), records, image_ids=[1]).score()


def test_a_row_of_rivals_is_settled_as_one_detection_after_the_other_would_be() -> None:
    """Each of 120 boxes lies between two annotated ones: a chain that takes many rounds, and more than 100."""
    annotated = [shapely.box(4 * place, 0, 4 * place + 12, 10) for place in range(121)]
    predicted = [shapely.box(4 * place + 2, 0, 4 * place + 14, 10) for place in range(120)]
    scores = [0.99 - place / 1000 for place in range(120)]
    with tempfile.TemporaryDirectory() as name:
        found = slide_overlaps(
            _open(Path(name, "a.parquet"), annotated), _open(Path(name, "p.parquet"), predicted, scores)
        )
    frame = Frame(height_px=10, width_px=600)
    masks = [masks_from_polygons(_array(side), frame) for side in (annotated, predicted)]
    dataset = dataset_of_instances(
        Path("a"), [("a", Instances.from_masks(masks[0]))], class_names=["nucleus"], images_dir=Path("a")
    )
    instances = Instances.from_masks(masks[1], scores=np.array(scores, np.float32))
    records = coco_records(ImagePredictions(image_id=1, file_name="a", instances=instances), [1])
    expected = AveragePrecisionScorer(dataset.coco(), records, image_ids=[1]).score()
    capped, uncapped = sparse_average_precision("segm", found.mask_pairs)
    assert (capped.ap, uncapped.ap) == pytest.approx((expected.segm.ap, expected.segm_uncapped.ap), abs=1e-9)
    assert capped.ap < uncapped.ap


def test_long_runs_and_a_nucleus_across_many_others_have_their_pixels_counted() -> None:
    """Runs are cut at 64 px before they are compared."""
    wide = [shapely.box(0, 0, 300, 4)]
    pieces = [shapely.box(0, 0, 290, 4), *(shapely.box(10 * place, 0, 10 * place + 5, 4) for place in range(20))]
    with tempfile.TemporaryDirectory() as name:
        found = slide_overlaps(_open(Path(name, "a.parquet"), wide), _open(Path(name, "p.parquet"), pieces))
    assert found.mask_pairs.ious.tolist() == pytest.approx([290 / 300])
    assert found.box_pairs.columns.tolist() == [0]


def _far(count: int, shift: float = 0.0) -> list[shapely.Geometry]:
    """Nuclei along the diagonal of a frame that no label map holds."""
    places = [place * 3000.0 for place in range(count)]
    return [shapely.box(place + shift, place, place + 10 + shift, place + 10) for place in places]


def test_two_files_as_wide_as_a_slide_are_scored_and_reported(tmp_path: Path) -> None:
    annotations = write_parquet(tmp_path / "a.parquet", _far(20))
    predictions = write_parquet(tmp_path / "p.parquet", _far(19, 1.0), scores=[0.9] * 19)
    evaluation = evaluate(predictions, annotations, output=tmp_path / "out")
    overall = evaluation.overall
    assert (overall.annotated, overall.predicted) == (20, 19)
    assert overall.scores.sq == pytest.approx(100 * 90 / 110)
    assert overall.scores.dq == pytest.approx(100 * 38 / 39)
    # IoU 90/110 = 0.82: found at 7 of 10 thresholds; recall 19/20, but COCO's step 0.95 is 0.9500000000000001.
    assert overall.precision.segm_uncapped.ap == pytest.approx(70 * 95 / 101)
    assert overall.precision.bbox.ap50 == pytest.approx(100 * 95 / 101)
    assert overall.detection[-1].rule == "centroid"
    assert overall.detection[-1].f1 == pytest.approx(100 * 38 / 39)
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["overall"]["annotated"] == 20
    assert (tmp_path / "out" / "report.html").is_file()
    assert "PQ" in evaluation.summary()
    other = EvaluateSettings(score=0.95)
    with pytest.raises(ResultsError, match="score_threshold"):
        evaluate(predictions, annotations, output=tmp_path / "out", settings=other)
    fresh = EvaluateSettings(score=0.95, fresh=True)
    assert evaluate(predictions, annotations, output=tmp_path / "out", settings=fresh).overall.predicted == 0


def test_an_output_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", _far(20))
    with pytest.raises(ResultsError, match="is a file"):
        evaluate(path, path, output=path)


def test_many_nuclei_are_scored_in_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nucleate.api.predictions.MANY_PAIRS", 3)
    path = write_parquet(tmp_path / "a.parquet", [shapely.box(x, 0, x + 5, 5) for x in (0, 5, 20)])
    evaluation = evaluate(path, path)
    assert (evaluation.overall.scores.pq, evaluation.overall.precision.segm.max_detections) == (100, 100)
    near = evaluate(path, path, settings=EvaluateSettings(centroid_px=2.0))
    assert str(near.settings.centroid_limit) == "2 px"
    assert evaluation.nuclei.touching.tolist() == [True, True, False]


def test_nuclei_without_a_pixel_of_their_own_are_noted(tmp_path: Path) -> None:
    whole = [shapely.box(0, 0, 5, 5)]
    ours, theirs = (
        _open(tmp_path / "a.parquet", whole * 2),
        _open(tmp_path / "p.parquet", [*whole, shapely.box(9, 9, 9.2, 9.2)]),
    )
    evaluation = evaluate_slide(ours, theirs, EvaluationSettings())
    assert evaluation.overall.scores.pq == 100
    assert evaluation.notes == (
        "1 annotated nuclei hold no pixel centre of their own and were left out (of AP only those without any)",
        "1 predicted nuclei hold no pixel centre of their own and were left out (of AP only those without any)",
    )


def test_other_protocols_are_refused(tmp_path: Path) -> None:
    file = _open(tmp_path / "a.parquet", _far(2))
    protocol = Protocol(name="nuceval", parts=NucevalParts(weighted=True))
    with pytest.raises(ConfigError, match="by the protocol standard"):
        evaluate_slide(file, file, EvaluationSettings(protocol=protocol))


def test_a_region_of_tissue_is_refused(tmp_path: Path) -> None:
    file = _open(tmp_path / "a.parquet", [shapely.box(0, 0, 5, 5), shapely.box(0, 0, 9000, 5)])
    with pytest.raises(DataError, match=r"row 1: a polygon of 9000 px is no nucleus"):
        BandedPolygons(file, tmp_path, band_px=64)


def test_a_band_without_polygons_is_empty(tmp_path: Path) -> None:
    bands = BandedPolygons(_open(tmp_path / "a.parquet", [shapely.box(0, 0, 5, 5)]), tmp_path, band_px=64)
    assert len(bands.read(7).polygons) == 0
    assert bands.read(0).indices.tolist() == [0]
