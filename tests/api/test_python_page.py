from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.api.test_segment import THREE, ink_model

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


def test_code_of_the_page_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules["nucleate.api.segment"], "load_model", lambda model, device, **how: ink_model())
    Image.fromarray(THREE).save("image.png")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    known: dict[str, object] = {}
    for block in blocks:
        exec(block, known)  # noqa: S102
    assert len(blocks) == 2
    assert known["image"].mpp == 0.25  # type: ignore[attr-defined]
    assert len(known["outlines"]) == 3  # type: ignore[arg-type]
    assert (tmp_path / "biopsy.png").is_file()
