"""Predictions that exist, read from any format and brought to annotations of any format."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nucleate.api.scored_part import WHOLE, EvaluatedImages, ScoredPart, read_part, whole_part
from nucleate.api.scoring import ScoringSettings, protocol_of
from nucleate.data import Split
from nucleate.errors import ConfigError, DataError
from nucleate.evaluation import (
    CentroidLimit,
    EvaluationSettings,
    FoundPredictions,
    dataset_of_side,
    pair_sides,
    pair_with_dataset,
    read_results_file,
    read_results_of_files,
)
from nucleate.export.results_folder import COCO_NAME
from nucleate.readers import LARGEST_FRAME_PX, FileFormat, GeoParquetFile, Side, detect_format, read_side

DEFAULT_THRESHOLD = 0.5
CHUNK_BYTES = 2**20
# More pairs of one image are scored in bands: COCO's AP compares every nucleus with every other one, 8 bytes a pair.
MANY_PAIRS = 25_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnnotatedSide:
    """Annotations as they were given: a data set's split, or another format whose frames the predictions may know.

    Attributes:
        part: of COCO annotations; None for another format.
        side: of another format; None for COCO.
        images_dir: the images of another format, None where unknown.
    """

    part: ScoredPart | None = None
    side: Side | None = None
    images_dir: Path | None = None

    def for_model(self) -> ScoredPart:
        """Return the images for a model to segment.

        Raises:
            DataError: annotations of another format without a folder of images.
        """
        if self.part is not None:
            return self.part
        if self.side is None or self.images_dir is None:
            path = None if self.side is None else self.side.path
            raise DataError("a model needs the images: --images names their folder", path=path)
        return whole_part(dataset_of_side(self.side, self.images_dir))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReadPredictions:
    """Predictions on the images that they share with the annotations.

    Attributes:
        part: those images.
        found: their predictions.
        file_format: of the predictions.
        path: the file or folder.
        evaluated: what `evaluate` left beside them; None for all others.
    """

    part: ScoredPart
    found: FoundPredictions
    file_format: FileFormat
    path: Path
    evaluated: EvaluatedImages | None = None

    def conditions(self, rules: EvaluationSettings, settings: ScoringSettings) -> EvaluationSettings:
        """Return the rules with the predictions' name, fingerprint and score threshold.

        A results list holds what a model weighs, the other formats what it settled on: all their nuclei count. A folder
        that `evaluate` wrote has its own threshold.
        """
        weighs = self.file_format == "coco-results"
        threshold, origin = (DEFAULT_THRESHOLD, "default for results files") if weighs else (0.0, "all nuclei count")
        if self.evaluated is not None:
            threshold, origin = self.evaluated.score_threshold, "that of its evaluation"
        return replace(
            rules,
            score_threshold=threshold if settings.score is None else settings.score,
            score_threshold_from=origin if settings.score is None else "given",
            model=self.path.name,
            model_fingerprint=fingerprint(self.path),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideFiles:
    """Two GeoParquet files that are scored in bands."""

    annotated: GeoParquetFile
    predicted: GeoParquetFile

    def conditions(self, settings: ScoringSettings) -> EvaluationSettings:
        """Return the rules with the predictions' name, fingerprint and score threshold."""
        return EvaluationSettings(
            empty_image=settings.empty_image,
            protocol=protocol_of(settings),
            centroid_limit=CentroidLimit(distance_px=settings.centroid_px),
            score_threshold=0.0 if settings.score is None else settings.score,
            score_threshold_from="all nuclei count" if settings.score is None else "given",
            model=self.predicted.path.name,
            model_fingerprint=fingerprint(self.predicted.path),
        )


def slide_files(predictions: Path, annotations: Path) -> SlideFiles | None:
    """Return two GeoParquet files that are too many nuclei, or too far apart, for label maps; None for all others.

    Raises:
        DataError: a file is unsound.
    """
    if detect_format(predictions) != "geoparquet" or detect_format(annotations) != "geoparquet":
        return None
    if predictions.is_dir() or annotations.is_dir():
        return None
    files = SlideFiles(annotated=GeoParquetFile.open(annotations), predicted=GeoParquetFile.open(predictions))
    if files.annotated.rows * files.predicted.rows > MANY_PAIRS:
        return files
    bounds = [file.bounds_xyxy() for file in (files.annotated, files.predicted)]
    left, top = np.minimum(bounds[0][:2], bounds[1][:2])
    right, bottom = np.maximum(bounds[0][2:], bounds[1][2:])
    # Of no polygon at all the bounds are the wrong way round.
    return files if max(right - left, 0) * max(bottom - top, 0) > LARGEST_FRAME_PX else None


def read_annotations(path: Path, on: Split | None, settings: ScoringSettings) -> AnnotatedSide:
    """Return annotations of any format.

    Raises:
        ConfigError: a split of a format that has none.
        DataError: no such file, or an unsound one.
    """
    if detect_format(path) in (None, "coco"):
        return AnnotatedSide(part=read_part(path, on, settings))
    if on not in (None, WHOLE):
        raise ConfigError(f"only data sets that `prepare` made have a split {on!r}: {path} is scored whole")
    beside = path / "images" if path.is_dir() else path.parent / "images"
    images_dir = settings.images or (beside if beside.is_dir() else None)
    return AnnotatedSide(side=read_side(path), images_dir=images_dir)


def read_predictions(path: Path, annotated: AnnotatedSide) -> ReadPredictions:
    """Return predictions of any format on the images that the annotations have too.

    Raises:
        DataError: they are unsound, or don't fit the annotations.
    """
    file_format = detect_format(path)
    if file_format is None:
        what = "no predictions that can be read" if path.exists() else "no such results file"
        raise DataError(f"{what}: a results folder, COCO, label images, GeoJSON or GeoParquet", path=path)
    part, evaluated = annotated.part, None
    if part is None:
        assert annotated.side is not None
        paired = pair_sides(annotated.side, read_side(path), annotated.images_dir)
        part, found = whole_part(paired.dataset), paired.found
    elif file_format == "coco-results":
        found = read_results_file(path, part.dataset, part.whole)
    elif file_format == "results-folder":
        evaluated = EvaluatedImages.of_folder(path)
        notes: tuple[str, ...] = ()
        if evaluated is not None:
            part, notes = evaluated.images_of(part, path)
        found = read_results_of_files(path / COCO_NAME, part.dataset, part.whole)
        found = replace(found, notes=(*notes, *found.notes))
    else:
        paired = pair_with_dataset(part.dataset, read_side(path))
        part, found = replace(part, dataset=paired.dataset), paired.found
    return ReadPredictions(part=part, found=found, file_format=file_format, path=path, evaluated=evaluated)


def fingerprint(path: Path) -> str:
    """Return 16 hexadecimal digits that change with the content of a file, or of the files of a folder."""
    digest = hashlib.sha256()
    if (path / COCO_NAME).is_file():
        path = path / COCO_NAME
    for file in _files(path):
        if path.is_dir():
            digest.update(f"{file.relative_to(path).as_posix()}\0".encode())
        with file.open("rb") as content:
            while chunk := content.read(CHUNK_BYTES):
                digest.update(chunk)
    return digest.hexdigest()[:16]


def _files(path: Path) -> Iterable[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else (path,)
