"""The learning curve of `train --few-shot` on a tissue that trained nothing: TNBC, by patient.

    nucleate prepare ../shared/data/tnbc --min-area 10 --only benchmarks/splits/tnbc-patients.json --output data/tnbc
    python benchmarks/few_shot.py data/tnbc --output out/few-shot

Trainings take 1, 5 and 20 images of the patients 01 to 04, drawn several times; what is drawn for 5 holds what was
drawn for 1. All are scored on the patients 05 and 06, whose 7 images train and choose nothing. All start from
`benchmarks/weights/nucleate-he-inner`, which saw no TNBC (the package's model saw all of it); 0 images is that model as
it is, and the trainings keep its score threshold, which patients 01 to 03 chose among others. All take the images at
0.25 um/px. A training that is done is not done again: the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from matplotlib.figure import Figure

from benchmarks.contestants.machine import this_machine
from nucleate.api.evaluate import conditions_of_model, score_part, segment_dataset
from nucleate.api.fold_scores import FoldScores
from nucleate.api.loading import load_model
from nucleate.api.scored_part import ScoredPart
from nucleate.api.scoring import EvaluateSettings
from nucleate.api.train import train_once
from nucleate.api.training_start import TrainSettings, training_start
from nucleate.data import CocoDataset, FoldSplit, read_dataset
from nucleate.export.figures import figure_png
from nucleate.files import write_bytes, write_json
from nucleate.pages.colours import BLUE, GREY, VERMILION
from nucleate.training.session import is_finished

RECIPE = "star-convex"
START = Path(__file__).resolve().parent / "weights" / "nucleate-he-inner"
LEARNED_PATIENTS, SCORED_PATIENTS = ("01", "02", "03", "04"), ("05", "06")
_ROW_NAME = "few_shot.json"
_MPP = 0.25
"""As TNBC is published."""
_SCORES = ("PQ", "AJI", "Dice", "segm/AP")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="TNBC as `nucleate prepare` made it")
    parser.add_argument("--output", type=Path, default=Path("out/few-shot"))
    parser.add_argument("--images", type=int, nargs="+", default=[1, 5, 20], help="annotated images to learn from")
    parser.add_argument("--draws", type=int, default=3, help="of the images, each trained (3)")
    parser.add_argument("--quick", action="store_true", help="two iterations each: tries that all works")
    given = parser.parse_args(arguments)
    dataset = read_dataset(given.data)
    learned, scored = (of_patients(dataset, each) for each in (LEARNED_PATIENTS, SCORED_PATIENTS))
    if not scored or max(given.images) > len(learned) or min(given.images) < 1 or given.draws < 1:
        parser.error(f"{len(learned)} images to learn from, {len(scored)} to score; --images between, --draws from 1")
    overrides = ("SOLVER.MAX_ITER=2",) if given.quick else ()
    rows = [as_it_is(dataset, scored)]
    for draw in range(given.draws):
        order = [learned[index] for index in np.random.default_rng([19, draw]).permutation(len(learned))]
        for count in given.images:
            split = FoldSplit(
                name=f"few-shot-{count}", fold=draw, train=tuple(sorted(order[:count])), val=(), test=tuple(scored)
            )
            rows.append(trained(given.data, dataset, split, given.output / f"{count}-images-draw-{draw}", overrides))
            print(told(rows[-1]), flush=True)
    document = {
        "data": "TNBC",
        "learned_patients": LEARNED_PATIENTS,
        "scored_patients": SCORED_PATIENTS,
        "scored_images": scored,
        "recipe": RECIPE,
        "weights": START.name,
        "is_smoke": given.quick,
        "processor": this_machine().processor,
        "rows": rows,
    }
    write_json(given.output / "few_shot.json", document, indent=1)
    write_bytes(given.output / "few_shot.png", figure_png(curve(rows)))
    print(table(rows))
    return 0


def of_patients(dataset: CocoDataset, patients: Sequence[str]) -> list[str]:
    """Return the file names of patients; TNBC's begin with the patient's number."""
    return sorted(each.file_name for each in dataset.records if Path(each.file_name).name[:2] in patients)


def as_it_is(dataset: CocoDataset, scored: Sequence[str]) -> dict[str, Any]:
    """Return the scores of the model that all start from."""
    scores = scores_of(START, dataset, scored)
    return {**scores.to_dict(), "images": 0, "draw": 0, "learned_from": [], "minutes": 0.0}


def trained(
    data: Path, dataset: CocoDataset, split: FoldSplit, run: Path, overrides: tuple[str, ...]
) -> dict[str, Any]:
    """Return the scores of a training on a draw's images, which is done unless it was."""
    if (run / _ROW_NAME).is_file():
        row: dict[str, Any] = json.loads((run / _ROW_NAME).read_text(encoding="utf-8"))
        return row
    resume = (run / "last_checkpoint").is_file()
    settings = TrainSettings(weights=str(START), few_shot=True)
    start = training_start(data, RECIPE, overrides, settings, resume=resume, fold=split)
    iterations = int(str(start.recipe.config.get("SOLVER.MAX_ITER")))
    started = time.perf_counter()
    if not (resume and is_finished(run, iterations)):
        train_once(data, start, output=run, resume=resume, device="cpu", fold=split)
    # Of a resumed training only the last part is known.
    minutes = None if resume else (time.perf_counter() - started) / 60
    scores = scores_of(run, dataset, split.test)
    row = {
        **scores.to_dict(),
        "images": len(split.train),
        "draw": split.fold,
        "learned_from": list(split.train),
        "iterations": iterations,
        "minutes": minutes,
    }
    write_json(run / _ROW_NAME, row, indent=1)
    return row


def scores_of(model: Path, dataset: CocoDataset, names: Sequence[str]) -> FoldScores:
    """Return a model's scores on some images of the data set, taken at the same scale whatever it learned from."""
    settings = EvaluateSettings(mpp=_MPP, precision="fp32")
    part = ScoredPart(dataset=dataset.subset(names), whole=dataset, split="test")
    loaded = load_model(model, "cpu")
    found = segment_dataset(loaded, part.dataset, settings)
    return FoldScores.of(0, score_part(part, found, conditions_of_model(loaded, part, settings), settings))


def told(row: dict[str, Any]) -> str:
    """Return a training's line."""
    scores = ", ".join(f"{name} {row['scores'][name]:.1f}" for name in _SCORES)
    minutes = "" if row["minutes"] is None else f", {row['minutes']:.1f} min"
    return f"{row['images']} images, draw {row['draw']}: {scores}{minutes}"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return means over the draws, and the range of PQ, in Markdown."""
    lines = ["| images | PQ | lowest to highest | AJI | Dice | segm AP |", "| --- | --- | --- | --- | --- | --- |"]
    for count in sorted({row["images"] for row in rows}):
        of_count = [row["scores"] for row in rows if row["images"] == count]
        means = {name: float(np.mean([scores[name] for scores in of_count])) for name in _SCORES}
        quality = [scores["PQ"] for scores in of_count]
        lines.append(
            f"| {count} | {means['PQ']:.1f} | {min(quality):.1f} to {max(quality):.1f} | {means['AJI']:.1f} |"
            f" {means['Dice']:.1f} | {means['segm/AP']:.1f} |"
        )
    return "\n".join(lines)


def curve(rows: Sequence[dict[str, Any]]) -> Figure:
    """Return PQ and segm AP against the number of images; dots are draws, lines their means."""
    counts = sorted({row["images"] for row in rows})
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, label, colour, style in (("PQ", "PQ", BLUE, "o-"), ("segm/AP", "segm AP", VERMILION, "s--")):
        means = []
        for place, count in enumerate(counts):
            values = [row["scores"][name] for row in rows if row["images"] == count]
            axes.plot([place] * len(values), values, style[0], color=colour, alpha=0.35, markersize=5)
            means.append(float(np.mean(values)))
        axes.plot(range(len(counts)), means, style, color=colour, linewidth=1.8, label=label)
        axes.axhline(means[0], color=GREY, linewidth=0.8, linestyle=":")
    axes.set_xticks(range(len(counts)), labels=[str(count) if count else "0, as it is" for count in counts])
    axes.set_xlabel("annotated images of TNBC, patients 01 to 04")
    axes.set_ylabel("percent, patients 05 and 06")
    axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    sys.exit(main())
