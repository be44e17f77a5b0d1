from __future__ import annotations

import logging
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

from nucleate.errors import DataError, SlideRegionError
from nucleate.files.limits import ReadLimits
from nucleate.slides import SlideReader, SlideSettings, open_slide
from nucleate.slides.levels import LevelError
from nucleate.slides.openslide_levels import OpenSlideLevels
from tests.slides.slide_files import TILE_PX, draw_slide, halved, spoil_tile, write_ome_pyramid, write_pyramid

SLIDE = draw_slide()
HEIGHT_PX, WIDTH_PX = SLIDE.shape[:2]
# Deflate's and the reader's pixels are the same; averages differ by their rounding.
ROUNDING = 1


@pytest.fixture(scope="module", params=["tiff", "ome-tiff", "planar", "strips", "raw strips", "aperio"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same slide in six formats; Aperio's goes through OpenSlide."""
    folder = tmp_path_factory.mktemp("slide")
    match request.param:
        case "tiff":
            return write_pyramid(folder / "slide.tif", SLIDE)
        case "ome-tiff":
            return write_ome_pyramid(folder / "slide.ome.tif", SLIDE)
        case "planar":
            planar = np.moveaxis(SLIDE, -1, 0)
            options: dict[str, Any] = {"planarconfig": "separate", "tile": (64, 64), "compression": "zlib"}
            tifffile.imwrite(folder / "slide.tif", planar, photometric="rgb", metadata=None, **options)
        case "strips":
            tifffile.imwrite(folder / "slide.tif", SLIDE, photometric="rgb", rowsperstrip=7, compression="zlib")
        case "raw strips":
            tifffile.imwrite(folder / "slide.tif", SLIDE, photometric="rgb")
        case "aperio":
            return write_pyramid(folder / "slide.svs", SLIDE, description="Aperio Image Library v1\n|AppMag = 20")
    return folder / "slide.tif"


def region(image_rgb: NDArray[np.uint8], x1: int, y1: int, x2: int, y2: int) -> NDArray[np.uint8]:
    return image_rgb[y1:y2, x1:x2]


def largest_difference(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> int:
    return int(np.abs(first.astype(int) - second.astype(int)).max())


def test_a_region_of_level_0_is_its_pixels(path: Path) -> None:
    with open_slide(path) as slide:
        assert np.array_equal(slide.read((61, 50, 301, 200)), region(SLIDE, 61, 50, 301, 200))


def test_the_whole_slide_is_its_pixels(path: Path) -> None:
    with open_slide(path) as slide:
        assert np.array_equal(slide.read((0, 0, WIDTH_PX, HEIGHT_PX)), SLIDE)


def test_beyond_the_slide_is_white(path: Path) -> None:
    with open_slide(path) as slide:
        corner = slide.read((WIDTH_PX - 10, HEIGHT_PX - 20, WIDTH_PX + 30, HEIGHT_PX + 40))
    assert np.array_equal(corner[:20, :10], SLIDE[-20:, -10:])
    assert (corner[20:] == 255).all()
    assert (corner[:, 10:] == 255).all()


def test_a_region_far_from_the_slide_is_white(path: Path) -> None:
    with open_slide(path) as slide:
        assert (slide.read((5000, 5000, 5040, 5020), downsample=2) == 255).all()


def test_half_the_scale_is_the_mean_of_four_pixels(path: Path) -> None:
    with open_slide(path) as slide:
        small = slide.read((40, 60, 240, 260), downsample=2)
    assert small.shape == (100, 100, 3)
    assert largest_difference(small, halved(region(SLIDE, 40, 60, 240, 260), 2)) <= ROUNDING


def test_regions_between_pixels_of_a_coarse_level_are_placed_by_fractions(path: Path) -> None:
    """A window from pixel 41 lies on half a pixel of the level of half the size."""
    with open_slide(path) as slide:
        odd = slide.read((41, 61, 241, 261), downsample=2).astype(float)
        even = slide.read((40, 60, 242, 262), downsample=2).astype(float)
    means = (even[:-1, :-1] + even[1:, :-1] + even[:-1, 1:] + even[1:, 1:]) / 4
    exact = halved(region(SLIDE, 41, 61, 241, 261), 2).astype(float)
    assert min(np.abs(odd - exact).mean(), np.abs(odd - means).mean()) < 0.8


def test_blocks_leave_no_seam(path: Path) -> None:
    window = (3, 5, 393, 290)
    with open_slide(path) as slide, open_slide(path, settings=SlideSettings(most_source_pixels=3000)) as careful:
        assert len(slide.info.levels) in (1, 2, 3)
        expected, blocks = slide.read(window, downsample=3.1), careful.read(window, downsample=3.1)
    assert largest_difference(blocks, expected) <= ROUNDING


def test_thumbnail_holds_the_whole_slide(path: Path) -> None:
    with open_slide(path) as slide:
        thumbnail = slide.thumbnail(100)
    assert thumbnail.shape == (75, 100, 3)
    assert largest_difference(thumbnail, halved(SLIDE, 4)) <= ROUNDING + 1


def test_thumbnail_of_a_small_slide_is_not_enlarged(path: Path) -> None:
    with open_slide(path) as slide:
        assert slide.thumbnail(4000).shape == SLIDE.shape


def test_a_pickled_reader_opens_the_slide_again(path: Path) -> None:
    with open_slide(path, settings=SlideSettings(mpp=0.3)) as slide:
        copied: SlideReader = pickle.loads(pickle.dumps(slide))
        with copied:
            assert copied.info == slide.info
            assert np.array_equal(copied.read((9, 9, 80, 80)), slide.read((9, 9, 80, 80)))


def test_the_coarsest_level_that_is_fine_enough_is_read(tmp_path: Path) -> None:
    """Each level has its own grey, so a pixel says where it came from."""
    with tifffile.TiffWriter(tmp_path / "grey.tif") as file:
        for level, side_px in enumerate((512, 256, 128)):
            pixels = np.full((side_px, side_px, 3), 50 * (level + 1), np.uint8)
            file.write(pixels, tile=(64, 64), photometric="rgb", subfiletype=int(level > 0), metadata=None)
    with open_slide(tmp_path / "grey.tif") as slide:
        assert [level.downsample for level in slide.info.levels] == [1, 2, 4]
        taken = {target: int(slide.read((0, 0, 256, 256), downsample=target).mean()) for target in (0.5, 1, 1.9, 2, 9)}
    assert taken == {0.5: 50, 1: 50, 1.9: 50, 2: 100, 9: 150}


def test_enlarged_regions_have_the_scale_that_was_asked_for(path: Path) -> None:
    with open_slide(path) as slide:
        assert slide.read((10, 10, 60, 50), downsample=0.5).shape == (80, 100, 3)


def test_regions_have_the_um_per_pixel_that_was_asked_for(tmp_path: Path) -> None:
    with open_slide(write_pyramid(tmp_path / "a.tif", SLIDE)) as slide:
        assert slide.info.mpp == pytest.approx(0.5)
        assert slide.read((0, 0, 300, 200), mpp=1.25).shape == (80, 120, 3)


def test_tiles_that_the_file_leaves_out_are_white(tmp_path: Path) -> None:
    def tiles() -> Any:
        for index in range(4):
            yield None if index == 1 else np.full((64, 64, 3), 90, np.uint8)

    tifffile.imwrite(
        tmp_path / "a.tif", tiles(), shape=(128, 128, 3), dtype=np.uint8, tile=(64, 64), photometric="rgb",
        compression="zlib",
    )  # fmt: skip
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages.first.databytecounts[1] == 0
    with open_slide(tmp_path / "a.tif") as slide:
        read = slide.read((0, 0, 128, 128))
    assert (read[:64, 64:] == 255).all()
    assert (read[64:] == 90).all()


def test_transparency_is_shown_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((128, 128, 4), np.uint8)
    rgba[:, 64:, 3] = 255
    tifffile.imwrite(tmp_path / "a.tif", rgba, tile=(64, 64), photometric="rgb", extrasamples=["unassalpha"])
    with open_slide(tmp_path / "a.tif") as slide:
        read = slide.read((0, 0, 128, 128))
    assert (read[:, :64] == 255).all()
    assert (read[:, 64:] == 0).all()


def test_an_unreadable_tile_is_told_with_its_place_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a.tif", SLIDE)
    spoil_tile(path, 8)
    with open_slide(path) as slide:
        with pytest.raises(
            SlideRegionError, match=r"a\.tif: region x 64 to 128, y 64 to 128: can't be decoded"
        ) as told:
            slide.read((64, 64, 128, 128))
        assert told.value.window_xyxy == (64, 64, 128, 128)
        assert np.array_equal(slide.read((0, 0, 64, 64)), SLIDE[:64, :64])


def test_openslide_goes_on_after_an_unreadable_tile(tmp_path: Path) -> None:
    """OpenSlide refuses every region after one error."""
    path = write_pyramid(tmp_path / "a.tif", SLIDE)
    spoil_tile(path, 8)
    source = OpenSlideLevels(path)
    with pytest.raises(LevelError):
        source.read_level(0, (64, 64, 128, 128))
    assert np.array_equal(source.read_level(0, (0, 0, 64, 64)).rgb, SLIDE[:64, :64])
    source.close()


@pytest.mark.parametrize("name", ["a.tif", "a.svs", "a.ome.tif"])
def test_half_a_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    if name == "a.ome.tif":
        write_ome_pyramid(tmp_path / name, SLIDE)
    else:
        description = "Aperio Image Library v1\n|AppMag = 20" if name == "a.svs" else None
        write_pyramid(tmp_path / name, SLIDE, levels=1, description=description)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"^[^\n]*{name}[^\n]*$"):
        open_slide(tmp_path / name)


def test_a_copy_that_stopped_is_told_as_cut_off(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a.tif", SLIDE, levels=1)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="cut off: 1 of 35 tiles"):
        open_slide(path)


@pytest.mark.parametrize("content", [b"", b"no slide at all", b"II*\0", b"II*\0\x08\0\0\0\xff\xff"])
@pytest.mark.parametrize("name", ["a.svs", "a.tif", "a.ndpi", "a.czi"])
def test_a_file_that_is_no_slide_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"^[^\n]*{name}: [^\n]+$"):
        open_slide(tmp_path / name)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.svs: no such file"):
        open_slide(tmp_path / "a.svs")


def test_16_bit_slides_are_refused_by_name(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", SLIDE.astype(np.uint16) * 257, tile=(64, 64), photometric="rgb")
    with pytest.raises(DataError, match="a slide of uint16 values"):
        open_slide(tmp_path / "a.tif")


def test_fluorescence_is_refused(tmp_path: Path) -> None:
    stack = np.zeros((5, 80, 90), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, photometric="minisblack", metadata={"axes": "CYX"})
    with pytest.raises(DataError, match="5 pages or channels"):
        open_slide(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("compression", ["jpeg", "tiff_lzw"])
def test_a_compression_without_its_package_names_the_extra(tmp_path: Path, compression: str) -> None:
    Image.fromarray(SLIDE).save(tmp_path / "a.tif", compression=compression)
    program = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from nucleate.errors import MissingExtraError\n"
        "from nucleate.slides import open_slide\n"
        "try: open_slide('a.tif')\n"
        "except MissingExtraError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "a.tif: this TIFF's compression needs the extra 'slides'" in done.stdout


@pytest.mark.parametrize("compression", ["jpeg", "tiff_lzw"])
def test_compressions_of_imagecodecs_are_read(tmp_path: Path, compression: str) -> None:
    pytest.importorskip("imagecodecs", reason="imagecodecs is in the extra `slides`")
    Image.fromarray(SLIDE).save(tmp_path / "a.tif", compression=compression)
    with open_slide(tmp_path / "a.tif") as slide, Image.open(tmp_path / "a.tif") as expected:
        assert largest_difference(slide.read((0, 0, WIDTH_PX, HEIGHT_PX)), np.asarray(expected)) <= 4


def test_openslide_reads_tiles_of_jpeg_where_imagecodecs_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="imagecodecs is in the extra `slides`")
    write_pyramid(tmp_path / "a.tif", SLIDE, levels=1, compression="jpeg")
    program = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from nucleate.slides import open_slide\n"
        "with open_slide('a.tif') as slide: print(slide.info.vendor, slide.read((0, 0, 400, 300)).mean())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    vendor, mean = done.stdout.split()
    assert vendor == "generic-tiff"
    assert float(mean) == pytest.approx(SLIDE.mean(), abs=1)


@pytest.mark.parametrize("window", [(5, 5, 5, 9), (9, 9, 4, 12)])
def test_an_empty_region_is_refused(path: Path, window: tuple[int, int, int, int]) -> None:
    with open_slide(path) as slide, pytest.raises(DataError, match="holds no pixel"):
        slide.read(window)


def test_a_result_above_the_limit_is_refused(path: Path) -> None:
    settings = SlideSettings(limits=ReadLimits(max_pixels=1000))
    with open_slide(path, settings=settings) as slide, pytest.raises(DataError, match="above the limit of 1000"):
        slide.read((0, 0, 40, 40))


def test_a_colour_profile_is_applied_on_request(tmp_path: Path) -> None:
    """The profile calls red what sRGB calls blue."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    turned = srgb.replace(b"rXYZ", b"qqqq", 1).replace(b"bXYZ", b"rXYZ", 1).replace(b"qqqq", b"bXYZ", 1)
    path = write_pyramid(tmp_path / "a.tif", SLIDE, levels=1, iccprofile=turned)
    with open_slide(path) as stored, open_slide(path, settings=SlideSettings(apply_colour_profile=True)) as shown:
        as_stored, as_shown = stored.read((0, 0, 90, 90)), shown.read((0, 0, 90, 90))
    assert np.array_equal(as_stored, SLIDE[:90, :90])
    assert largest_difference(as_shown, as_stored[:, :, ::-1]) <= 2


def test_a_profile_of_other_than_rgb_is_refused(tmp_path: Path) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    path = write_pyramid(tmp_path / "a.tif", SLIDE, levels=1, iccprofile=lab)
    with pytest.raises(DataError, match="colour profile can't be applied"):
        open_slide(path, settings=SlideSettings(apply_colour_profile=True))


def test_a_missing_colour_profile_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_pyramid(tmp_path / "a.tif", SLIDE, levels=1)
    with caplog.at_level(logging.WARNING), open_slide(path, settings=SlideSettings(apply_colour_profile=True)) as slide:
        assert np.array_equal(slide.read((0, 0, 9, 9)), SLIDE[:9, :9])
    assert "holds no colour profile" in caplog.text


def test_a_picture_is_read_as_a_slide(tmp_path: Path) -> None:
    Image.fromarray(SLIDE).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        assert slide.info.vendor == "picture"
        assert np.array_equal(slide.read((7, 8, 90, 80)), SLIDE[8:80, 7:90])


def test_only_the_tiles_of_a_region_are_decoded(tmp_path: Path) -> None:
    """All other tiles are spoilt, and it makes no difference."""
    path = write_pyramid(tmp_path / "a.tif", SLIDE, levels=1)
    for index in range(35):
        if index != 16:
            spoil_tile(path, index)
    left, top = 2 * TILE_PX, 2 * TILE_PX
    with open_slide(path) as slide:
        assert np.array_equal(slide.read((left, top, left + 64, top + 64)), SLIDE[top : top + 64, left : left + 64])


@pytest.mark.shared_data
def test_levels_of_a_real_slide_lie_over_each_other(shared_data: Path) -> None:
    """Half a level-0 pixel of shift would be seen: the neighbours match worse than the place itself."""
    with open_slide(shared_data / "wsi" / "TCGA-CR-7395-01A-01-TS1.svs") as slide:
        coarse = slide.read((3001, 2401, 3801, 3201), downsample=2).astype(float)
        fine = halved(slide.read((3001, 2401, 3801, 3201)), 2).astype(float)
    middle = coarse[8:-8, 8:-8]
    differences = {
        (dx, dy): float(np.abs(middle - fine[8 + dy : 392 + dy, 8 + dx : 392 + dx]).mean())
        for dx in (-1, 0, 1)
        for dy in (-1, 0, 1)
    }
    assert min(differences, key=lambda shift: differences[shift]) == (0, 0)


@pytest.mark.shared_data
def test_a_real_slide_that_was_cut_off_is_refused_by_name(shared_data: Path, tmp_path: Path) -> None:
    copied = tmp_path / "half.svs"
    shutil.copyfile(shared_data / "wsi" / "CMU-1-Small-Region.svs", copied)
    with copied.open("r+b") as file:
        file.truncate(900_000)
    with pytest.raises(DataError, match=r"half\.svs"):
        open_slide(copied)
