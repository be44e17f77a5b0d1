"""Broken and hostile files of every format, each prepared by the command in a process that measures its memory.

    python -m tests.data.broken_inputs FOLDER

It writes one folder a case, runs `nucleate prepare` on it and prints what came of all of them as JSON.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import pickle
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import roifile
import scipy.io
import tifffile
from PIL import Image

from nucleate.cli import run

SIZE_WH = (60, 40)
DEPTH = 200_000
BOMB_BYTES = 2**28
Writer = Callable[[Path], None]


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE_WH, (90, 90, 90)).save(path)
    return path


def put(folder: Path, name: str, content: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def png_of_size(width: int, height: int) -> bytes:
    """Return a grey PNG whose header promises a size and whose data is a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def tiff_of_size(width: int, height: int) -> bytes:
    """Return a TIFF whose directory promises a size."""
    packed = io.BytesIO()
    tifffile.imwrite(packed, np.zeros((40, 60), np.uint16))
    content = bytearray(packed.getvalue())
    place = struct.unpack("<I", content[4:8])[0]
    for index in range(struct.unpack("<H", content[place : place + 2])[0]):
        at = place + 2 + 12 * index
        tag = struct.unpack("<H", content[at : at + 2])[0]
        if tag in (256, 257, 278):
            content[at + 2 : at + 12] = struct.pack("<HII", 4, 1, width if tag == 256 else height)
    return bytes(content)


def npy_header(shape: tuple[int, ...], kind: str = "<u2") -> bytes:
    packed = io.BytesIO()
    header = {"descr": kind, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(packed, header)
    return packed.getvalue() + bytes(100)


def roi_bytes(version: int | None = None) -> bytes:
    region = roifile.ImagejRoi.frompoints(np.array([(5, 5), (15, 5), (15, 15), (5, 15)]))
    content = bytearray(region.tobytes())
    if version is not None:
        content[4:6] = struct.pack(">H", version)
    return bytes(content)


def zipped(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def zip_bomb() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("0001.roi", "w") as entry:
        for _ in range(BOMB_BYTES >> 20):
            entry.write(bytes(2**20))
    return packed.getvalue()


def gzip_bomb() -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as file:
        file.write(b'{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": "')
        for _ in range(BOMB_BYTES >> 20):
            file.write(b"a" * 2**20)
    return packed.getvalue()


def mat_bomb() -> bytes:
    """Return a MATLAB file with one packed variable of zeros."""
    packer = zlib.compressobj()
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(3 * (BOMB_BYTES >> 20))) + packer.flush()
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    return header + struct.pack("<II", 15, len(packed)) + packed


def mat_bytes() -> bytes:
    packed = io.BytesIO()
    scipy.io.savemat(packed, {"inst_map": np.ones((40, 60), np.int32)}, do_compression=True)
    return packed.getvalue()


class _Call:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("pickle-ran-this"),))


def seg_npy(content: object) -> bytes:
    packed = io.BytesIO()
    np.lib.format.write_array_header_1_0(packed, {"descr": "|O", "fortran_order": False, "shape": ()})
    pickle.dump(content, packed)
    return packed.getvalue()


def coco(**changed: Any) -> bytes:
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}],
        "categories": [{"id": 1, "name": "nucleus"}],
        "annotations": [],
        **changed,
    }
    return json.dumps(document).encode()


def xml(body: str, head: str = "") -> bytes:
    return f'<?xml version="1.0"?>{head}<Annotations>{body}</Annotations>'.encode()


LAUGHS = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))


def beside(name: str, content: Callable[[], bytes]) -> Writer:
    """Return what writes an image with one annotation file beside it."""

    def write(folder: Path) -> None:
        picture(folder / "a.png")
        put(folder, name, content())

    return write


def parallel(images: str, name: str, content: Callable[[], bytes], image: str = "a.png") -> Writer:
    """Return what writes an image in one folder and one annotation file in another."""

    def write(folder: Path) -> None:
        picture(folder / images / image)
        put(folder, name, content())

    return write


def only(files: dict[str, Callable[[], bytes]]) -> Writer:
    def write(folder: Path) -> None:
        for name, content in files.items():
            put(folder, name, content())

    return write


def nested(opening: str, closing: str = "") -> bytes:
    return (opening * DEPTH + closing * DEPTH).encode()


# Format, what writes the source, what the line says.
CASES: dict[str, tuple[str, Writer, str]] = {
    "imagej truncated zip": ("imagej", beside("a.zip", lambda: zipped({"1.roi": roi_bytes()})[:60]), "damaged zip"),
    "imagej empty zip file": ("imagej", beside("a.zip", lambda: b""), "empty"),
    "imagej other version": ("imagej", beside("a.roi", lambda: roi_bytes(120)), "ROI of version 120"),
    "imagej truncated roi": ("imagej", beside("a.roi", lambda: roi_bytes()[:30]), "damaged ImageJ ROI"),
    "imagej no roi": ("imagej", beside("a.zip", lambda: zipped({"1.roi": b"junk" * 20})), "damaged ImageJ ROI"),
    "imagej bomb": ("imagej", beside("a.zip", zip_bomb), "above the limit"),
    "nuinsseg truncated zip": (
        "nuinsseg",
        parallel("human liver/tissue images", "human liver/Imagej_zips/a.zip", lambda: b"PK\x03\x04" + bytes(50)),
        "damaged zip",
    ),
    "nuinsseg label bomb": (
        "nuinsseg",
        parallel(
            "human liver/tissue images", "human liver/label masks modify/a.tif", lambda: tiff_of_size(200_000, 200_000)
        ),
        "above the limit",
    ),
    "aperio laughs": (
        "aperio-xml",
        beside("a.xml", lambda: xml("&a11;", f'<!DOCTYPE Annotations [<!ENTITY a0 "ha">{LAUGHS}]>')),
        "document type or entities",
    ),
    "aperio external entity": (
        "aperio-xml",
        beside("a.xml", lambda: xml("&x;", '<!DOCTYPE Annotations [<!ENTITY x SYSTEM "file:///etc/passwd">]>')),
        "document type or entities",
    ),
    "aperio external document type": (
        "aperio-xml",
        beside("a.xml", lambda: xml("", '<!DOCTYPE Annotations SYSTEM "http://127.0.0.1:9/a.dtd">')),
        "document type or entities",
    ),
    "aperio deep": ("aperio-xml", beside("a.xml", lambda: xml("<Regions>" * DEPTH)), "nested more than"),
    "aperio truncated": ("aperio-xml", beside("a.xml", lambda: xml("<Annotation>")[:-20]), "damaged XML"),
    "geojson deep": ("geojson", beside("a.geojson", lambda: b'{"features":[' + nested('{"a":[')), "nested too deeply"),
    "geojson deep coordinates": (
        "geojson",
        beside(
            "a.geojson",
            lambda: b'{"type":"Feature","geometry":{"type":"Polygon","coordinates":' + nested("[", "]") + b"}}",
        ),
        "nested too deeply",
    ),
    "geojson truncated": (
        "geojson",
        beside("a.geojson", lambda: b'{"type":"FeatureCollection","features":[{"type":"Fea'),
        "damaged JSON",
    ),
    "geojson truncated gzip": (
        "geojson",
        beside("a.geojson.gz", lambda: gzip.compress(b'{"features":[]}' * 100)[:40]),
        "damaged GeoJSON",
    ),
    "geojson bomb": ("geojson", beside("a.geojson.gz", gzip_bomb), "value of more than"),
    "coco deep": ("coco", beside("a.json", lambda: b'{"images":' + nested("[", "]") + b"}"), "JSON"),
    "coco truncated": ("coco", beside("a.json", lambda: coco()[:-10]), "JSON"),
    "coco path out of the folder": (
        "coco",
        beside(
            "a.json",
            lambda: coco(images=[{"id": 1, "file_name": "../../../../etc/passwd", "width": 60, "height": 40}]),
        ),
        "none of the 0 images",
    ),
    "coco absolute path": (
        "coco",
        beside("a.json", lambda: coco(images=[{"id": 1, "file_name": "/etc/passwd", "width": 60, "height": 40}])),
        "none of the 0 images",
    ),
    "coco image bomb": (
        "coco",
        only(
            {
                "a.json": lambda: coco(images=[{"id": 1, "file_name": "a.png", "width": 200_000, "height": 200_000}]),
                "a.png": lambda: png_of_size(200_000, 200_000),
            }
        ),
        "limit of",
    ),
    "label image bomb": (
        "label-images",
        parallel("images", "labels/a.png", lambda: png_of_size(60_000, 60_000)),
        "limit of",
    ),
    "label image truncated": (
        "label-images",
        parallel("images", "labels/a.png", lambda: png_of_size(60, 40)[:50]),
        "a.png",
    ),
    "label image is text": ("label-images", parallel("images", "labels/a.tif", lambda: b"no image at all"), "a.tif"),
    "label array bomb": (
        "label-images",
        parallel("images", "labels/a.npy", lambda: npy_header((2**20, 2**20))),
        "a.npy",
    ),
    "label array pickled": (
        "label-images",
        parallel("images", "labels/a.npy", lambda: seg_npy(_Call())),
        "Python objects",
    ),
    "binary mask bomb": (
        "binary-masks",
        parallel("images", "masks/a.png", lambda: png_of_size(60_000, 60_000)),
        "limit of",
    ),
    "binary mask truncated": (
        "binary-masks",
        parallel("images", "masks/a.png", lambda: png_of_size(60, 40)[:50]),
        "a.png",
    ),
    "nucleus mask bomb": (
        "nucleus-masks",
        parallel("a/images", "a/masks/1.png", lambda: png_of_size(60_000, 60_000)),
        "limit of",
    ),
    "nucleus mask truncated": (
        "nucleus-masks",
        parallel("a/images", "a/masks/1.png", lambda: png_of_size(60, 40)[:50]),
        "1.png",
    ),
    "yolo bytes": ("yolo", beside("a.txt", lambda: b"0 0.1 0.1 0.2 0.1 0.2 0.2\n\xff\xfe"), "ASCII"),
    "yolo image bomb": (
        "yolo",
        only(
            {
                "images/a.txt": lambda: b"0 0.1 0.1 0.2 0.1 0.2 0.2\n",
                "images/a.png": lambda: png_of_size(60_000, 60_000),
            }
        ),
        "limit of",
    ),
    "yolo deep names": (
        "yolo",
        parallel(".", "data.yaml", lambda: b"names: " + nested("["), "a.png"),
        "no image with",
    ),
    "cellpose runs a call": ("cellpose", beside("a_seg.npy", lambda: seg_npy({"masks": _Call()})), "only numpy arrays"),
    "cellpose truncated": (
        "cellpose",
        beside("a_seg.npy", lambda: seg_npy({"masks": np.ones((40, 60), np.uint16)})[:-50]),
        "no readable pickle",
    ),
    "cellpose mask bomb": (
        "cellpose",
        beside("a_masks.tif", lambda: tiff_of_size(200_000, 200_000)),
        "above the limit",
    ),
    "hovernet truncated": ("hovernet", beside("a.mat", lambda: mat_bytes()[:180]), "a.mat"),
    "hovernet 7.3": (
        "hovernet",
        beside("a.mat", lambda: b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(100)),
        "7.3",
    ),
    "hovernet bomb": ("hovernet", beside("a.mat", mat_bomb), "unpacks to more"),
    "pannuke bomb": (
        "pannuke",
        only(
            {
                "images.npy": lambda: npy_header((1, 2**20, 2**20, 3), "|u1"),
                "masks.npy": lambda: npy_header((1, 2**20, 2**20, 6), "|u1"),
            }
        ),
        "images.npy",
    ),
    "pannuke pickled": (
        "pannuke",
        only({"images.npy": lambda: seg_npy(_Call()), "masks.npy": lambda: seg_npy(_Call())}),
        "Python objects",
    ),
}


def peak_mib() -> float:
    """Return the most memory that this process had, where the system tells (Linux)."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+)", status.read_text()) if status.is_file() else None
    return int(found[1]) / 1024 if found else 0.0


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def main(root: Path) -> None:
    results = {}
    for name, (kind, write, _) in CASES.items():
        folder = root / re.sub(r"\W+", "-", name)
        write(folder / "in")
        before = files_below(root)
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            code = run(["prepare", str(folder / "in"), "--format", kind, "--output", str(folder / "out")])
        results[name] = {
            "code": code,
            "said": said.getvalue(),
            "written": sorted(files_below(root) - before),
            "peak_mib": peak_mib(),
        }
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
