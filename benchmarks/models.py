"""Time and memory of the package's models on a data set's images: seconds a megapixel, image in to nuclei out.

    python benchmarks/models.py data/nuinsseg --images 12

Each model runs in a process of its own, on the same images at its own working scale, after one image that is not
counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.contestants.machine import this_machine
from benchmarks.contestants.serving import peak_memory_mb
from nucleate.api.loading import load_model
from nucleate.api.scaling import ScaleRequest, known_scale
from nucleate.data import Split, available_splits, read_dataset
from nucleate.inference import InferenceSettings, LoadedImage, TilingSettings, segment_images
from nucleate.models.star_convex.onnx_engine import EngineSettings, Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way of running one model."""

    model: str
    precision: Precision = "fp32"
    accurate: bool = False

    def __str__(self) -> str:
        return f"{self.model}, {self.precision}{', accurate' if self.accurate else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder that `nucleate prepare` made")
    parser.add_argument("--images", type=int, default=12, help="the first ones of test, or of all without a test split")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only is not None:
        print(json.dumps(measure(Variant(**json.loads(arguments.only)), arguments)))
        return
    machine = this_machine()
    print(f"{machine.processor}, {arguments.threads} threads; {' '.join(machine.units)}")
    variants = [Variant(model="nucleate-mask-rcnn"), Variant(model="nucleate-he")]
    if machine.has_bf16:
        variants.append(Variant(model="nucleate-he", precision="bf16"))
    variants.append(Variant(model="nucleate-he", accurate=True))
    for variant in variants:
        command = [sys.executable, __file__, str(arguments.data), "--only", json.dumps(asdict(variant))]
        command += ["--images", str(arguments.images), "--threads", str(arguments.threads)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{variant}: {done.stderr.strip().splitlines()[-1]}")
        found = json.loads(done.stdout)
        print(
            f"{variant!s:32} {found['seconds'] / found['megapixels']:6.2f} s a megapixel, {found['nuclei']} nuclei,"
            f" peak {found['peak_mb']:.0f} MB"
        )


def measure(variant: Variant, arguments: argparse.Namespace) -> dict[str, float]:
    """Return seconds, megapixels, nuclei and peak memory of one variant in this process."""
    if variant.model == "nucleate-mask-rcnn":
        import torch

        torch.set_num_threads(arguments.threads)
    engine = EngineSettings(precision=variant.precision, threads=arguments.threads)
    model = load_model(variant.model, "cpu", engine=engine, accurate=variant.accurate)
    split: Split = "test" if "test" in available_splits(arguments.data) else "all"
    dataset = read_dataset(arguments.data, split=split)
    records = dataset.records[: arguments.images]
    images = []
    for index, record in enumerate(records):
        scale = known_scale(model.card, ScaleRequest(), mpp=record.frame.mpp, source=record.source)
        magnification = 1.0 if scale is None else scale.magnification
        images.append(
            LoadedImage(index=index, image_rgb=dataset.read_image(record), magnification=magnification),
        )
    settings = InferenceSettings(
        score_threshold=model.card.score_threshold, tiling=TilingSettings(tile_px=model.card.tile_px), batch_images=1
    )
    list(segment_images(model.segmenter, images[:1], settings))
    began = time.perf_counter()
    nuclei = sum(len(each.instances) for each in segment_images(model.segmenter, images, settings))
    return {
        "seconds": time.perf_counter() - began,
        "megapixels": sum(record.frame.height_px * record.frame.width_px for record in records) / 1e6,
        "nuclei": nuclei,
        "peak_mb": peak_memory_mb() or float("nan"),
    }


if __name__ == "__main__":
    main()
