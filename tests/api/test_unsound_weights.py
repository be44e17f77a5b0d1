"""Malicious, truncated and lonely weights, as the command line meets them: exit code 2, one line, nothing run."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from nucleate.cli import run
from tests.models.golden import FOLDER
from tests.synthetic import draw_he
from tests.training.test_session import LITERAL, write_coco


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class _Touch:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


def spoil(folder: Path, how: str) -> Path:
    """Return a folder of Detectron2's with its weights spoiled; `trace` appears beside it if anything ran."""
    folder.mkdir()
    for name in ("config.yaml", "model_final.pth"):
        shutil.copy(FOLDER / "caffe" / name, folder)
    weights, trace = folder / "model_final.pth", folder.parent / "trace"
    match how:
        case "malicious torch file":
            torch.save({"model": {"stem.conv1.weight": _Touch(trace)}}, weights)
        case "malicious pickle":
            weights.unlink()
            (folder / "model_final.pkl").write_bytes(pickle.dumps({"model": {"stem.conv1.weight": _Touch(trace)}}))
            (folder / "last_checkpoint").write_text("model_final.pkl")
        case "truncated":
            weights.write_bytes(weights.read_bytes()[:300_000])
        case "truncated pickle":
            weights.unlink()
            content = (FOLDER / "detector_pkl" / "model_final.pkl").read_bytes()
            (folder / "model_final.pkl").write_bytes(content[:300_000])
            (folder / "last_checkpoint").write_text("model_final.pkl")
        case "no config.yaml":
            (folder / "config.yaml").unlink()
        case "no model_final.pth":
            weights.unlink()
    return folder


DAMAGES = (
    ("malicious torch file", "holds more than tensors"),
    ("malicious pickle", "only numpy arrays are allowed"),
    ("truncated", "is no readable checkpoint"),
    ("truncated pickle", "is no readable pickle"),
)
LONELY = (("no config.yaml", "no config.yaml beside the weights"), ("no model_final.pth", "no model_final.pth"))


def one_line(capsys: pytest.CaptureFixture[str], said: str, arguments: list[str]) -> None:
    assert run(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("nucleate: ")
    assert said in lines[-1]
    assert not any("Traceback" in line for line in lines)


@pytest.mark.parametrize(("how", "said"), DAMAGES + LONELY)
def test_segment_and_convert_say_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str, said: str
) -> None:
    folder = spoil(tmp_path / "model", how)
    Image.fromarray(draw_he().image_rgb).save(tmp_path / "image.png")
    new = str(tmp_path / "new")
    one_line(capsys, said, ["segment", str(tmp_path / "image.png"), "--model", str(folder), "--output", new])
    for to in ("nucleate", "detectron2"):
        one_line(capsys, said, ["convert", str(folder), "--to", to, "--output", new])
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(("how", "said"), DAMAGES)
def test_train_says_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str, said: str) -> None:
    folder = spoil(tmp_path / "model", how)
    weights = next(path for path in folder.iterdir() if path.name.startswith("model_final"))
    data = write_coco(tmp_path / "data")
    started = ["train", str(data), *LITERAL, "--recipe", "mask-rcnn-detectron2", "--output", str(tmp_path / "run")]
    one_line(capsys, said, [*started, "--weights", str(weights), "--device", "cpu"])
    assert not (tmp_path / "trace").exists()
