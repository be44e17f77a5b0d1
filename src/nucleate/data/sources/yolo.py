"""YOLO segmentation: a text file an image, a line a nucleus: class, then corners x y as shares of the sides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml

from nucleate.core import Frame
from nucleate.data.sources.pairs import PairedFormat
from nucleate.data.sources.shapes import DrawnNucleus, Part, draw_nuclei
from nucleate.data.sources.source import Dropped, SourceImage, SourceNuclei, annotation_path
from nucleate.errors import DataError
from nucleate.files import ReadLimits, check_file

MOST_FILE_BYTES = 2**27
MOST_NAMES_BYTES = 2**20
# A data set's description lies at most this many folders above its labels.
LEVELS_UP = 3
CLASSES_FILE = "classes.txt"
BOX_NUMBERS = 5
_LINE = re.compile(rb"\s*\d+(\s+[-+.\deE]+){4,}\s*(\n|$)")


def yolo_annotations(path: Path) -> dict[Path, str]:
    """Return the label files below a path, or the path itself, with their images' stems; empty ones too."""
    if path.is_file():
        return {path: path.stem} if _head(path) and path.suffix.lower() == ".txt" else {}
    files = [
        file for file in sorted(path.rglob("*.txt")) if not file.name.startswith(".") and file.name != CLASSES_FILE
    ]
    folders = {file.parent for file in files if _head(file)}
    return {file: file.stem for file in files if file.parent in folders and (_head(file) or _is_blank(file))}


def read_yolo_nuclei(image: SourceImage, frame: Frame) -> SourceNuclei:
    """Return one nucleus a line with an outline; boxes are left out. A last odd number is a score.

    Class names are those of a data.yaml or classes.txt above the file.

    Raises:
        DataError: the file is no text or above the limit, or the names are damaged.
    """
    path = annotation_path(image)
    if path.stat().st_size:
        check_file(path, ReadLimits(max_file_bytes=MOST_FILE_BYTES))
    try:
        return draw_nuclei(_nuclei(path, frame, _class_names(path)), frame, image.key)
    except DataError as error:
        raise DataError(error.message, path=error.path or path, item=error.item) from error
    except UnicodeDecodeError as error:
        raise DataError("no text: a YOLO label file is ASCII", path=path) from error


def _nuclei(path: Path, frame: Frame, names: dict[int, str]) -> Iterator[DrawnNucleus | Dropped]:
    sides = np.array([frame.width_px, frame.height_px], np.float64)
    with path.open(encoding="ascii") as lines:
        for number, line in enumerate(lines, 1):
            item = f"line {number}"
            words = line.split()
            if not words:
                continue
            if len(words) == BOX_NUMBERS:
                yield Dropped(reason="box without an outline", item=item)
                continue
            try:
                class_id = int(words[0])
                values = np.array(words[1:], np.float64)
            except ValueError:
                yield Dropped(reason="line that is no class and outline", item=item)
                continue
            score = float(values[-1]) if len(values) % 2 else 1.0
            if len(values) < BOX_NUMBERS or not 0 <= score <= 1:
                yield Dropped(reason="line that is no class and outline", item=item)
                continue
            corners = values[: len(values) // 2 * 2].reshape(-1, 2) * sides
            name = names.get(class_id, f"class {class_id}")
            yield DrawnNucleus(item=item, parts=(Part(exterior_xy=corners),), class_name=name, score=score)


def _class_names(path: Path) -> dict[int, str]:
    """Return class names by number, {} where no file above the labels tells them."""
    for folder in path.resolve().parents[: LEVELS_UP + 1]:
        for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
            names = _yaml_names(file)
            if names:
                return names
        if (folder / CLASSES_FILE).is_file():
            text = (folder / CLASSES_FILE).read_text(encoding="utf-8", errors="replace")
            return dict(enumerate(line.strip() for line in text.splitlines() if line.strip()))
    return {}


def _yaml_names(file: Path) -> dict[int, str]:
    if file.stat().st_size > MOST_NAMES_BYTES:
        return {}
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise DataError("damaged YAML: the class names can't be read", path=file) from error
    names = content.get("names") if isinstance(content, dict) else None
    pairs = enumerate(names) if isinstance(names, list) else names.items() if isinstance(names, dict) else ()
    return {number: name for number, name in pairs if isinstance(number, int) and isinstance(name, str)}


def _head(file: Path) -> bool:
    """Return whether a file starts as a label file."""
    with file.open("rb") as opened:
        return _LINE.match(opened.read(2**16)) is not None


def _is_blank(file: Path) -> bool:
    return file.stat().st_size < MOST_NAMES_BYTES and not file.read_bytes().strip()


YOLO = PairedFormat(
    name="yolo",
    looked_for="images with NAME.txt of YOLO segmentation (yolo)",
    annotation="YOLO label file",
    find=yolo_annotations,
    reader=read_yolo_nuclei,
)
