"""How well the size of nuclei is estimated: images resampled by known factors against their annotated diameters.

    python benchmarks/scale.py MODEL data/he-inner --split val --output scale.json

Every image of the split is resampled by a factor drawn log-uniformly from 0.4 to 1.5, and the model's estimate is
compared with the median diameter of the image's annotated nuclei times the factor.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from nucleate.data import read_dataset
from nucleate.inference.magnification import magnified
from nucleate.inference.scale import ScaleSettings, estimate_scale
from nucleate.models.run_card import RunCard
from nucleate.models.star_convex.loading import load_star_convex
from nucleate.models.star_convex.onnx_engine import EngineSettings

FACTORS = (0.4, 1.5)
WITHIN = 0.2


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One image, resampled once."""

    file_name: str
    source: str
    nuclei: int
    factor: float
    annotated_px: float
    estimated_px: float | None
    seconds: float

    @property
    def ratio(self) -> float:
        """Return the estimated by the annotated diameter; 0 for no estimate."""
        return 0.0 if self.estimated_px is None else self.estimated_px / self.annotated_px

    @property
    def is_within(self) -> bool:
        """Return whether the estimate is close enough."""
        return abs(self.ratio - 1) <= WITHIN


def main() -> None:
    arguments = parse()
    card = RunCard.read(arguments.model)
    if card.working_diameter_px is None:
        sys.exit(f"{arguments.model}: this model has no working scale")
    segmenter = load_star_convex(arguments.model, card, None, EngineSettings(threads=arguments.threads))
    dataset = read_dataset(arguments.data, split=arguments.split)
    rng = np.random.default_rng(arguments.seed)
    low, high = np.log(FACTORS)
    factors = np.exp(rng.uniform(low, high, len(dataset)))
    settings = ScaleSettings(part_px=arguments.part_px)
    trials = []
    for record, factor in zip(dataset.records, factors.tolist(), strict=True):
        areas = dataset.annotations(record).instances.masks.areas_px()
        if not len(areas):
            continue
        resampled = magnified(dataset.read_image(record), factor)
        began = time.perf_counter()
        estimate = estimate_scale(segmenter, resampled, card.working_diameter_px, settings=settings)
        trials.append(
            Trial(
                file_name=record.file_name,
                source=record.source,
                nuclei=len(areas),
                factor=factor,
                annotated_px=float(np.median(2 * np.sqrt(areas / np.pi))) * factor,
                estimated_px=estimate.diameter_px,
                seconds=time.perf_counter() - began,
            )
        )
    print(table(trials))
    if arguments.output is not None:
        write(arguments, trials)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="folder of a star-convex model; an ONNX export needs no torch")
    parser.add_argument("data", type=Path, help="a data set that `nucleate prepare` made")
    parser.add_argument("--split", default="val", choices=("train", "val", "test", "all"))
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--part-px", type=int, default=ScaleSettings().part_px)
    parser.add_argument("--output", type=Path, help="JSON file for the trials")
    return parser.parse_args()


def table(trials: list[Trial]) -> str:
    """Return a line for every source and for all, then the images that were missed."""
    sources = sorted({trial.source for trial in trials})
    lines = [f"{'':16} images  within {WITHIN:.0%}  median ratio  median seconds"]
    for name in [*sources, "all"]:
        group = [trial for trial in trials if name in (trial.source, "all")]
        share = np.mean([trial.is_within for trial in group])
        ratio, seconds = (np.median([getattr(trial, what) for trial in group]) for what in ("ratio", "seconds"))
        lines.append(f"{name:16} {len(group):6}  {share:10.1%}  {ratio:12.2f}  {seconds:14.1f}")
    lines.append("missed:")
    for trial in trials:
        if not trial.is_within:
            found = "none" if trial.estimated_px is None else f"{trial.estimated_px:.1f}"
            lines.append(
                f"  {trial.file_name} x {trial.factor:.2f}: {found} px, annotated {trial.annotated_px:.1f} px "
                f"({trial.nuclei} nuclei)"
            )
    return "\n".join(lines)


def write(arguments: argparse.Namespace, trials: list[Trial]) -> None:
    content = {
        "model": str(arguments.model),
        "data": str(arguments.data),
        "split": arguments.split,
        "seed": arguments.seed,
        "part_px": arguments.part_px,
        "within_20_percent": float(np.mean([trial.is_within for trial in trials])),
        "trials": [asdict(trial) for trial in trials],
    }
    arguments.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
