from __future__ import annotations

import base64
import io
import json
import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from nucleate.core import ImageScale, Instances, masks_from_label_map
from nucleate.errors import DataError, MissingExtraError
from nucleate.export import write_geojson
from nucleate.inference import ImageArray, InputFailure, Segmentation, SegmentedImage, StoredResult, collect_inputs
from tests.inference.fake_segmenter import InkSegmenter, draw_discs

AS_IT_IS = ImageScale(magnification=1.0, known_by="model")
TWO = draw_discs(60, 90, [(20, 20, 8), (60, 40, 12)])
COLUMNS = ["file", "class", "number", "score", "area_px", "centroid_x", "centroid_y", "x1", "y1", "x2", "y2"]


def segmented(source: object = TWO) -> SegmentedImage:
    (item,) = collect_inputs(source)  # type: ignore[arg-type]
    (found,) = InkSegmenter().segment([item.read()])
    return SegmentedImage(source=item, instances=found, class_names=("nucleus",), scale=AS_IT_IS)


def itself(image: SegmentedImage) -> SegmentedImage:
    return image


def segmentation(*images: SegmentedImage, failures: tuple[InputFailure, ...] = ()) -> Segmentation:
    stored = tuple(StoredResult(source=each.source, nuclei=len(each), load=partial(itself, each)) for each in images)
    return Segmentation(stored=stored, failures=failures)


def blank(**known: object) -> SegmentedImage:
    return segmented(ImageArray(draw_discs(30, 40, []), **known))  # type: ignore[arg-type]


def test_labels_are_int32_and_number_the_table() -> None:
    labels = segmented().labels()
    assert labels.dtype == np.int32
    assert [row.area_px for row in segmented().table] == [np.count_nonzero(labels == n) for n in (1, 2)]


def test_result_of_one_image_has_its_labels_plot_and_picture() -> None:
    image = segmented()
    result = segmentation(image)
    assert result.labels().tolist() == image.labels().tolist()
    assert isinstance(result.plot(), Figure)
    assert result._repr_html_() == image._repr_html_()


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (segmentation(segmented(), segmented()), r"2 images: take one of them, result\[0\]\.labels\(\)"),
        (segmentation(), "no image among the results"),
        (segmentation(failures=(InputFailure(file="a.png", message="a.png: cut short"),)), "a.png: cut short"),
    ],
)
def test_labels_of_other_than_one_image_are_refused(result: Segmentation, message: str) -> None:
    with pytest.raises(DataError, match=message):
        result.labels()


def test_dataframe_has_the_tables_columns_and_values() -> None:
    frame = segmented().to_dataframe()
    assert list(frame.columns) == COLUMNS
    assert frame["area_px"].tolist() == [row.area_px for row in segmented().table]
    assert frame["class"].tolist() == ["nucleus", "nucleus"]


def test_dataframe_with_an_mpp_has_square_micrometres() -> None:
    frame = segmented(ImageArray(TWO, mpp=0.5)).to_dataframe()
    assert frame["area_um2"].tolist() == [area / 4 for area in frame["area_px"].tolist()]


def test_geometry_is_the_outline_in_pixels_without_crs() -> None:
    image = segmented()
    frame = image.to_geodataframe()
    assert frame.crs is None
    assert frame.geometry.area.tolist() == frame["area_px"].tolist()
    assert frame.geometry.bounds.to_numpy().tolist() == image.instances.boxes_xyxy.tolist()
    assert "perimeter_um" not in frame


def test_perimeter_is_a_discs_and_not_that_of_its_stairs() -> None:
    frame = segmented(ImageArray(draw_discs(60, 60, [(30, 30, 20)]), mpp=0.5)).to_geodataframe()
    assert frame["perimeter_um"].tolist() == pytest.approx([2 * np.pi * 20 * 0.5], rel=0.02)
    assert frame["area_um2"].tolist() == pytest.approx([np.pi * 20**2 / 4], rel=0.02)


@pytest.mark.parametrize("mpp", [None, 0.5])
def test_image_without_nuclei_has_frames_with_all_columns(mpp: float | None) -> None:
    assert list(blank(mpp=mpp).to_dataframe().columns) == COLUMNS + ["area_um2"] * (mpp is not None)
    frame = blank(mpp=mpp).to_geodataframe()
    assert len(frame) == 0
    assert list(frame.columns) == [*COLUMNS, *["area_um2", "perimeter_um"] * (mpp is not None), "geometry"]


def test_geojson_is_the_text_of_the_file(tmp_path: Path) -> None:
    image = segmented()
    write_geojson(tmp_path / "a.geojson", image.file, image.instances, image.class_names)
    assert image.to_geojson() == (tmp_path / "a.geojson").read_text(encoding="utf-8")
    assert len(json.loads(image.to_geojson())["features"]) == 2


@pytest.mark.parametrize(("module", "method"), [("pandas", "to_dataframe"), ("geopandas", "to_geodataframe")])
def test_frames_without_their_package_name_the_extra(monkeypatch: pytest.MonkeyPatch, module: str, method: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=rf"{method} needs the extra 'geo': run `pip install '\.\[geo\]'`"):
        getattr(segmented(), method)()


def test_many_nuclei_keep_their_numbers_in_frames() -> None:
    count = 300
    label_map = np.zeros((20, 3 * count), np.int32)
    label_map[5:9, ::3] = np.arange(1, count + 1)
    masks, _ = masks_from_label_map(label_map)
    image = SegmentedImage(
        source=collect_inputs(np.zeros((*label_map.shape, 3), np.uint8))[0],
        instances=Instances.from_masks(masks),
        class_names=("nucleus",),
        scale=AS_IT_IS,
    )
    assert image.to_geodataframe()["number"].tolist() == list(range(1, count + 1))
    assert int(image.labels().max()) == count


def test_plot_shows_itself_in_a_notebook() -> None:
    figure = segmented().plot()
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_notebook_shows_the_overlay_with_count_size_and_scale() -> None:
    html = segmented(ImageArray(TWO, mpp=0.25, name="a & b"))._repr_html_()
    assert "<figcaption>a &amp; b: 2 nuclei, 90 x 60 px, 0.25 \N{MICRO SIGN}m a pixel</figcaption>" in html
    code = re.search(r'src="data:image/jpeg;base64,([^"]+)"', html)
    assert code is not None
    with Image.open(io.BytesIO(base64.b64decode(code[1]))) as picture:
        assert picture.size == (90, 60)


def test_notebook_says_that_the_scale_is_unknown() -> None:
    assert "1 nucleus, 60 x 60 px, scale unknown" in segmented(draw_discs(60, 60, [(30, 30, 9)]))._repr_html_()


def test_picture_of_a_large_image_is_made_smaller() -> None:
    png = segmented(draw_discs(700, 2048, [(300, 300, 20)]))._repr_png_()
    assert png is not None
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.size == (1024, 350)


def test_image_whose_file_is_gone_is_shown_without_a_picture(tmp_path: Path) -> None:
    Image.fromarray(TWO).save(tmp_path / "a.png")
    image = segmented(tmp_path / "a.png")
    (tmp_path / "a.png").unlink()
    assert image._repr_png_() is None
    assert "<img" not in image._repr_html_()
    assert "no such file" in image._repr_html_()


def test_representations_are_one_line() -> None:
    image = segmented(ImageArray(TWO, mpp=0.25, name="a"))
    assert repr(image) == "SegmentedImage('a', 2 nuclei, 90 x 60 px, 0.25 um a pixel)"
    assert repr(segmentation(image)) == "Segmentation(1 images, 2 nuclei, output=None)"
    assert "\n" not in repr(image.source)


def test_images_are_found_by_place_name_and_file(tmp_path: Path) -> None:
    Image.fromarray(TWO).save(tmp_path / "a.png")
    result = segmentation(segmented(tmp_path / "a.png"), blank(name="b"))
    assert [image.name for image in result] == list(result.names) == ["a", "b"]
    assert result["a"].file == result["a.png"].file == result[0].file == result[-2].file
    assert result["b"].name == result[-1].name == "b"
    assert result.nuclei == 2


def test_image_without_nuclei_is_found_and_is_true() -> None:
    assert segmentation(blank(name="b"))["b"]


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match="c: no image of this name among 2: a, b"):
        segmentation(blank(name="a"), blank(name="b"))["c"]


def test_name_of_an_input_that_failed_tells_why() -> None:
    result = segmentation(failures=(InputFailure(file="b.png", message="b.png: damaged"),))
    with pytest.raises(DataError, match="could not be read: b.png: damaged"):
        result["b.png"]
    with pytest.raises(IndexError, match="image 0 of 0; could not be read: b.png: damaged"):
        result[0]


def test_frames_of_many_images_stand_one_below_the_other() -> None:
    known, unknown = segmented(ImageArray(TWO, mpp=0.5, name="a")), segmented(ImageArray(TWO, name="b"))
    result = segmentation(known, blank(name="c"), unknown)
    frame = result.to_dataframe()
    assert frame["file"].tolist() == ["a", "a", "b", "b"]
    assert frame["number"].tolist() == [1, 2, 1, 2]
    assert frame["area_um2"].isna().tolist() == [False, False, True, True]
    outlined = result.to_geodataframe()
    assert outlined["perimeter_um"].isna().tolist() == [False, False, True, True]
    assert outlined.geometry.area.tolist() == frame["area_px"].tolist()


def test_frames_of_no_image_have_the_columns() -> None:
    assert list(segmentation().to_dataframe().columns) == COLUMNS
    assert list(segmentation().to_geodataframe().columns) == [*COLUMNS, "geometry"]


def test_notebook_lists_images_counts_and_failures() -> None:
    failure = InputFailure(file="<x>.png", message="<x>.png: damaged")
    html = segmentation(segmented(ImageArray(TWO, name="a")), blank(name="b"), failures=(failure,))._repr_html_()
    assert "<caption>2 images, 2 nuclei</caption>" in html
    assert "<tr><td>a</td><td>2</td></tr><tr><td>b</td><td>0</td></tr>" in html
    assert "<td>&lt;x&gt;.png</td><td>unreadable: &lt;x&gt;.png: damaged</td>" in html


def test_long_lists_are_cut_with_the_rest_counted() -> None:
    image = segmented()
    html = segmentation(*[image] * 130)._repr_html_()
    assert html.count("<tr>") == 1 + 100 + 1
    assert "<td>30 more</td><td>60</td>" in html
