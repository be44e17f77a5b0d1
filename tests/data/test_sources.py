from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from nucleate.core import Frame
from nucleate.data.sources import open_source, source_digest
from nucleate.data.sources.nuinsseg import organ_name
from nucleate.errors import DataError
from tests.core.strategies import full
from tests.data.coco_documents import annotation, document, image_entry, write_document
from tests.synthetic import write_label_folder, write_nuinsseg

FRAME = Frame(height_px=10, width_px=12)


def test_nuinsseg_is_found_by_its_layout_with_species_and_organ(tmp_path: Path) -> None:
    drawings = write_nuinsseg(tmp_path, organs=("human salivory gland", "mouse fat (white and brown)_subscapula"))
    source = open_source(tmp_path)
    assert (source.format, source.name) == ("nuinsseg", "nuinsseg")
    assert [image.key for image in source.images] == sorted(drawings)
    assert {(image.organ, image.species) for image in source.images} == {
        ("human salivary gland", "human"),
        ("mouse subscapular fat", "mouse"),
    }


@pytest.mark.parametrize(
    ("folder", "organ"),
    [
        ("human salivory gland", "human salivary gland"),
        ("human tonsile", "human tonsil"),
        ("mouse muscle_tibia", "mouse tibial muscle"),
        ("human liver", "human liver"),
    ],
)
def test_organ_names_are_spelled_right(folder: str, organ: str) -> None:
    assert organ_name(folder) == organ


def test_a_single_organ_folder_keeps_its_name_in_the_keys(tmp_path: Path) -> None:
    write_nuinsseg(tmp_path, organs=("human liver",), images=1)
    (image,) = open_source(tmp_path / "human liver").images
    assert image.key == "human liver/tissue images/human_liver_01.png"


def test_other_folders_of_the_full_release_are_left_alone(tmp_path: Path) -> None:
    write_nuinsseg(tmp_path, organs=("human liver",), images=1)
    for name in ("label masks", "Imagej_zips", "vague areas/mask binary", "distance maps", "overlay"):
        (tmp_path / "human liver" / name).mkdir(parents=True)
        (tmp_path / "human liver" / name / "human_liver_01.png").write_bytes(b"not looked at")
    (tmp_path / "readme").mkdir()
    source = open_source(tmp_path)
    assert len(source.images) == 1
    assert not source.left_out
    assert not source.notes


def test_the_first_label_maps_stand_in_with_a_note(tmp_path: Path) -> None:
    write_nuinsseg(tmp_path, organs=("human liver",), images=1)
    (tmp_path / "human liver" / "label masks modify").rename(tmp_path / "human liver" / "label masks")
    source = open_source(tmp_path)
    assert len(source.images) == 1
    assert "label masks" in source.notes[0]


def test_images_and_label_maps_without_partner_are_named(tmp_path: Path) -> None:
    write_nuinsseg(tmp_path, organs=("human liver",))
    (tmp_path / "human liver" / "tissue images" / "human_liver_01.png").unlink()
    (tmp_path / "human liver" / "label masks modify" / "human_liver_02.tif").unlink()
    (tmp_path / "human liver" / "tissue images" / "._human_liver_09.png").write_bytes(b"macOS leaves these")
    source = open_source(tmp_path)
    assert [(each.reason, each.item.rsplit("/", 1)[1]) for each in source.left_out] == [
        ("image without a label image", "human_liver_02.png"),
        ("label image without an image", "human_liver_01.tif"),
    ]


def test_gaps_in_the_ids_are_kept_as_they_are(tmp_path: Path) -> None:
    write_nuinsseg(tmp_path, organs=("human liver",), images=1)
    label_map = np.zeros((128, 160), np.uint16)
    label_map[3:5, 3:5], label_map[9, 9] = 7, 40_000
    tifffile.imwrite(tmp_path / "human liver" / "label masks modify" / "human_liver_01.tif", label_map)
    source = open_source(tmp_path)
    nuclei = source.read_nuclei(source.images[0], Frame(height_px=128, width_px=160))
    assert nuclei.label_ids.tolist() == [7, 40_000]
    assert nuclei.masks.areas_px().tolist() == [4, 1]


def test_images_and_labels_folders_are_found(tmp_path: Path) -> None:
    drawings = write_label_folder(tmp_path / "tnbc")
    source = open_source(tmp_path / "tnbc")
    assert (source.format, source.name) == ("label-images", "tnbc")
    for image in source.images:
        drawing = drawings[Path(image.key).stem]
        height_px, width_px = drawing.label_map.shape
        nuclei = source.read_nuclei(image, Frame(height_px=height_px, width_px=width_px))
        assert np.array_equal(full(nuclei.masks), drawing.label_map[None] == nuclei.label_ids[:, None, None])


def test_labels_may_lie_elsewhere_and_in_subfolders(tmp_path: Path) -> None:
    write_label_folder(tmp_path / "a", count=2)
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        (tmp_path / "a" / kind).rename(tmp_path / kind / "patient 1")
    source = open_source(tmp_path / "images", labels=tmp_path / "labels")
    assert [image.key for image in source.images] == ["patient 1/drawing_00.png", "patient 1/drawing_01.png"]


def test_labels_inside_the_images_folder_are_no_images(tmp_path: Path) -> None:
    write_label_folder(tmp_path, count=1)
    (tmp_path / "labels").rename(tmp_path / "images" / "labels")
    source = open_source(tmp_path / "images", labels=tmp_path / "images" / "labels")
    assert [image.key for image in source.images] == ["drawing_00.png"]
    assert source.left_out == ()


def test_pairs_beside_each_other_are_told_apart_by_their_channels(tmp_path: Path) -> None:
    write_label_folder(tmp_path, count=2)
    for file in [*(tmp_path / "images").iterdir(), *(tmp_path / "labels").iterdir()]:
        file.rename(tmp_path / file.name)
    for name in ("images", "labels"):
        (tmp_path / name).rmdir()
    (tmp_path / "drawing_01.tif").unlink()
    source = open_source(tmp_path)
    assert [(image.path.suffix, str(image.annotation)[-4:]) for image in source.images] == [(".png", ".tif")]
    assert [each.reason for each in source.left_out] == ["image without a label image"]


@pytest.mark.parametrize("layout", ["folders", "pairs"])
@pytest.mark.parametrize("suffix", [".npy", ".ome.tif", ".tif", ".png"])
def test_label_images_may_be_arrays_and_ome_tiffs(tmp_path: Path, layout: str, suffix: str) -> None:
    drawings = write_label_folder(tmp_path, count=2)
    for stem, drawing in drawings.items():
        (tmp_path / "labels" / f"{stem}.tif").unlink()
        target = tmp_path / "labels" / f"{stem}{suffix}"
        if suffix == ".npy":
            np.save(target, drawing.label_map)
        elif suffix == ".png":
            Image.fromarray(drawing.label_map.astype(np.uint8)).save(target)
        else:
            tifffile.imwrite(target, drawing.label_map, ome=suffix == ".ome.tif")
        if layout == "pairs" and suffix != ".png":
            target.rename(tmp_path / target.name)
            (tmp_path / "images" / f"{stem}.png").rename(tmp_path / f"{stem}.png")
    if layout == "pairs" and suffix != ".png":
        (tmp_path / "images").rmdir()
        (tmp_path / "labels").rmdir()
    source = open_source(tmp_path)
    assert source.format == "label-images"
    for image in source.images:
        drawing = drawings[Path(image.key).stem]
        nuclei = source.read_nuclei(image, Frame(height_px=128, width_px=160))
        assert np.array_equal(full(nuclei.masks), drawing.label_map[None] == nuclei.label_ids[:, None, None])


def test_two_colour_images_of_one_stem_are_refused(tmp_path: Path) -> None:
    for suffix in ("png", "bmp"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / f"a.{suffix}")
    with pytest.raises(DataError, match="one colour image and one label image"):
        open_source(tmp_path)


def test_two_images_of_one_stem_are_refused(tmp_path: Path) -> None:
    write_label_folder(tmp_path, count=1)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "images" / "drawing_00.bmp")
    with pytest.raises(DataError, match="same stem"):
        open_source(tmp_path)


def test_labels_that_fit_no_image_are_refused(tmp_path: Path) -> None:
    write_label_folder(tmp_path, count=1)
    (tmp_path / "labels" / "drawing_00.tif").rename(tmp_path / "labels" / "other.tif")
    with pytest.raises(DataError, match="1 images, 1 label images"):
        open_source(tmp_path)


def test_a_missing_labels_folder_is_refused(tmp_path: Path) -> None:
    write_label_folder(tmp_path, count=1)
    with pytest.raises(DataError, match="--labels"):
        open_source(tmp_path, labels=tmp_path / "gone")


def test_a_label_image_of_another_size_is_refused(tmp_path: Path) -> None:
    write_label_folder(tmp_path, count=1)
    source = open_source(tmp_path)
    with pytest.raises(DataError, match="160 x 128 pixels, its image 12 x 10"):
        source.read_nuclei(source.images[0], FRAME)


def test_coco_is_found_and_its_single_category_is_the_nucleus(tmp_path: Path) -> None:
    write_document(tmp_path)
    source = open_source(tmp_path)
    assert (source.format, source.class_names) == ("coco", ("nucleus",))
    nuclei = source.read_nuclei(source.images[0], FRAME)
    assert nuclei.masks.areas_px().tolist() == [9]


def test_several_categories_of_a_coco_file_are_kept(tmp_path: Path) -> None:
    categories = [{"id": number, "name": name} for number, name in ((5, "tumour"), (2, "lymphocyte"), (9, "unused"))]
    entries = [annotation(category_id=5), annotation(id=2, category_id=2)]
    write_document(tmp_path, document(categories=categories, annotations=entries))
    source = open_source(tmp_path)
    assert source.class_names == ("lymphocyte", "tumour")
    assert source.read_nuclei(source.images[0], FRAME).class_indices.tolist() == [1, 0]


def test_crowds_are_kept_out_and_named(tmp_path: Path) -> None:
    write_document(tmp_path, document(annotations=[annotation(), annotation(id=2, iscrowd=1)]))
    source = open_source(tmp_path)
    nuclei = source.read_nuclei(source.images[0], FRAME)
    assert len(nuclei.masks) == 1
    assert [(each.reason, each.item) for each in nuclei.dropped] == [("crowd region", "a.png: annotation 2")]


def test_unsound_entries_and_missing_images_of_a_coco_file_are_named(tmp_path: Path) -> None:
    images = [image_entry(), image_entry(id=2, file_name="gone.png")]
    write_document(tmp_path, document(images=images, annotations=[annotation(segmentation=[])]))
    source = open_source(tmp_path)
    assert [each.reason for each in source.left_out] == ["unsound COCO entry", "image file missing"]


def test_coco_images_may_lie_elsewhere(tmp_path: Path) -> None:
    path = write_document(tmp_path / "a")
    (tmp_path / "a" / "images").rename(tmp_path / "pixels")
    with pytest.raises(DataError, match="--images"):
        open_source(path)
    assert len(open_source(path, images=tmp_path / "pixels").images) == 1
    with pytest.raises(DataError, match="--images"):
        open_source(path, images=tmp_path / "gone")


def test_a_coco_image_of_another_size_is_refused(tmp_path: Path) -> None:
    write_document(tmp_path)
    source = open_source(tmp_path)
    with pytest.raises(DataError, match="its record says 12 x 10"):
        source.read_nuclei(source.images[0], Frame(height_px=3, width_px=3))


def test_nothing_that_fits_is_an_error_that_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"not": "coco"}))
    with pytest.raises(DataError, match=r"tissue images.*labels.*COCO"):
        open_source(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        open_source(tmp_path / "gone")


def test_several_formats_at_once_need_a_choice(tmp_path: Path) -> None:
    write_label_folder(tmp_path, count=1)
    write_document(tmp_path)
    with pytest.raises(DataError, match="--format"):
        open_source(tmp_path)
    assert open_source(tmp_path, source_format="coco").format == "coco"
    write_document(tmp_path, name="second.json")
    with pytest.raises(DataError, match="2 COCO JSON files"):
        open_source(tmp_path, source_format="coco")


def test_a_chosen_format_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no organ folder"):
        open_source(tmp_path, source_format="nuinsseg")


def test_the_digest_follows_names_and_sizes(tmp_path: Path) -> None:
    write_label_folder(tmp_path, count=2)
    first = source_digest(open_source(tmp_path))
    assert source_digest(open_source(tmp_path)) == first
    (tmp_path / "labels" / "drawing_01.tif").unlink()
    assert source_digest(open_source(tmp_path)) != first
