"""Regions written by roifile, and by hand where ImageJ writes what roifile doesn't."""

from __future__ import annotations

import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
from hypothesis import given
from numpy.typing import NDArray
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from nucleate.core import Frame, trace_outlines
from nucleate.data.sources import imagej, open_source
from nucleate.errors import DataError
from tests.core.strategies import masks_of, stacks
from tests.data.sources import FRAME, box_mask, mended, read_nuclei, read_only_image, reasons, same, write_picture
from tests.synthetic import write_nuinsseg


def polygon(corners: object, **values: object) -> ImagejRoi:
    roi = ImagejRoi.frompoints(np.array(corners))
    for name, value in {"roitype": ROI_TYPE.POLYGON, **values}.items():
        setattr(roi, name, value)
    return roi


def box(roitype: ROI_TYPE, x1: int, y1: int, x2: int, y2: int, **values: object) -> ImagejRoi:
    return ImagejRoi(roitype=roitype, left=x1, top=y1, right=x2, bottom=y2, **values)  # type: ignore[arg-type]


def composite(path: list[float]) -> ImagejRoi:
    coordinates = np.array(path, np.float32)
    return box(ROI_TYPE.RECT, 0, 0, 60, 40, shape_roi_size=len(path), multi_coordinates=coordinates)


def square_path(x1: float, y1: float, x2: float, y2: float) -> list[float]:
    return [0, x1, y1, 1, x2, y1, 1, x2, y2, 1, x1, y2, 4]


def write_zip(folder: Path, rois: list[ImagejRoi], name: str = "a.zip") -> Path:
    write_picture(folder / "a.png")
    roifile.roiwrite(folder / name, rois, name=[f"{number:04d}" for number in range(len(rois))])
    return folder / name


def test_polygons_overlap_as_they_were_drawn(tmp_path: Path) -> None:
    write_zip(
        tmp_path,
        [polygon([(5, 5), (15, 5), (15, 15), (5, 15)]), polygon([(11, 5), (21, 5), (21, 15), (11, 15)])],
    )
    nuclei = read_nuclei(tmp_path)
    assert same(nuclei.masks, np.stack([box_mask(5, 5, 15, 15), box_mask(11, 5, 21, 15)]))
    assert nuclei.label_ids.tolist() == [1, 2]


@pytest.mark.parametrize("roitype", [ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED])
def test_every_kind_of_outline_is_an_area(tmp_path: Path, roitype: ROI_TYPE) -> None:
    write_zip(tmp_path, [polygon([(5, 5), (15, 5), (15, 15), (5, 15)], roitype=roitype)])
    assert same(read_nuclei(tmp_path).masks, box_mask(5, 5, 15, 15)[None])


def test_corners_between_pixels_are_kept(tmp_path: Path) -> None:
    write_zip(tmp_path, [polygon([(4.6, 4.6), (9.4, 4.6), (9.4, 9.4), (4.6, 9.4)])])
    assert same(read_nuclei(tmp_path).masks, box_mask(5, 5, 9, 9)[None])


def test_rectangles_and_ovals_fill_their_box(tmp_path: Path) -> None:
    write_zip(tmp_path, [box(ROI_TYPE.RECT, 5, 6, 15, 26), box(ROI_TYPE.OVAL, 20, 6, 40, 26)])
    nuclei = read_nuclei(tmp_path)
    rows, columns = np.mgrid[:40, :60] + 0.5
    disc = (columns - 30) ** 2 + (rows - 16) ** 2 < 100
    assert np.array_equal(nuclei.masks.full(0), box_mask(5, 6, 15, 26))
    assert np.array_equal(nuclei.masks.full(1), disc)


def test_a_rectangle_between_pixels_and_one_with_round_corners(tmp_path: Path) -> None:
    between = box(ROI_TYPE.RECT, 5, 5, 9, 9, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION)
    between.xd, between.yd, between.widthd, between.heightd = 4.6, 4.6, 4.8, 4.8
    write_zip(tmp_path, [between, box(ROI_TYPE.RECT, 20, 5, 40, 25, rounded_rect_arc_size=20)])
    nuclei = read_nuclei(tmp_path)
    assert np.array_equal(nuclei.masks.full(0), box_mask(5, 5, 9, 9))
    rows, columns = np.mgrid[:40, :60] + 0.5
    assert np.array_equal(nuclei.masks.full(1), (columns - 30) ** 2 + (rows - 15) ** 2 < 100)


def test_a_composite_has_parts_and_holes(tmp_path: Path) -> None:
    path = square_path(2, 2, 12, 12) + square_path(4, 4, 8, 8) + square_path(20, 2, 30, 12)
    write_zip(tmp_path, [composite(path)])
    expected = (box_mask(2, 2, 12, 12) & ~box_mask(4, 4, 8, 8)) | box_mask(20, 2, 30, 12)
    assert same(read_nuclei(tmp_path).masks, expected[None])


def test_curves_of_a_composite_bend(tmp_path: Path) -> None:
    quarter = 4 / 3 * (2**0.5 - 1) * 10
    circle: list[float] = [0, 30, 10]
    circle += [3, 30 + quarter, 10, 40, 20 - quarter, 40, 20]
    circle += [3, 40, 20 + quarter, 30 + quarter, 30, 30, 30]
    circle += [3, 30 - quarter, 30, 20, 20 + quarter, 20, 20]
    circle += [2, 20, 10, 30, 10, 4]
    write_zip(tmp_path, [composite(circle)])
    area_px = int(read_nuclei(tmp_path).masks.areas_px()[0])
    # Three quarters of a disc, and a quarter under a parabola, which holds five sixths of its box.
    assert area_px == pytest.approx(0.75 * np.pi * 100 + 100 * 5 / 6, abs=6)


def test_lines_points_and_texts_are_left_out_and_named(tmp_path: Path) -> None:
    line = box(ROI_TYPE.LINE, 0, 0, 5, 5)
    text = box(ROI_TYPE.RECT, 0, 0, 5, 5, subtype=ROI_SUBTYPE.TEXT, text="t", text_name="SansSerif")
    points = polygon([(1, 1), (2, 2), (9, 3)], roitype=ROI_TYPE.POINT)
    write_zip(tmp_path, [line, points, text, box(ROI_TYPE.RECT, 0, 0, 5, 5)])
    nuclei = read_nuclei(tmp_path)
    assert len(nuclei.masks) == 1
    assert nuclei.label_ids.tolist() == [4]
    assert reasons(nuclei) == ["ROI without an area (line, point, angle or text)"] * 3
    assert nuclei.dropped[0].item == "a.png: 0000.roi"


def test_crossing_cut_and_distant_outlines_are_counted(tmp_path: Path) -> None:
    no_number = polygon([(1.0, 1.0), (2.0, 2.0), (3.0, 3.0)])
    assert no_number.subpixel_coordinates is not None
    no_number.subpixel_coordinates[1, 0] = np.nan
    write_zip(
        tmp_path,
        [
            polygon([(2, 2), (12, 12), (12, 2), (2, 12)]),
            polygon([(50, 5), (70, 5), (70, 15), (50, 15)]),
            polygon([(70, 5), (90, 5), (90, 15)]),
            polygon([(1, 1), (2, 2)]),
            no_number,
        ],
    )
    nuclei = read_nuclei(tmp_path)
    assert len(nuclei.masks) == 2
    assert mended(nuclei) == ["self-crossing outline repaired", "nucleus cut at the image's border"]
    assert reasons(nuclei) == [
        "nucleus outside of the image",
        "outline of fewer than 3 corners",
        "outline with a corner that is no number",
    ]


def test_groups_are_classes(tmp_path: Path) -> None:
    write_zip(tmp_path, [box(ROI_TYPE.RECT, 0, 0, 5, 5), box(ROI_TYPE.RECT, 5, 5, 9, 9, group=3)])
    nuclei = read_nuclei(tmp_path)
    assert [nuclei.class_names[index] for index in nuclei.class_indices] == ["nucleus", "group 3"]


@pytest.mark.parametrize("name", ["a.zip", "a_RoiSet.zip", "RoiSet_a.zip"])
def test_zips_may_lie_in_a_parallel_folder(tmp_path: Path, name: str) -> None:
    write_picture(tmp_path / "images" / "a.png")
    (tmp_path / "rois").mkdir()
    roifile.roiwrite(tmp_path / "rois" / name, [box(ROI_TYPE.RECT, 0, 0, 5, 5)])
    source = open_source(tmp_path)
    assert (source.format, source.images[0].key) == ("imagej", "images/a.png")
    assert len(read_only_image(source).masks) == 1


def test_single_files_and_folders_of_them_are_regions_too(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png")
    box(ROI_TYPE.RECT, 0, 0, 5, 5).tofile(tmp_path / "a.roi")
    (tmp_path / "b").mkdir()
    for number in range(3):
        box(ROI_TYPE.RECT, number, 0, 5, 5).tofile(tmp_path / "b" / f"{number}.roi")
    source = open_source(tmp_path)
    counts = [len(source.read_nuclei(image, FRAME).masks) for image in source.images]
    assert counts == [1, 3]


def test_a_zip_alone_and_folders_elsewhere_can_be_given(tmp_path: Path) -> None:
    zip_path = write_zip(tmp_path, [box(ROI_TYPE.RECT, 0, 0, 5, 5)])
    assert len(read_only_image(open_source(zip_path)).masks) == 1
    (tmp_path / "x").mkdir()
    moved = (tmp_path / "a.zip").rename(tmp_path / "x" / "a.zip")
    assert len(read_only_image(open_source(moved, images=tmp_path)).masks) == 1
    (tmp_path / "x").rename(tmp_path.parent / "elsewhere")
    source = open_source(tmp_path, labels=tmp_path.parent / "elsewhere")
    assert source.format == "imagej"
    assert len(read_only_image(source).masks) == 1
    for folders in ({"labels": tmp_path / "gone"}, {"images": tmp_path / "gone"}):
        with pytest.raises(DataError, match="no such folder"):
            open_source(tmp_path, source_format="imagej", **folders)


def test_what_has_no_partner_is_named_and_two_partners_are_refused(tmp_path: Path) -> None:
    write_zip(tmp_path, [box(ROI_TYPE.RECT, 0, 0, 5, 5)])
    write_picture(tmp_path / "c.png")
    roifile.roiwrite(tmp_path / "b.zip", [box(ROI_TYPE.RECT, 0, 0, 5, 5)])
    assert [(each.reason, each.item) for each in open_source(tmp_path).left_out] == [
        ("ROI file without an image", "b.zip"),
        ("image without a ROI file", "c.png"),
    ]
    box(ROI_TYPE.RECT, 0, 0, 5, 5).tofile(tmp_path / "a.roi")
    with pytest.raises(DataError, match="belong to one image"):
        open_source(tmp_path)


def test_of_two_images_of_a_stem_the_folders_decide(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_picture(tmp_path / "images" / part / "a.png")
        (tmp_path / "rois" / part).mkdir(parents=True)
        roifile.roiwrite(tmp_path / "rois" / part / "a.zip", [box(ROI_TYPE.RECT, 0, 0, 5, 5)])
        write_picture(tmp_path / "pictures" / part / "a.png")
    source = open_source(tmp_path)
    assert [image.key for image in source.images] == ["images/test/a.png", "images/train/a.png"]
    assert all(str(image.annotation).split("/")[-2] in image.key for image in source.images)
    write_picture(tmp_path / "images" / "train" / "a.bmp")
    with pytest.raises(DataError, match="2 images are called 'a'"):
        open_source(tmp_path)


@given(stack=stacks())
def test_masks_drawn_as_regions_come_back(stack: NDArray[np.bool_]) -> None:
    masks = masks_of(stack[stack.any(axis=(1, 2))])
    rois = []
    for index in range(len(masks)):
        outlines = trace_outlines(masks, index)
        if len(outlines) == 1 and not outlines[0].holes_xy:
            rois.append(polygon(outlines[0].exterior_xy))
            continue
        path: list[float] = []
        for outline in outlines:
            for ring in (outline.exterior_xy, *outline.holes_xy):
                path += [0, *ring[0], *(number for corner in ring[1:] for number in (1, *corner)), 4]
        rois.append(composite(path))
    with tempfile.TemporaryDirectory() as folder:
        write_zip(Path(folder), [*rois, box(ROI_TYPE.LINE, 0, 0, 1, 1)])
        nuclei = read_nuclei(Path(folder), masks.frame)
    assert same(nuclei.masks, stack[stack.any(axis=(1, 2))])
    assert not nuclei.mended


def nuinsseg_with_rois(root: Path, keep_maps: bool) -> None:
    write_nuinsseg(root, organs=("human liver",), images=1)
    organ = root / "human liver"
    (organ / "Imagej_zips").mkdir()
    rois = [box(ROI_TYPE.RECT, 0, 0, 9, 9), box(ROI_TYPE.RECT, 5, 5, 12, 12)]
    roifile.roiwrite(organ / "Imagej_zips" / "human_liver_01.zip", rois)
    if not keep_maps:
        (organ / "label masks modify").rename(organ / "label masks")


@pytest.mark.parametrize("keep_maps", [True, False])
def test_nuinssegs_regions_keep_their_overlaps(tmp_path: Path, keep_maps: bool) -> None:
    nuinsseg_with_rois(tmp_path, keep_maps)
    source = open_source(tmp_path, source_format="imagej" if keep_maps else None)
    frame = Frame(height_px=128, width_px=160)
    nuclei = read_only_image(source, frame)
    assert nuclei.masks.areas_px().tolist() == [81, 49]
    assert (source.images[0].organ, source.images[0].species) == ("human liver", "human")
    assert bool(source.notes) != keep_maps
    if keep_maps:
        assert len(read_only_image(open_source(tmp_path), frame).masks) == 12


def damaged(kind: str, folder: Path) -> None:
    path = write_zip(folder, [polygon([(5, 5), (15, 5), (15, 15), (5, 15)])])
    whole = polygon([(5, 5), (15, 5), (15, 15), (5, 15)]).tobytes()
    contents = {
        "version": whole[:4] + struct.pack(">h", 912) + whole[6:],
        "magic": b"Jout" + whole[4:],
        "cut": whole[:70],
        "short": b"Iout",
        "lying": whole[:16] + struct.pack(">H", 65535) + whole[18:],
    }
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:-30])
    elif kind == "bomb":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("0001.roi", bytes(2**24 + 1))
    elif kind == "checksum":
        data = bytearray(path.read_bytes())
        data[60] ^= 255
        path.write_bytes(bytes(data))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("0001.roi", contents[kind])


@pytest.mark.parametrize("kind", ["version", "magic", "cut", "short", "lying", "truncated", "bomb", "checksum"])
def test_broken_regions_are_one_line(tmp_path: Path, kind: str) -> None:
    damaged(kind, tmp_path)
    with pytest.raises(DataError) as caught:
        read_nuclei(tmp_path)
    assert "\n" not in str(caught.value)
    assert "a.zip" in str(caught.value)


@pytest.mark.parametrize(
    "path", [[7.0, 1, 1], [0, 1], [1, 2, 2], [float("nan"), 1, 1]], ids=["command", "end", "start", "nan"]
)
def test_broken_composite_paths_are_one_line(tmp_path: Path, path: list[float]) -> None:
    write_zip(tmp_path, [composite(path)])
    with pytest.raises(DataError, match="a composite path"):
        read_nuclei(tmp_path)


def test_bombs_of_many_regions_stop_at_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_zip(tmp_path, [box(ROI_TYPE.RECT, 0, 0, 5, 5)] * 3)
    for limit, words in (("MOST_ZIP_BYTES", "unpacks"), ("MOST_FILE_BYTES", "above the limit")):
        with monkeypatch.context() as patch:
            patch.setattr(imagej, limit, 200)
            with pytest.raises(DataError, match=words):
                read_nuclei(tmp_path)
    for limit, words in (("MOST_NUCLEI", "more than 2 shapes"), ("MOST_MASK_PX", "more than 2 pixels")):
        with monkeypatch.context() as patch:
            patch.setattr(f"nucleate.data.sources.shapes.{limit}", 2)
            with pytest.raises(DataError, match=words):
                read_nuclei(tmp_path)
    monkeypatch.setattr("nucleate.data.sources.shapes.MOST_SHAPE_PX", 2)
    assert reasons(read_nuclei(tmp_path)) == ["shape too large for a nucleus"] * 3


def test_paths_in_a_zip_lead_nowhere(tmp_path: Path) -> None:
    write_picture(tmp_path / "in" / "a.png")
    with zipfile.ZipFile(tmp_path / "in" / "a.zip", "w") as archive:
        archive.writestr("../../outside.roi", box(ROI_TYPE.RECT, 0, 0, 5, 5).tobytes())
        archive.writestr("__MACOSX/._0001.roi", b"resource fork")
        archive.writestr("readme.txt", b"")
    assert len(read_nuclei(tmp_path / "in").masks) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.png", "a.zip", "in"]
