from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("readme_results", ROOT / "scripts" / "readme_results.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _result(model: str, pq: float) -> dict[str, Any]:
    ends = {name: {"low": 1.0, "high": 2.0} for name in ("pq", "sq", "dq", "aji", "dice")}
    precision = dict.fromkeys(("AP", "AP50", "AP75", "APs", "APm"), 12.34) | {"APl": None}
    kinds = ("bbox", "segm", "bbox_uncapped", "segm_uncapped")
    return {
        "model": model,
        "score_threshold": 0.55,
        "intervals": {"scores": ends, "by_organ": ends},
        "overall": {
            "images": 2,
            "annotated": 1234,
            "scores": dict.fromkeys(ends, pq),
            "average_precision": {
                kind: {"max_detections": 203 if "uncapped" in kind else 100, **precision} for kind in kinds
            },
        },
    }


def test_readmes_tables_are_those_of_the_stored_results(script: ModuleType) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert script.with_tables(text, script.read_results()) == text
    assert len(script.read_results()) > 0


def test_a_model_has_two_rows_of_scores_and_four_of_ap(script: ModuleType) -> None:
    text = script.with_tables(
        "before\n<!-- results -->\nold\n<!-- end -->\nafter\n", [_result("a", 50), _result("b", 60)]
    )
    assert text.startswith("before\n<!-- results -->\n\n| NuInsSeg, 2 images, 1,234 nuclei | PQ | SQ |")
    assert text.endswith("\n\n<!-- end -->\nafter\n")
    assert "| b (95 % interval by image), score above 0.55 | 60.0 (1.0 to 2.0) |" in text
    assert "| interval by organ | 1.0 to 2.0 |" in text
    assert "| a: segm | all (203) | 12.3 | 12.3 | 12.3 | 12.3 | 12.3 | nan |" in text
    assert "old" not in text
    assert text.count("\n| ") == 2 * 2 + 2 * 2 + 2 * 4


def test_models_are_scored_compared_and_their_numbers_kept(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[str] = []

    def evaluate(model: Path, data: Path, *, on: str, output: Path, settings: Any) -> None:
        called.append(f"{model.name} {on} {settings.fresh}")
        output.mkdir(parents=True)
        kept = dict.fromkeys((*script.KEPT, *script.KEPT_TOO), 0)
        (output / "evaluation.json").write_text(json.dumps({**kept, **_result(model.name, 1), "images": []}))

    monkeypatch.setattr(script, "evaluate", evaluate)
    monkeypatch.setattr(script, "compare", lambda paths, **how: called.append(f"{len(paths)} {how['output'].name}"))
    monkeypatch.setattr(script, "RESULTS", tmp_path / "results")
    script.score(Path("data"), tmp_path / "out", keep=True)
    script.score(Path("data"), tmp_path / "out", keep=True)
    scored = ["nucleate-he-inner test True", "nucleate-mask-rcnn test True"]
    assert called == [*scored, "3 comparison", "3 comparison"]
    stored = json.loads((tmp_path / "results" / "nucleate-he-inner.json").read_text())
    assert (stored["model"], "images" in stored) == ("nucleate-he-inner", False)
    assert [each["model"] for each in script.read_results()] == list(script.MODELS)
