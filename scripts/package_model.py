r"""Put a run into the package as a model: float16 weights, card of settings, model card.

python scripts/package_model.py RUN nucleate-mask-rcnn --earlier-iterations 2300 --minutes 150 \
    --evaluation EVALUATION.json --processor "AMD EPYC" --command "nucleate train ..."
python scripts/package_model.py RUN nucleate-he --scores-of INNER --earlier-iterations 15600 \
    --evaluation NUINSSEG.json \
    --tnbc "patients 01 to 06=TNBC.json" ...

The text of the card is a template in scripts/model_cards; its numbers come from the run and the evaluations.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch

from nucleate.models.checkpoints import find_weights, half_where_it_fits, read_weights
from nucleate.models.run_card import RunCard
from nucleate.models.star_convex.export import export_onnx
from nucleate.models.star_convex.loading import ONNX_NAME, load_network

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "nucleate" / "models" / "weights"
TEMPLATES = Path(__file__).parent / "model_cards"
LEARNED_FROM = {
    "nucleate-mask-rcnn": "NuInsSeg (CC BY 4.0), from EfficientNet-Lite0's ImageNet weights (Apache-2.0)",
    "nucleate-he": "NuInsSeg (CC BY 4.0), TNBC (CC BY 4.0), Data Science Bowl 2018 (CC0), from EfficientNet-Lite0's"
    " ImageNet weights (Apache-2.0)",
}


def main() -> None:
    """Package a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("name", choices=sorted(LEARNED_FROM))
    parser.add_argument(
        "--scores-of", type=Path, help="run with images held back that RUN went on from: thresholds and scores are its"
    )
    parser.add_argument("--earlier-minutes", type=int, default=0, help="of the trainings that RUN went on from")
    parser.add_argument("--earlier-iterations", type=int, default=0, help="of the trainings that RUN went on from")
    parser.add_argument("--evaluation", type=Path, required=True, help="evaluation.json on NuInsSeg's inner test")
    parser.add_argument("--tnbc", action="append", default=[], metavar="TITLE=JSON", help="evaluation.json on TNBC")
    parser.add_argument("--minutes", type=int, required=True, help="of training, in all")
    parser.add_argument("--processor", required=True)
    parser.add_argument("--command", required=True, help="that repeats the training")
    arguments = parser.parse_args()
    folder = PACKAGE / arguments.name
    folder.mkdir(parents=True, exist_ok=True)
    card = RunCard.read(arguments.run)
    card = dataclasses.replace(
        card,
        name=arguments.name,
        licence="Apache-2.0",
        commercial_use=True,
        learned_from=LEARNED_FROM[arguments.name],
        best={},
        settings={**card.settings, "command": arguments.command},
    )
    if arguments.scores_of is not None:
        chosen = RunCard.read(arguments.scores_of)
        card = dataclasses.replace(
            card,
            score_threshold=chosen.score_threshold,
            score_threshold_from=f"{chosen.name}: {chosen.score_threshold_from}",
            most_overlap=chosen.most_overlap,
            trained_on_all_of=tuple(sorted(card.source_diameters_px)),
        )
    weights = write_weights(arguments.run, card, folder)
    card.write(folder)
    (folder / "MODEL_CARD.md").write_text(text_of(arguments, card, weights), encoding="utf-8")


def write_weights(run: Path, card: RunCard, folder: Path) -> Path:
    """Write the network's file and return it."""
    if card.network == "star-convex":
        export_onnx(load_network(run, card), folder / ONNX_NAME)
        return folder / ONNX_NAME
    tensors = read_weights(find_weights(run)).tensors
    torch.save(
        {"model": {name: half_where_it_fits(tensor) for name, tensor in tensors.items()}}, folder / "model_final.pth"
    )
    shutil.copyfile(run / "config.yaml", folder / "config.yaml")
    return folder / "model_final.pth"


def text_of(arguments: argparse.Namespace, card: RunCard, weights: Path) -> str:
    """Return the card's text."""
    evaluation = read_evaluation(arguments.evaluation)
    settings: dict[str, Any] = dict(card.settings)
    assert card.data is not None
    return (
        (TEMPLATES / f"{card.name}.md")
        .read_text(encoding="utf-8")
        .format(
            name=card.name,
            parameters=parameters_of(arguments.run) / 1e6,
            size_mb=weights.stat().st_size / 1e6,
            sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
            recipe=card.recipe,
            command=settings["command"],
            commit=subprocess.run(
                ["git", "rev-parse", "--short=12", "HEAD"],  # noqa: S607
                check=True,
                capture_output=True,
                text=True,
                cwd=ROOT,
            ).stdout.strip(),
            iterations=iterations_of(card),
            earlier_iterations=arguments.earlier_iterations,
            all_iterations=arguments.earlier_iterations + iterations_of(card),
            earlier_minutes=arguments.earlier_minutes,
            images_per_batch=settings.get("detectron2", {}).get("SOLVER.IMS_PER_BATCH", 4),
            crop_px=settings.get("geometry", settings.get("augmentation", {})).get("crop_px"),
            minutes=arguments.minutes,
            processor=arguments.processor,
            diameter=card.nucleus_diameter_px,
            working_diameter=card.working_diameter_px or 0,
            working_mpp=card.working_mpp,
            tile_px=card.tile_px,
            threshold=card.score_threshold,
            threshold_from=card.score_threshold_from,
            versions=", ".join(f"{name} {version}" for name, version in card.versions.items()),
            train_images=card.data.images,
            train_nuclei=card.data.nuclei,
            val_from=f"the score threshold is the {card.score_threshold_from} (`val.json`)",
            test_images=evaluation["overall"]["images"],
            test_nuclei=evaluation["overall"]["annotated"],
            rows="\n".join(row_of(group) for group in [evaluation["overall"], *evaluation["organs"]]),
            tnbc_rows="\n".join(tnbc_row(*each.split("=", 1)) for each in arguments.tnbc),
        )
    )


def iterations_of(card: RunCard) -> int:
    """Return the length of a run's training."""
    if card.iterations is not None:
        return card.iterations
    return int(card.settings["detectron2"]["SOLVER.MAX_ITER"])


def parameters_of(run: Path) -> int:
    """Return the number of values in the run's weights."""
    return sum(tensor.numel() for tensor in read_weights(find_weights(run)).tensors.values())


def read_evaluation(path: Path) -> dict[str, Any]:
    """Return an evaluation.json."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def tnbc_row(title: str, path: str) -> str:
    """Return a line of the other laboratory's table."""
    overall = read_evaluation(Path(path))["overall"]
    scores = [f"{overall['scores'][name]:.1f}" for name in ("pq", "sq", "dq", "aji", "dice", "precision", "recall")]
    return f"| {' | '.join([title, str(overall['images']), str(overall['annotated']), *scores])} |"


def row_of(group: dict[str, Any]) -> str:
    """Return a line of the table for all images or one organ."""
    scores, precision = group["scores"], group["average_precision"]

    def both(kind: str, name: str) -> str:
        return f"{precision[kind][name]:.1f} ({precision[kind + '_uncapped'][name]:.1f})"

    cells = [group["name"], group["images"], group["annotated"]]
    cells += [f"{scores[name]:.1f}" for name in ("pq", "sq", "dq", "aji", "dice", "precision", "recall")]
    cells += [both("segm", "AP"), both("segm", "AP50"), both("bbox", "AP")]
    return f"| {' | '.join(str(cell) for cell in cells)} |"


if __name__ == "__main__":
    main()
