"""The model in the package on slides: tiles give what one large tile gives, and leave no straight cuts."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from nucleate.api.loading import LoadedModel, load_model
from nucleate.api.one_slide import run_slide
from nucleate.api.segment import SegmentSettings, segment, slide_request
from nucleate.api.slides import WholeSlideSettings
from nucleate.core import Frame, NucleiColumns
from nucleate.core.geometry import mask_geometry
from nucleate.export import read_nuclei
from nucleate.inference.segmenter import OutlineSegmenter
from nucleate.inference.tiling import TilingSettings
from nucleate.inference.whole_slide import plan_slide, slide_magnification
from nucleate.models.star_convex.onnx_engine import EngineSettings
from nucleate.slides import Region, find_tissue, open_slide, tissue_region
from tests.models import golden
from tests.slides.slide_files import draw_slide, write_pyramid
from tests.synthetic import draw_he

Outlines = NDArray[np.object_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A part of a slide that is segmented both ways.

    Attributes:
        slide: the file.
        side_px: of the square at the slide's upper left corner.
        tile_px: of the tiles, at the model's scale.
        margin_px: strip along the square's far sides that is not compared.
    """

    slide: Path
    side_px: int
    tile_px: int
    margin_px: int


def model_with(tile_px: int) -> LoadedModel:
    model = load_model(engine=EngineSettings(precision="fp32", threads=1))
    return replace(model, card=replace(model.card, tile_px=tile_px))


def in_tiles(scene: Scene, folder: Path) -> NucleiColumns:
    model = model_with(scene.tile_px)
    corner = shapely.box(0, 0, scene.side_px, scene.side_px)
    request = slide_request(model, SegmentSettings(), WholeSlideSettings())
    request = replace(request, roi=(Region(name="corner", geometry=corner),))
    result = run_slide(model, scene.slide, "slide", folder, request)
    return NucleiColumns.concatenate(list(read_nuclei(result.folder / "nuclei.parquet")))


def in_one_tile(scene: Scene) -> Outlines:
    model = model_with(scene.tile_px)
    assert isinstance(model.segmenter, OutlineSegmenter)
    with open_slide(scene.slide) as slide:
        assert slide.info.mpp is not None
        assert model.card.working_mpp is not None
        factor = slide_magnification(slide.info.mpp / model.card.working_mpp)
        pixels = slide.read((0, 0, scene.side_px, scene.side_px))
    side_px = round(scene.side_px * factor)
    magnified = np.asarray(cv2.resize(pixels, (side_px, side_px), interpolation=cv2.INTER_CUBIC), np.uint8)
    frame = Frame(height_px=scene.side_px, width_px=scene.side_px)
    (found,) = model.segmenter.segment_into([magnified], [frame])
    found = found.above(model.card.score_threshold)
    return np.array([mask_geometry(found.masks, index) for index in range(len(found))], np.object_)


def matched(first: Outlines, second: Outlines) -> int:
    """Return the number of pairs with an IoU above one half: at most one each."""
    one, other = shapely.STRtree(second).query(first, predicate="intersects")
    shared = shapely.area(shapely.intersection(first[one], second[other]))
    union = shapely.area(first[one]) + shapely.area(second[other]) - shared
    return int(np.count_nonzero(shared > 0.5 * union))


def vertical_edges_px(outlines: Outlines) -> dict[int, float]:
    """Return the length of all outlines' vertical edges, by x."""
    lengths: dict[int, float] = {}
    for outline in outlines:
        for ring in [part.exterior for part in shapely.get_parts(outline)]:
            points = shapely.get_coordinates(ring)
            steps = np.diff(points, axis=0)
            for (x, _), (dx, dy) in zip(points[:-1].tolist(), steps.tolist(), strict=True):
                if dx == 0:
                    lengths[int(x)] = lengths.get(int(x), 0.0) + abs(dy)
    return lengths


def check_seamless(scene: Scene, folder: Path) -> None:
    tiled = in_tiles(scene, folder)
    # At the square's far sides the one tile ends, and the slide goes on; off the tissue the slide isn't looked at.
    side_px = scene.side_px - scene.margin_px
    with open_slide(scene.slide) as slide:
        tissue = tissue_region(find_tissue(slide))
    assert tissue is not None
    inner = tissue.geometry.buffer(5).intersection(shapely.box(0, 0, side_px, side_px))
    outlines, whole = tiled.outlines(), in_one_tile(scene)
    outlines = outlines[shapely.contains(inner, outlines)]
    whole = whole[shapely.contains(inner, whole)]
    assert len(whole) > 50
    f1 = 2 * matched(outlines, whole) / (len(outlines) + len(whole))
    assert f1 > 0.99
    assert abs(len(outlines) - len(whole)) <= max(1, 0.005 * len(whole))
    with open_slide(scene.slide) as slide:
        mpp = slide.info.mpp
        plan = plan_slide(
            slide.info.frame,
            TilingSettings(tile_px=scene.tile_px, overlap_px=256),
            magnification=slide_magnification((mpp or 0) / 0.25),
            holds_tissue=lambda windows: np.ones(len(windows), np.bool_),
        )
    tiles = [tile for block in plan.blocks for tile in block.tiles]
    lengths = vertical_edges_px(outlines)
    sides = [x for tile in tiles for x in (*tile.window_xyxy[::2], *tile.owned_xyxy[::2])]
    places = {round(x) for x in sides if np.isfinite(x)}
    seams = [x for x in places if 60 < x < scene.side_px - 60]
    assert seams
    usual = np.mean([lengths.get(x, 0.0) for x in range(20, scene.side_px - 60)])
    spread = np.std([lengths.get(x, 0.0) for x in range(20, scene.side_px - 60)])
    assert max(lengths.get(x, 0.0) for x in seams) < usual + 4 * spread


def test_drawn_slide_in_tiles_equals_one_tile(tmp_path: Path) -> None:
    drawn = draw_he(seed=3, height_px=700, width_px=700, nuclei=260, diameter_px=(16.0, 26.0)).image_rgb
    slide = write_pyramid(tmp_path / "drawn.tif", drawn, resolution=(40_000, 40_000))
    check_seamless(Scene(slide=slide, side_px=608, tile_px=320, margin_px=96), tmp_path / "out")


def test_a_mask_rcnn_segments_slides_once_its_tile_size_is_known(tmp_path: Path) -> None:
    slide = write_pyramid(tmp_path / "drawn.tif", draw_slide(300, 200))
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.yaml", "model_final.pth"):
        shutil.copy(golden.FOLDER / "caffe" / name, folder / name)
    whole, settings = WholeSlideSettings(as_="slide"), SegmentSettings(score=0.0, overlap_px=48)
    refused = segment(slide, output=tmp_path / "none", model=folder, settings=settings, slides=whole)
    assert "write nucleate.yaml beside its weights" in str(refused.failures[0])
    (folder / "nucleate.yaml").write_text("name: mine\nclass_names: [a, b]\ntile_px: 128\n")
    (result,) = segment(slide, output=tmp_path / "out", model=folder, settings=settings, slides=whole).slides
    assert result.state == "done"
    assert result.nuclei is not None
    assert result.nuclei > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.shared_data
def test_sample_slide_in_tiles_equals_one_tile_of_3000_px(tmp_path: Path, shared_data: Path) -> None:
    slide = shared_data / "wsi" / "CMU-1-Small-Region.svs"
    check_seamless(Scene(slide=slide, side_px=1504, tile_px=1024, margin_px=128), tmp_path / "out")
