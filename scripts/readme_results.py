"""Make README's tables of results: the weights with images held back scored on NuInsSeg's inner test, and compared.

    nucleate prepare ../shared/data/nuinsseg --output data/nuinsseg --folds 5 --fold 0 --seed 19
    python scripts/readme_results.py data/nuinsseg --output out/results

leaves a report of each model and of the comparison in the output folder, the numbers in `benchmarks/results`, and the
tables between README's markers. `--keep` takes evaluations that are in the output folder already; without a data set
the tables are made of `benchmarks/results` as it is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nucleate.api import EvaluateSettings, compare, evaluate

ROOT = Path(__file__).resolve().parents[1]
README, RESULTS = ROOT / "README.md", ROOT / "benchmarks" / "results"
MODELS = {
    "nucleate-he-inner": ROOT / "benchmarks" / "weights" / "nucleate-he-inner",
    "nucleate-mask-rcnn": Path("nucleate-mask-rcnn"),
}
START, END = "<!-- results -->\n", "<!-- end -->\n"
# What the tables and a reader of the numbers need; images and organs are in the reports.
KEPT = ("schema_version", "model", "model_fingerprint", "data_fingerprint", "split", "protocol", "averaging")
KEPT_TOO = ("score_threshold", "versions", "intervals", "overall")
WITH_INTERVALS = ("pq", "sq", "dq", "aji", "dice")
HEADINGS = ("PQ", "SQ", "DQ", "AJI", "Dice")
PRECISION = ("bbox", "segm", "bbox_uncapped", "segm_uncapped")
PRECISION_NAMES = ("AP", "AP50", "AP75", "APs", "APm", "APl")

Result = Mapping[str, Any]


def main() -> None:
    """Score, compare, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="NuInsSeg as prepared; left out, nothing is scored")
    parser.add_argument("--output", type=Path, default=Path("out", "results"))
    parser.add_argument("--keep", action="store_true", help="score only models that the output folder lacks")
    arguments = parser.parse_args()
    if arguments.data is not None:
        score(arguments.data, arguments.output, keep=arguments.keep)
    README.write_text(with_tables(README.read_text(encoding="utf-8"), read_results()), encoding="utf-8")


def score(data: Path, output: Path, *, keep: bool) -> None:
    """Leave reports in the output folder and the numbers in `benchmarks/results`."""
    for model, place in MODELS.items():
        path = output / model / "evaluation.json"
        if not (keep and path.is_file()):
            evaluate(place, data, on="test", output=output / model, settings=EvaluateSettings(fresh=True))
        found = json.loads(path.read_text(encoding="utf-8"))
        RESULTS.mkdir(exist_ok=True)
        content = {key: found[key] for key in (*KEPT, *KEPT_TOO)}
        (RESULTS / f"{model}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    compare([*(output / model for model in MODELS), data], on="test", output=output / "comparison")


def read_results() -> list[Result]:
    """Return the numbers of the models in `benchmarks/results`."""
    paths = [RESULTS / f"{model}.json" for model in MODELS]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def with_tables(text: str, results: Sequence[Result]) -> str:
    """Return README with the tables between its markers."""
    head, _, rest = text.partition(START)
    _, _, tail = rest.partition(END)
    return f"{head}{START}\n{tables(results)}\n{END}{tail}"


def tables(results: Sequence[Result]) -> str:
    """Return both tables in Markdown."""
    first = results[0]["overall"]
    counts = f"NuInsSeg, {first['images']} images, {first['annotated']:,} nuclei"
    scores = [_row([counts, *HEADINGS]), _row(["---"] * (1 + len(HEADINGS)))]
    precision = [_row([f"{counts}, protocol `coco`", "detections an image", *PRECISION_NAMES]), _row(["---"] * 8)]
    for result in results:
        name, intervals = result["model"], result["intervals"]
        overall = result["overall"]
        rows = (
            (f"{name} (95 % interval by image), score above {result['score_threshold']:g}", intervals["scores"]),
            ("interval by organ", intervals["by_organ"]),
        )
        for label, ends in rows:
            mean = label.startswith(name)
            cells = [_with_interval(overall["scores"][each] if mean else None, ends[each]) for each in WITH_INTERVALS]
            scores.append(_row([label, *cells]))
        for kind in PRECISION:
            found = overall["average_precision"][kind]
            limit = f"all ({found['max_detections']})" if kind.endswith("uncapped") else str(found["max_detections"])
            values = [_number(found[each]) for each in PRECISION_NAMES]
            precision.append(_row([f"{name}: {kind.removesuffix('_uncapped')}", limit, *values]))
    return "\n".join(scores) + "\n\n" + "\n".join(precision) + "\n"


def _with_interval(mean: float | None, ends: Mapping[str, float]) -> str:
    interval = f"{ends['low']:.1f} to {ends['high']:.1f}"
    return interval if mean is None else f"{mean:.1f} ({interval})"


def _number(value: float | None) -> str:
    return "nan" if value is None else f"{value:.1f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
