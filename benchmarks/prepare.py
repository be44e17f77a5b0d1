"""`nucleate prepare` against a plain loop of scikit-image and pycocotools over the same label images.

    python -m benchmarks.prepare ../shared/data/nuinsseg --output /tmp/prepare

Both read every image and label image of NuInsSeg's layout, copy the images, and write COCO JSON for all images and for
the splits of fold 0 of KFold(5). The loop is what scripts on the web do: `label_image == id`, then pycocotools' code,
area and box, and scikit-image's `find_contours` for a polygon, kept where pycocotools draws the same pixels, as
`prepare` does. With `--codes` the loop writes run-length codes alone and spares itself the polygons. They take turns,
each in a process of its own. Seconds of the clock and of the processor are printed, and every annotation of both is
decoded and compared. Neither starts processes of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDS, SEED = 5, 19
PREPARE = """
import sys, time
from nucleate.cli import run
code = run(["prepare", sys.argv[1], "--output", sys.argv[2], "--folds", "5", "--seed", "19"])
print("seconds", time.process_time())
sys.exit(code)
"""
LOOP = """
import sys, time
from pathlib import Path
from benchmarks.prepare import plain_loop
plain_loop(Path(sys.argv[1]), Path(sys.argv[2]), contours=sys.argv[3] == "True")
print("seconds", time.process_time())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="NuInsSeg's layout")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--codes", action="store_true", help="the loop writes run-length codes alone")
    given = parser.parse_args()
    commands = {
        "nucleate prepare": [PREPARE, str(given.source), str(given.output / "prepared")],
        "plain loop": [LOOP, str(given.source), str(given.output / "plain"), str(not given.codes)],
    }
    clock: dict[str, list[float]] = {name: [] for name in commands}
    processor: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(given.rounds):
        for name, command in commands.items():
            shutil.rmtree(command[2], ignore_errors=True)
            given.output.mkdir(parents=True, exist_ok=True)
            start = time.perf_counter()
            ran = subprocess.run([sys.executable, "-c", *command], check=True, stdout=subprocess.PIPE, text=True)
            clock[name].append(time.perf_counter() - start)
            processor[name].append(float(ran.stdout.split()[-1]))
            print(f"{name}: {clock[name][-1]:.1f} s, {processor[name][-1]:.1f} s of the processor", flush=True)
    ours, theirs = (statistics.median(processor[name]) for name in commands)
    print(f"medians of the processor: {ours:.1f} and {theirs:.1f} s, {theirs / ours:.1f} times")
    ours, theirs = (statistics.median(clock[name]) for name in commands)
    print(f"medians of the clock: {ours:.1f} and {theirs:.1f} s, {theirs / ours:.1f} times")
    first = given.output / "prepared" / "annotations" / "all.json"
    print(differences(first, given.output / "plain" / "annotations" / "all.json"))


def plain_loop(source: Path, output: Path, *, contours: bool) -> None:
    """Write images/ and COCO files as scripts do."""
    from pycocotools import mask as coco_mask
    from skimage.io import imread
    from skimage.measure import find_contours

    (output / "images").mkdir(parents=True)
    (output / "annotations").mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_path in sorted(source.glob("*/tissue images/*.png")):
        pixels = imread(image_path)
        labels = imread(image_path.parent.parent / "label masks modify" / f"{image_path.stem}.tif")
        height, width = pixels.shape[:2]
        image_id = len(images) + 1
        shutil.copyfile(image_path, output / "images" / image_path.name)
        images.append({"id": image_id, "file_name": image_path.name, "height": height, "width": width})
        for label in np.unique(labels):
            if label == 0:
                continue
            mask = labels == label
            code: Any = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
            segmentation: Any = {"size": code["size"], "counts": code["counts"].decode("ascii")}
            if contours:
                padded = np.pad(mask, 1).astype(np.uint8)
                rings = [ring[:, ::-1] - 0.5 for ring in find_contours(padded, 0.5)]
                polygons: Any = [ring.reshape(-1).tolist() for ring in rings]
                drawn: Any = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
                if drawn["counts"] == code["counts"]:
                    segmentation = polygons
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 1,
                    "segmentation": segmentation,
                    "area": int(coco_mask.area(code)),
                    "bbox": coco_mask.toBbox(code).tolist(),
                    "iscrowd": 0,
                    "label_id": int(label),
                }
            )
    tested = set(_first_fold(len(images)).tolist())
    chosen = {
        "all": {image["id"] for image in images},
        "train": {image["id"] for place, image in enumerate(images) if place not in tested},
        "test": {image["id"] for place, image in enumerate(images) if place in tested},
    }
    for name, ids in chosen.items():
        document = {
            "images": [image for image in images if image["id"] in ids],
            "annotations": [annotation for annotation in annotations if annotation["image_id"] in ids],
            "categories": [{"id": 1, "name": "nucleus"}],
        }
        (output / "annotations" / f"{name}.json").write_text(json.dumps(document))


def differences(first: Path, second: Path) -> str:
    """Return how many annotations of two COCO files differ in image, number, box, area or pixels, in words."""
    from nucleate.data.coco_file import decode_annotations, parse_coco

    files = [parse_coco(path) for path in (first, second)]
    pairs = [{record.file_name: record for record in file.records} for file in files]
    if set(pairs[0]) != set(pairs[1]):
        return "the images differ"
    count = different = 0
    for name in pairs[0]:
        entries = [file.annotations[pair[name].image_id] for file, pair in zip(files, pairs, strict=True)]
        masks = [decode_annotations(pair[name].frame, each) for pair, each in zip(pairs, entries, strict=True)]
        one, two = ({each.label_id: index for index, each in enumerate(some)} for some in entries)
        count += len(one.keys() | two.keys())
        different += len(one.keys() ^ two.keys())
        for label in one.keys() & two.keys():
            same_box = entries[0][one[label]].box_xyxy == entries[1][two[label]].box_xyxy
            same_pixels = np.array_equal(masks[0].full(one[label]), masks[1].full(two[label]))
            different += not (same_box and same_pixels)
    return f"{different:,} of {count:,} annotations differ in box or pixels"


def _first_fold(count: int) -> NDArray[np.int64]:
    """Return what scikit-learn's KFold(FOLDS, shuffle=True, random_state=SEED) tests first."""
    order = np.arange(count)
    np.random.RandomState(SEED).shuffle(order)
    return order[: -(-count // FOLDS)]


if __name__ == "__main__":
    main()
