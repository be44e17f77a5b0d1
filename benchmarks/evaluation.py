"""How fast nuclei are scored, against the plain ways of doing it, and a slide's nuclei on both sides.

    python benchmarks/evaluation.py images data/nuinsseg --images 133 --output speed.json
    python benchmarks/evaluation.py slide --nuclei 1000000 --output slide.json

`images`: annotated nuclei, moved, lost and invented at random, are the predictions. AP by pycocotools' COCOeval on the
same run-length codes; from label maps to AP, each mask encoded by itself for pycocotools; PQ and AJI as their
definitions are written, with full-size masks in a loop over the pairs that overlap. The results must be equal.

`slide`: ellipses of 20 px and their moved twins as two GeoParquet files of rows in no order, scored by
`nucleate evaluate` in a process of its own, whose peak memory is told.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nucleate.core import Instances, encode_rles, label_map_from_masks, masks_from_label_map
from nucleate.data import read_dataset
from nucleate.evaluation import AveragePrecisionScorer, label_map_overlaps
from nucleate.evaluation.aji import aggregated_jaccard_index
from nucleate.evaluation.panoptic import panoptic_quality

LOST, INVENTED, MOVED_PX = 0.15, 0.1, 3
SPACING_PX, DIAMETER_PX, CORNERS = 40, 20.0, 24
ROWS_AT_ONCE = 50_000

Maps = list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]]


@dataclass(frozen=True, kw_only=True)
class Race:
    """One task done twice; seconds of all cores, which other programs on the machine change least."""

    task: str
    ours_s: float
    plain_s: float
    target: float

    @property
    def factor(self) -> float:
        """Return how many times faster ours is."""
        return self.plain_s / self.ours_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    images = commands.add_parser("images")
    images.add_argument("data", type=Path)
    images.add_argument("--images", type=int, default=133)
    images.add_argument("--repeats", type=int, default=3, help="the fastest of so many counts, on both sides")
    slide = commands.add_parser("slide")
    slide.add_argument("--nuclei", type=int, default=1_000_000)
    for each in (images, slide):
        each.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    result = race_images(arguments) if arguments.command == "images" else time_slide(arguments.nuclei)
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def race_images(arguments: argparse.Namespace) -> dict[str, Any]:
    maps = read_maps(arguments.data, arguments.images)
    nuclei = sum(len(np.unique(annotated)) - 1 for annotated, _, _ in maps)
    print(f"{len(maps)} images, {nuclei} annotated nuclei")
    document, detections = codes_of_maps(maps)
    ids = list(range(1, len(maps) + 1))
    races = [
        race(
            "AP of boxes and masks at 100 and all, from the same run-length codes",
            lambda: ap_of(AveragePrecisionScorer(document, detections, image_ids=ids)),
            lambda: plain_ap(document, detections),
            10,
            arguments.repeats,
        ),
        race(
            "from label maps to the same AP",
            lambda: ap_of(AveragePrecisionScorer(*codes_of_maps(maps), image_ids=ids)),
            lambda: plain_ap(*plain_codes_of_maps(maps)),
            3,
            arguments.repeats,
        ),
        race("PQ and AJI of label maps", lambda: pq_aji(maps), lambda: plain_pq_aji(maps), 20, arguments.repeats),
    ]
    return {"images": len(maps), "nuclei": nuclei, "races": [{**asdict(each), "factor": each.factor} for each in races]}


def race(
    task: str, ours: Callable[[], list[float]], plain: Callable[[], list[float]], target: float, repeats: int
) -> Race:
    our_s, our_result = best_of(ours, repeats)
    plain_s, plain_result = best_of(plain, repeats)
    found = Race(task=task, ours_s=our_s, plain_s=plain_s, target=target)
    np.testing.assert_allclose(our_result, plain_result, atol=1e-9)
    print(f"{task}: {found.ours_s:.2f} s, plainly {found.plain_s:.2f} s: {found.factor:.1f} times (wanted {target})")
    return found


def best_of(work: Callable[[], list[float]], repeats: int) -> tuple[float, list[float]]:
    """Return the least seconds of all cores, and the result."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        result = work()
        seconds.append(time.process_time() - start)
    return min(seconds), result


def read_maps(data: Path, count: int) -> Maps:
    dataset = read_dataset(data)
    generator = np.random.default_rng(0)
    maps = []
    # Evenly from the whole set: its images are sorted by organ.
    chosen = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
    for record in (dataset.records[place] for place in chosen.tolist()):
        masks = dataset.annotations(record).instances.masks
        annotated = label_map_from_masks(masks, np.arange(len(masks), dtype=np.float64))
        predicted = np.zeros_like(annotated)
        for number in range(1, len(masks) + 1):
            if generator.random() >= LOST:
                rows, columns = np.nonzero(annotated == number)
                paint(predicted, rows, columns, generator.integers(-MOVED_PX, MOVED_PX + 1, 2), number)
            if generator.random() < INVENTED:
                rows, columns = np.nonzero(annotated == number)
                paint(predicted, rows, columns, generator.integers(-99, 100, 2), len(masks) + number)
        maps.append((annotated, predicted, generator.random(2 * len(masks) + 1)))
    return maps


def paint(
    canvas: NDArray[np.int32], rows: NDArray[np.int64], columns: NDArray[np.int64], by: NDArray[np.int64], number: int
) -> None:
    rows, columns = rows + by[0], columns + by[1]
    inside = (rows >= 0) & (columns >= 0) & (rows < canvas.shape[0]) & (columns < canvas.shape[1])
    canvas[rows[inside], columns[inside]] = number


def codes_of_maps(maps: Maps) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    def side(label_map: NDArray[np.int32]) -> tuple[Instances, list[int], list[dict[str, Any]]]:
        masks, ids = masks_from_label_map(label_map)
        return Instances.from_masks(masks), ids.tolist(), [code.to_coco() for code in encode_rles(masks)]

    return _documents(maps, side)


def plain_codes_of_maps(maps: Maps) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    def side(label_map: NDArray[np.int32]) -> tuple[None, list[int], list[dict[str, Any]]]:
        ids = [number for number in np.unique(label_map).tolist() if number]
        codes: list[Any] = [
            coco_mask.encode(np.asfortranarray((label_map == number).astype(np.uint8))) for number in ids
        ]
        return None, ids, codes

    return _documents(maps, side)


def _documents(maps: Maps, side: Callable[[NDArray[np.int32]], Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image_id, (annotated, predicted, scores) in enumerate(maps, start=1):
        images.append({"id": image_id, "height": annotated.shape[0], "width": annotated.shape[1]})
        for is_annotated, label_map in ((True, annotated), (False, predicted)):
            instances, ids, codes = side(label_map)
            if instances is None:
                areas = [float(coco_mask.area(code)) for code in codes]
                boxes = [coco_mask.toBbox(code).tolist() for code in codes]
            else:
                areas = instances.masks.areas_px().tolist()
                xyxy = instances.boxes_xyxy.astype(np.float64)
                boxes = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1).tolist()
            for number, code, area, box in zip(ids, codes, areas, boxes, strict=True):
                record = {"image_id": image_id, "category_id": 1, "segmentation": code, "bbox": box}
                if is_annotated:
                    annotations.append({**record, "id": len(annotations) + 1, "area": area, "iscrowd": 0})
                else:
                    detections.append({**record, "score": float(scores[number - 1])})
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "nucleus"}]}, detections


def ap_of(scorer: AveragePrecisionScorer) -> list[float]:
    return [value for result in scorer.score() for value in (result.ap, result.ap50, result.ap75)]


def plain_ap(document: dict[str, Any], detections: list[dict[str, Any]]) -> list[float]:
    counts = np.unique([record["image_id"] for record in detections], return_counts=True)[1]
    found: dict[tuple[str, int], list[float]] = {}
    limits = [100, int(counts.max())]
    with contextlib.redirect_stdout(io.StringIO()):
        known: Any = COCO()
        known.dataset = document
        known.createIndex()
        for kind in ("bbox", "segm"):
            left_out = "bbox" if kind == "segm" else "segmentation"
            # pycocotools writes into the records that it is given.
            records = [{key: value for key, value in record.items() if key != left_out} for record in detections]
            evaluation = COCOeval(known, known.loadRes(records), kind)
            evaluation.params.maxDets = limits
            evaluation.evaluate()
            evaluation.accumulate()
            precision = evaluation.eval["precision"]
            for place, limit in enumerate(limits):
                table = precision[:, :, :, 0, place]
                found[kind, limit] = [100 * float(part[part > -1].mean()) for part in (table, table[0], table[5])]
    return [value for limit in limits for kind in ("bbox", "segm") for value in found[kind, limit]]


def pq_aji(maps: Maps) -> list[float]:
    values = []
    for annotated, predicted, _ in maps:
        overlaps = label_map_overlaps(annotated, predicted)
        values += [panoptic_quality(overlaps).pq, aggregated_jaccard_index(overlaps)]
    return values


def plain_pq_aji(maps: Maps) -> list[float]:
    values = []
    for annotated, predicted, _ in maps:
        ours = {number: annotated == number for number in np.unique(annotated).tolist() if number}
        theirs = {number: predicted == number for number in np.unique(predicted).tolist() if number}
        ious: dict[tuple[int, int], tuple[int, int]] = {}
        for one, mask in ours.items():
            for other in np.unique(predicted[mask]).tolist():
                if other:
                    shared = int(np.count_nonzero(mask & theirs[other]))
                    ious[one, other] = (shared, int(np.count_nonzero(mask | theirs[other])))
        matched = [shared / union for shared, union in ious.values() if 2 * shared > union]
        pq = 2 * sum(matched) / (len(ours) + len(theirs)) if matched else 0.0
        values += [pq, _plain_aji(ours, theirs, ious)]
    return values


def _plain_aji(
    ours: dict[int, NDArray[np.bool_]],
    theirs: dict[int, NDArray[np.bool_]],
    ious: dict[tuple[int, int], tuple[int, int]],
) -> float:
    taken, shared_px, total_px = set(), 0, 0
    for one, mask in ours.items():
        rivals = [
            (shared / union, union, -other, shared) for (mine, other), (shared, union) in ious.items() if mine == one
        ]
        if not rivals:
            total_px += int(np.count_nonzero(mask))
            continue
        _, union, other, shared = max(rivals)
        taken.add(-other)
        shared_px, total_px = shared_px + shared, total_px + union
    total_px += sum(int(np.count_nonzero(mask)) for number, mask in theirs.items() if number not in taken)
    return shared_px / total_px if total_px else 0.0


def time_slide(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = time.perf_counter()
        write_slide(folder, count)
        sizes = {path.stem: path.stat().st_size / 1e6 for path in sorted(folder.iterdir())}
        print(f"two files of about {count} nuclei in {time.perf_counter() - start:.0f} s: {sizes} MB")
        command = [sys.executable, "-m", "nucleate", "evaluate", "predicted.parquet", "annotated.parquet"]
        start = time.perf_counter()
        subprocess.run([*command, "--output", "out"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        # Of the largest child, in KiB on Linux and in bytes on macOS.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        overall = json.loads((folder / "out" / "evaluation.json").read_text(encoding="utf-8"))["overall"]
    result = {
        "annotated": overall["annotated"],
        "predicted": overall["predicted"],
        "seconds": seconds,
        "peak_mb": peak / 1e6,
        "scores": overall["scores"],
    }
    print(f"{overall['annotated']} against {overall['predicted']} nuclei: {seconds:.0f} s, {peak / 1e6:.0f} MB at most")
    print(", ".join(f"{name} {value:.2f}" for name, value in overall["scores"].items()))
    return result


def write_slide(folder: Path, count: int) -> None:
    """Write annotated.parquet and predicted.parquet, rows in no order, a part of the nuclei at a time."""
    generator = np.random.default_rng(0)
    side = int(np.ceil(np.sqrt(count)))
    places = generator.permutation(side * side)[:count]
    schema = pa.schema([("geometry", pa.binary()), ("score", pa.float32())])
    with (
        pq.ParquetWriter(folder / "annotated.parquet", schema) as annotated,
        pq.ParquetWriter(folder / "predicted.parquet", schema) as predicted,
    ):
        for start in range(0, count, ROWS_AT_ONCE):
            rows, columns = np.divmod(places[start : start + ROWS_AT_ONCE], side)
            centres = (np.stack([columns, rows], axis=1) + 0.5) * SPACING_PX + generator.normal(0, 6, (len(rows), 2))
            radii = DIAMETER_PX / 2 * generator.uniform(0.7, 1.4, (len(rows), 2))
            turns = generator.uniform(0, np.pi, len(rows))
            _write_ellipses(annotated, schema, centres, radii, turns, np.ones(len(rows)))
            kept = generator.random(len(rows)) >= LOST
            invented = generator.random(len(rows)) < INVENTED
            moved = centres + generator.normal(0, 1.5, centres.shape)
            elsewhere = generator.uniform(0, side * SPACING_PX, centres.shape)
            _write_ellipses(
                predicted,
                schema,
                np.concatenate([moved[kept], elsewhere[invented]]),
                np.concatenate([radii[kept] * generator.uniform(0.85, 1.15, (kept.sum(), 2)), radii[invented]]),
                np.concatenate([turns[kept], turns[invented]]),
                generator.uniform(0.3, 1, kept.sum() + invented.sum()),
            )


def _write_ellipses(
    writer: pq.ParquetWriter,
    schema: pa.Schema,
    centres: NDArray[np.float64],
    radii: NDArray[np.float64],
    turns: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> None:
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    u, v = radii[:, :1] * np.cos(angles), radii[:, 1:] * np.sin(angles)
    cosines, sines = np.cos(turns)[:, None], np.sin(turns)[:, None]
    corners = np.stack([u * cosines - v * sines, u * sines + v * cosines], axis=-1) + centres[:, None]
    codes = shapely.to_wkb(shapely.polygons(corners))
    writer.write_table(pa.table([pa.array(codes, pa.binary()), pa.array(scores.astype(np.float32))], schema=schema))


if __name__ == "__main__":
    main()
