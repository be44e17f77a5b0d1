"""HoVer-Net's MATLAB files (CoNSeP, Kumar, CPM, Lizard): `inst_map`, with classes where they hold such."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import scipy.io
from numpy.typing import NDArray
from scipy.io.matlab import MatReadError

from nucleate.core import Frame
from nucleate.data.sources.pairs import PairedFormat
from nucleate.data.sources.source import (
    NUCLEUS,
    SourceImage,
    SourceNuclei,
    annotation_path,
    check_same_size,
    nuclei_from_label_map,
)
from nucleate.errors import DataError
from nucleate.files import ReadLimits, check_file, check_pixels, label_map_from_array

INSTANCES, TYPE_MAP = "inst_map", "type_map"
# Classes of each nucleus with their ids: of Lizard, of HoVer-Net's own results, of CoNSeP (by rising id).
TYPE_LISTS = (("class", "id"), ("inst_type", "inst_uid"), ("inst_type", None))
WANTED = (INSTANCES, TYPE_MAP, "class", "id", "inst_type", "inst_uid")
CONSEP = (
    "other",
    "inflammatory",
    "healthy epithelial",
    "dysplastic/malignant epithelial",
    "fibroblast",
    "muscle",
    "endothelial",
)
LIZARD = ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")
MOST_FILE_BYTES = 2**28
# Unpacked, all variables together.
MOST_BYTES = 2**29
_NUMBERS = frozenset(
    {"double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
)
_HEADER_BYTES, _COMPRESSED = 128, 15
_BROKEN = (
    MatReadError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    NotImplementedError,
    MemoryError,
    OverflowError,
    RecursionError,
    UnicodeDecodeError,
    struct.error,
    zlib.error,
)


def mat_annotations(path: Path) -> dict[Path, str]:
    """Return the MATLAB files below a path, or the path itself, with their images' stems."""
    files = [path] if path.is_file() else sorted(path.rglob("*.mat"))
    return {file: file.stem for file in files if file.suffix.lower() == ".mat" and not file.name.startswith(".")}


def read_mat_nuclei(image: SourceImage, frame: Frame) -> SourceNuclei:
    """Return one nucleus an id of `inst_map`, by rising id, with its class.

    Raises:
        DataError: a damaged file, one of MATLAB 7.3 (HDF5), without an instance map, or of another size.
    """
    path = annotation_path(image)
    check_file(path, ReadLimits(max_file_bytes=MOST_FILE_BYTES))
    content = _load(path)
    if INSTANCES not in content:
        raise DataError(f"no {INSTANCES!r} in it: HoVer-Net's files hold one", path=path)
    instances = label_map_from_array(content[INSTANCES], path)
    check_same_size(instances.shape, frame, "instance map", path)
    nuclei = nuclei_from_label_map(instances, frame)
    types = _types(content, instances, nuclei.label_ids)
    names = [_class_name(int(each), path, is_lizard="class" in content) for each in types]
    classes = tuple(dict.fromkeys(names)) or (NUCLEUS,)
    return SourceNuclei(
        masks=nuclei.masks,
        label_ids=nuclei.label_ids,
        class_indices=np.array([classes.index(name) for name in names], np.int64),
        scores=nuclei.scores,
        class_names=classes,
    )


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Return the numeric variables that are wanted; others (cells, structs, objects) are not looked into."""
    try:
        with path.open("rb") as file:
            _check_unpacked(file, path)
        listed: list[tuple[str, tuple[int, ...], str]] = scipy.io.whosmat(str(path))
        found = {name: shape for name, shape, kind in listed if name in WANTED and kind in _NUMBERS}
        for shape in found.values():
            check_pixels(int(np.prod([*shape, 1], dtype=object)), 1, path, ReadLimits(max_pixels=MOST_BYTES // 8))
        loaded = scipy.io.loadmat(str(path), variable_names=list(found)) if found else {}
    except NotImplementedError as error:
        raise DataError("a file of MATLAB 7.3 (HDF5): save it with save(..., '-v7')", path=path) from error
    except _BROKEN as error:
        raise DataError(f"damaged MATLAB file: {error}", path=path) from error
    return {name: np.asarray(loaded[name]) for name in found if name in loaded}


def _check_unpacked(file: BinaryIO, path: Path) -> None:
    """Refuse a file whose packed variables are too large, before anything keeps them."""
    header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or header[126:128] not in (b"IM", b"MI"):
        return
    order = "<" if header[126:128] == b"IM" else ">"
    total = 0
    while len(tag := file.read(8)) == 8:
        kind, size = struct.unpack(f"{order}II", tag)
        if kind != _COMPRESSED:
            file.seek(size, 1)
            continue
        unpacker = zlib.decompressobj()
        packed = file.read(size)
        while packed and not unpacker.eof:
            total += len(unpacker.decompress(packed, 2**20))
            packed = unpacker.unconsumed_tail
            if total > MOST_BYTES:
                raise DataError(f"unpacks to more than {MOST_BYTES} bytes", path=path)


def _types(content: dict[str, NDArray[Any]], instances: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each nucleus' class number, 0 where none is told."""
    types = content.get(TYPE_MAP)
    if types is not None and types.shape == instances.shape:
        # The commonest class of each nucleus' pixels; at equal counts the smaller.
        inside = instances > 0
        pairs, counts = np.unique(
            np.stack([instances[inside], types[inside].astype(np.int64)]), axis=1, return_counts=True
        )
        order = np.lexsort((-pairs[1], counts))
        commonest = dict(zip(pairs[0, order].tolist(), pairs[1, order].tolist(), strict=True))
        return np.array([commonest[each] for each in ids.tolist()], np.int64)
    for types_name, ids_name in TYPE_LISTS:
        numbers = ids if ids_name is None else content.get(ids_name, np.zeros(0)).reshape(-1)
        listed = content.get(types_name, np.zeros(0)).reshape(-1)
        if len(listed) and len(listed) == len(numbers):
            by_id = dict(zip(numbers.astype(np.int64).tolist(), listed.astype(np.int64).tolist(), strict=True))
            return np.array([by_id.get(each, 0) for each in ids.tolist()], np.int64)
    return np.zeros(len(ids), np.int64)


def _class_name(number: int, path: Path, *, is_lizard: bool) -> str:
    """Return a class' name where the data set's papers give it, else its number."""
    is_consep = any("consep" in part.lower() for part in path.parts)
    names = LIZARD if is_lizard else CONSEP if is_consep else ()
    if number == 0:
        return NUCLEUS
    return names[number - 1] if 0 < number <= len(names) else f"type {number}"


HOVERNET = PairedFormat(
    name="hovernet",
    looked_for="images with NAME.mat of HoVer-Net (hovernet)",
    annotation="MATLAB file",
    find=mat_annotations,
    reader=read_mat_nuclei,
)
