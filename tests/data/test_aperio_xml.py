"""ImageScope has no library; files are written by its published layout, as MoNuSeg's are."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray
from PIL import Image

from nucleate.core import Frame, trace_outlines
from nucleate.data.sources import aperio_xml, open_source
from nucleate.errors import DataError
from tests.core.strategies import masks_of, stacks
from tests.data.sources import box_mask, mended, read_nuclei, read_only_image, reasons, same, write_picture


def region(corners: object, number: int = 1, **attributes: object) -> str:
    values = {"Id": number, "Type": 0, "NegativeROA": 0, "InputRegionId": 0, **attributes}
    head = " ".join(f'{name}="{value}"' for name, value in values.items())
    vertices = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in np.array(corners).tolist())
    return f"<Region {head}><Attributes/><Vertices>{vertices}</Vertices></Region>"


def layer(*regions: str, name: str = "", attribute: str = 'Name="Description" Id="0" Value=""', number: int = 1) -> str:
    return (
        f'<Annotation Id="{number}" Name="{name}"><Attributes><Attribute {attribute}/></Attributes>'
        f"<Regions><RegionAttributeHeaders/>{''.join(regions)}</Regions><Plots/></Annotation>"
    )


def write_xml(folder: Path, *layers: str, mpp: str = "0.252000") -> Path:
    write_picture(folder / "a.png")
    path = folder / "a.xml"
    path.write_text(f'<Annotations MicronsPerPixel="{mpp}">{"".join(layers)}</Annotations>')
    return path


def square(x1: float, y1: float, x2: float, y2: float) -> list[tuple[float, float]]:
    return [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]


def test_regions_overlap_as_they_were_drawn_and_mpp_is_known(tmp_path: Path) -> None:
    write_xml(tmp_path, layer(region(square(5, 5, 15, 15)), region(square(10, 5, 20.4, 15), 2)))
    source = open_source(tmp_path)
    assert (source.format, source.images[0].mpp) == ("aperio-xml", 0.252)
    nuclei = read_only_image(source)
    assert same(nuclei.masks, np.stack([box_mask(5, 5, 15, 15), box_mask(10, 5, 20, 15)]))
    assert nuclei.class_names == ("nucleus",)


def test_the_monuseg_sample_has_359_regions(shared_data: Path) -> None:
    source = open_source(shared_data / "monuseg_sample")
    nuclei = read_only_image(source, Frame(height_px=1000, width_px=1000))
    assert len(nuclei.masks) + len(nuclei.dropped) == 359
    assert source.images[0].mpp == 0.252


def test_layers_are_classes_by_name_description_or_attribute(tmp_path: Path) -> None:
    box = region(square(5, 5, 15, 15))
    write_xml(
        tmp_path,
        layer(box, name="tumour"),
        layer(box, attribute='Name="Description" Id="0" Value="stroma"', number=2),
        layer(box, attribute='Name="Epithelial" Id="0" Value=""', number=3),
        layer(box, number=4),
    )
    nuclei = read_nuclei(tmp_path)
    assert [nuclei.class_names[index] for index in nuclei.class_indices] == [
        "tumour",
        "stroma",
        "Epithelial",
        "nucleus",
    ]


@pytest.mark.parametrize("parent", [1, 0])
def test_negative_regions_are_holes(tmp_path: Path, parent: int) -> None:
    hole = region(square(8, 8, 12, 12), 2, NegativeROA=1, InputRegionId=parent)
    lost = region(square(30, 8, 34, 12), 3, NegativeROA=1)
    empty = region(np.zeros((0, 2)), 4, NegativeROA=1)
    write_xml(tmp_path, layer(hole, lost, empty, region(square(5, 5, 15, 15)), region(square(2, 2, 25, 25), 5)))
    nuclei = read_nuclei(tmp_path)
    assert np.array_equal(nuclei.masks.full(0), box_mask(5, 5, 15, 15) & ~box_mask(8, 8, 12, 12))
    assert np.array_equal(nuclei.masks.full(1), box_mask(2, 2, 25, 25))
    assert reasons(nuclei) == ["hole outside of every region"] * 2


def test_rectangles_and_ellipses_of_two_corners_and_rulers(tmp_path: Path) -> None:
    write_xml(
        tmp_path,
        layer(
            region([(5, 5), (15, 15)], 1, Type=1),
            region(square(5, 5, 15, 15), 2, Type=1),
            region([(20, 10), (40, 30)], 3, Type=2),
            region([(1, 1), (9, 9)], 4, Type=4),
            region([(1, 1), (9, 9)], 5),
            region(np.zeros((0, 2)), 6, Type=2),
        ),
    )
    nuclei = read_nuclei(tmp_path)
    rows, columns = np.mgrid[:40, :60] + 0.5
    disc = (columns - 30) ** 2 + (rows - 20) ** 2 < 100
    assert same(nuclei.masks, np.stack([box_mask(5, 5, 15, 15), box_mask(5, 5, 15, 15), disc]))
    assert reasons(nuclei) == ["region without an area (arrow or ruler)"] + ["outline of fewer than 3 corners"] * 2


def test_crossing_and_cut_regions_are_counted(tmp_path: Path) -> None:
    corner = '<Region Id="3"><Vertices><Vertex X="?" Y="1"/><Vertex X="2"/><Vertex X="1" Y="1"/></Vertices></Region>'
    write_xml(
        tmp_path,
        layer(region([(2, 2), (12, 12), (12, 2), (2, 12)]), region(square(-3, 5, 4, 9), 2), corner),
    )
    nuclei = read_nuclei(tmp_path)
    assert mended(nuclei) == ["self-crossing outline repaired", "nucleus cut at the image's border"]
    assert reasons(nuclei) == ["outline with a corner that is no number"]


@given(stack=stacks())
def test_masks_drawn_as_regions_come_back(stack: NDArray[np.bool_]) -> None:
    masks = masks_of(stack[stack.any(axis=(1, 2))])
    expected: list[NDArray[np.bool_]] = []
    regions: list[str] = []
    for index in range(len(masks)):
        # ImageScope knows holes and no parts: each part is a region of its own.
        for outline in trace_outlines(masks, index):
            number = len(regions) + 1
            regions.append(region(outline.exterior_xy, number))
            regions += [
                region(hole, number + place, NegativeROA=1, InputRegionId=number)
                for place, hole in enumerate(outline.holes_xy, 1)
            ]
        expected.append(masks.full(index))
    with tempfile.TemporaryDirectory() as folder:
        write_xml(Path(folder), layer(*regions))
        nuclei = read_nuclei(Path(folder), masks.frame)
    union = np.zeros((1, *masks.frame.shape), np.bool_)
    drawn = [nuclei.masks.full(index) for index in range(len(nuclei.masks))]
    assert sum(each.sum() for each in drawn) == sum(each.sum() for each in expected)
    assert np.array_equal(np.any([union[0], *drawn], axis=0), np.any([union[0], *expected], axis=0))
    assert not nuclei.dropped


BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><Annotations>&b;</Annotations>'
EXTERNAL = '<!DOCTYPE a [<!ENTITY a SYSTEM "file:///etc/passwd">]><Annotations>&a;</Annotations>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "entities"),
        (EXTERNAL, "entities"),
        ("<Annotations>" + "<a>" * 5000, "nested more than"),
        ("<Annotations><Annotation>", "damaged XML"),
        (f'<Annotations x="{"a" * 2_000_000}"/>', "no element in"),
        ('<?xml version="1.0" encoding="nonsense"?><Annotations/>', "damaged XML"),
    ],
    ids=["bomb", "external", "deep", "cut", "long", "encoding"],
)
def test_broken_and_hostile_xml_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    write_xml(tmp_path).write_text(text)
    source = open_source(tmp_path)
    assert source.images[0].mpp is None
    with pytest.raises(DataError, match=words) as caught:
        read_only_image(source)
    assert "\n" not in str(caught.value)
    assert "a.xml" in str(caught.value)


def test_large_files_and_other_xml_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_xml(tmp_path, mpp="-1")
    (tmp_path / "b.xml").write_text("<other/>")
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    source = open_source(tmp_path)
    assert (len(source.images), source.images[0].mpp) == (1, None)
    monkeypatch.setattr(aperio_xml, "MOST_FILE_BYTES", 5)
    with pytest.raises(DataError, match="above the limit"):
        read_only_image(source)
