from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import nucleate.detectron2
from nucleate.errors import MissingExtraError
from nucleate.models.detectron2_config import zoo_names

PAGE = (Path(__file__).parents[2] / "docs" / "migrating-from-detectron2.md").read_text(encoding="utf-8")
PAIRS = re.findall(r"^\| `(from detectron2[^`]*)` \| `(from [^`]*)` \|$", PAGE, flags=re.MULTILINE)


def test_every_new_line_of_the_page_is_the_old_one_with_the_package_in_front_and_works() -> None:
    assert len(PAIRS) == 10
    for old, new in PAIRS:
        assert new == old.replace("from detectron2", "from nucleate.detectron2", 1)
        exec(new, {})  # noqa: S102


def test_code_of_the_page_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    known: dict[str, object] = {}
    exec(block, known)  # noqa: S102
    assert known["cfg"].SOLVER.MAX_ITER == 1500  # type: ignore[attr-defined]


def test_the_page_names_every_model_that_is_built() -> None:
    for name in zoo_names():
        assert f"`{Path(name).stem}`" in PAGE


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="extra 'train'"):
        importlib.reload(nucleate.detectron2)
