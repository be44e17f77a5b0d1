from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import roifile
import tifffile
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pycocotools.coco import COCO

from nucleate.api.prepare import PrepareSettings, prepare
from nucleate.core import Masks, label_map_from_masks, masks_from_label_map, trace_outlines
from nucleate.core.stain import StainNormalisation
from nucleate.data import CocoDataset, read_dataset
from nucleate.data.report import PrepareReport
from nucleate.errors import ConfigError, DataError, ResultsError
from nucleate.files import read_label_map, read_rgb
from tests.data.coco_documents import annotation, document, image_entry, write_document
from tests.synthetic import read_json, write_label_folder, write_nuinsseg

LIVER, FAT = "human liver", "mouse fat (white and brown)_subscapula"


def label_maps(data: CocoDataset) -> dict[str, NDArray[np.int64]]:
    """Paint every image's decoded annotations with their label ids."""
    maps = {}
    for record in data.records:
        found = data.annotations(record)
        painted = label_map_from_masks(found.instances.masks)
        maps[record.file_name] = np.concatenate([[0], found.label_ids])[painted]
    return maps


def audit(output: Path) -> dict[str, Any]:
    return read_json(output / "audit.json")


@pytest.fixture
def nuinsseg(tmp_path: Path) -> Path:
    write_nuinsseg(tmp_path / "nuinsseg")
    return tmp_path / "nuinsseg"


@pytest.fixture
def tnbc(tmp_path: Path) -> Path:
    write_label_folder(tmp_path / "tnbc")
    return tmp_path / "tnbc"


@pytest.mark.parametrize("masks", ["auto", "rle"])
def test_every_annotation_decodes_to_the_label_image_pixel_for_pixel(tmp_path: Path, masks: Any) -> None:
    drawings = write_nuinsseg(tmp_path / "n", images=3)
    report = prepare([tmp_path / "n"], output=tmp_path / "out", settings=PrepareSettings(masks=masks))
    maps = label_maps(read_dataset(tmp_path / "out"))
    assert report.nuclei == sum(drawing.nuclei for drawing in drawings.values())
    for key, drawing in drawings.items():
        assert np.array_equal(maps[Path(key).name], drawing.label_map)


@pytest.mark.shared_data
@pytest.mark.timeout(1800)
def test_all_532_images_of_nuinsseg_decode_pixel_for_pixel(shared_data: Path, tmp_path: Path) -> None:
    """Its synthetic twin is `test_every_annotation_decodes_to_the_label_image_pixel_for_pixel`."""
    output = tmp_path / "out"
    report = prepare([shared_data / "nuinsseg"], output=output, settings=PrepareSettings(folds=5, fold=0))
    assert (report.images, report.nuclei, report.organs) == (532, 23_670, 31)
    test = next(split for split in report.splits if split.name == "test")
    assert (test.images, test.nuclei, test.organs) == (107, 4_692, 26)
    labels = {path.stem: path for path in (shared_data / "nuinsseg").glob("*/label masks modify/*.tif")}
    for name, painted in label_maps(read_dataset(output)).items():
        assert np.array_equal(painted, read_label_map(labels[Path(name).stem])), name


@pytest.mark.shared_data
def test_tnbc_keeps_2155_of_2174_nuclei_at_10_pixels(shared_data: Path, tmp_path: Path) -> None:
    """Its synthetic twin is `test_crumbs_are_dropped_counted_and_named`."""
    settings = PrepareSettings(min_area=10)
    report = prepare([shared_data / "tnbc"], output=tmp_path / "out", settings=settings)
    assert (report.images, report.nuclei) == (30, 2_155)
    assert len(audit(tmp_path / "out")["left_out"]["nucleus under 10 px"]) == 19


@pytest.mark.shared_data
@pytest.mark.parametrize(("name", "nuclei"), [("dsb2018_sample", 67), ("monuseg_sample", 359)])
def test_the_samples_of_other_formats_keep_their_nuclei(
    shared_data: Path, tmp_path: Path, name: str, nuclei: int
) -> None:
    assert prepare([shared_data / name], output=tmp_path / "out").nuclei == nuclei


def write_rois(drawings: Mapping[str, NDArray[np.integer]], folder: Path) -> None:
    """Write label maps as zips of ImageJ's regions, one region a nucleus."""
    folder.mkdir(parents=True)
    for stem, label_map in drawings.items():
        masks, _ = masks_from_label_map(label_map)
        rois = [roi_of(masks, index) for index in range(len(masks))]
        roifile.roiwrite(folder / f"{stem}.zip", rois, name=[f"{number:04d}" for number in range(len(rois))])


def roi_of(masks: Masks, index: int) -> roifile.ImagejRoi:
    path: list[float] = []
    for outline in trace_outlines(masks, index):
        for ring in (outline.exterior_xy, *outline.holes_xy):
            path += [0, *ring[0], *(number for corner in ring[1:] for number in (1, *corner)), 4]
    return roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT, shape_roi_size=len(path), multi_coordinates=np.array(path, np.float32)
    )


def test_regions_drawn_along_label_images_give_the_same_data_set(tmp_path: Path) -> None:
    drawings = write_label_folder(tmp_path / "labelled")
    write_rois({stem: drawing.label_map for stem, drawing in drawings.items()}, tmp_path / "drawn" / "rois")
    shutil.copytree(tmp_path / "labelled" / "images", tmp_path / "drawn" / "images")
    for name in ("labelled", "drawn"):
        prepare([tmp_path / name], output=tmp_path / f"{name} out")
    first, second = (label_maps(read_dataset(tmp_path / f"{name} out")) for name in ("labelled", "drawn"))
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.shared_data
def test_regions_drawn_along_nuinssegs_labels_give_its_nuclei(shared_data: Path, tmp_path: Path) -> None:
    organ = shared_data / "nuinsseg" / "human kidney"
    maps = {file.stem: read_label_map(file) for file in sorted((organ / "label masks modify").glob("*.tif"))}
    write_rois(maps, tmp_path / "human kidney" / "Imagej_zips")
    shutil.copytree(organ / "tissue images", tmp_path / "human kidney" / "tissue images")
    report = prepare([tmp_path / "human kidney"], output=tmp_path / "out")
    assert report.nuclei == sum(len(np.unique(label_map)) - 1 for label_map in maps.values())
    prepared = label_maps(read_dataset(tmp_path / "out"))
    for stem, label_map in maps.items():
        assert np.array_equal(prepared[f"{stem}.png"] > 0, label_map > 0)


def test_vague_areas_come_along_resized_and_again(nuinsseg: Path, tmp_path: Path) -> None:
    vague = nuinsseg / LIVER / "vague areas" / "mask binary"
    vague.mkdir(parents=True)
    mask = np.zeros((128, 160), np.uint8)
    mask[:64] = 1
    Image.fromarray(mask).save(vague / "human_liver_01.png")
    report = prepare([nuinsseg], output=tmp_path / "out", settings=PrepareSettings(resize=64))
    assert any("vague_areas/ holds 1 masks" in note for note in report.notes)
    written = read_label_map(tmp_path / "out" / "vague_areas" / "human_liver_01.png")
    assert np.array_equal(written, np.repeat([[255], [0]], 32, axis=0) * np.ones((1, 80)))
    prepare([tmp_path / "out"], output=tmp_path / "again")
    assert (tmp_path / "again" / "vague_areas" / "human_liver_01.png").is_file()
    Image.fromarray(mask[:5]).save(vague / "human_liver_01.png")
    report = prepare([nuinsseg], output=tmp_path / "third")
    assert [(each.reason, each.count) for each in report.dropped] == [("image that can't be used", 1)]


def test_what_was_mended_is_counted_and_named(tmp_path: Path) -> None:
    write_document(tmp_path / "c")
    (tmp_path / "c" / "coco.json").unlink()
    roi = roifile.ImagejRoi.frompoints(np.array([(1, 1), (7, 7), (7, 1), (1, 7)]))
    roifile.roiwrite(tmp_path / "c" / "images" / "a.zip", [roi], name=["0001"])
    report = prepare([tmp_path / "c"], output=tmp_path / "out")
    assert [(each.reason, each.count) for each in report.mended] == [("self-crossing outline repaired", 1)]
    assert audit(tmp_path / "out")["mended"] == {"self-crossing outline repaired": ["images/a.png: 0001.roi"]}
    assert "mended: 1 x self-crossing" in report.summary()
    assert prepare([tmp_path / "c"], output=tmp_path / "out").mended == report.mended


def test_the_data_set_opens_in_pycocotools(nuinsseg: Path, tmp_path: Path) -> None:
    report = prepare([nuinsseg], output=tmp_path / "out")
    coco = COCO(str(tmp_path / "out" / "annotations" / "all.json"))
    assert coco.getCatIds() == [1]
    assert coco.loadCats([1])[0]["name"] == "nucleus"
    assert sorted(coco.getImgIds()) == [1, 2, 3, 4]
    assert len(coco.getAnnIds()) == report.nuclei
    entries: list[Any] = list(coco.loadAnns(coco.getAnnIds()))
    for entry in entries:
        assert set(entry) >= {"segmentation", "bbox", "area", "iscrowd", "label_id", "score"}
        assert (entry["iscrowd"], entry["score"]) == (0, 1.0)


def test_images_carry_organ_species_and_source(nuinsseg: Path, tmp_path: Path) -> None:
    prepare([nuinsseg], output=tmp_path / "out")
    records = read_dataset(tmp_path / "out").records
    assert [(record.organ, record.species, record.source) for record in records] == [
        ("human liver", "human", "nuinsseg"),
        ("human liver", "human", "nuinsseg"),
        ("mouse subscapular fat", "mouse", "nuinsseg"),
        ("mouse subscapular fat", "mouse", "nuinsseg"),
    ]


def test_plain_pngs_are_copied_byte_for_byte(nuinsseg: Path, tmp_path: Path) -> None:
    prepare([nuinsseg], output=tmp_path / "out")
    name = "human_liver_01.png"
    copied = (tmp_path / "out" / "images" / name).read_bytes()
    assert copied == (nuinsseg / LIVER / "tissue images" / name).read_bytes()


@pytest.mark.parametrize("kind", ["rgba", "webp", "grey", "16 bit", "turned"])
def test_other_images_become_rgb_pngs_of_the_same_pixels(tnbc: Path, tmp_path: Path, kind: str) -> None:
    path = tnbc / "images" / "drawing_00.png"
    image = Image.open(path)
    image.load()
    match kind:
        case "rgba":
            image.convert("RGBA").save(path)
        case "webp":
            path.unlink()
            path = path.with_suffix(".webp")
            image.save(path, lossless=True)
        case "grey":
            image.convert("L").save(path)
        case "16 bit":
            path.unlink()
            path = path.with_suffix(".tif")
            tifffile.imwrite(path, np.asarray(image).astype(np.uint16) * 257, photometric="rgb")
        case "turned":
            exif = Image.Exif()
            exif[0x0112] = 3
            image.save(path, exif=exif)
    expected = read_rgb(path)
    prepare([tnbc], output=tmp_path / "out")
    with Image.open(tmp_path / "out" / "images" / "drawing_00.png") as written:
        assert (written.format, written.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(written), expected)


@pytest.mark.parametrize(
    ("keyword", "copied"), [("Software", True), ("XML:com.adobe.xmp", False), ("Raw profile type exif", False)]
)
def test_pngs_with_texts_are_copied_unless_the_text_may_turn_them(tmp_path: Path, keyword: str, copied: bool) -> None:
    write_label_folder(tmp_path / "in", count=1)
    path = tmp_path / "in" / "images" / "drawing_00.png"
    texts = PngInfo()
    texts.add_text(keyword, "\nexif\n       0\n")
    with Image.open(path) as image:
        image.copy().save(path, pnginfo=texts)
    prepare([tmp_path / "in"], output=tmp_path / "out")
    written = tmp_path / "out" / "images" / "drawing_00.png"
    assert (written.read_bytes() == path.read_bytes()) == copied
    assert np.array_equal(read_rgb(written), read_rgb(path))


def test_a_second_preparation_is_the_same_to_the_byte(nuinsseg: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        prepare([nuinsseg], output=tmp_path / name, settings=PrepareSettings(folds=2, group_by="organ"))
    files = [sorted(path.relative_to(tmp_path / n) for path in (tmp_path / n).rglob("*.*")) for n in ("one", "two")]
    assert files[0] == files[1]
    for file in files[0]:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_several_sources_make_one_data_set_and_share_no_name(tmp_path: Path) -> None:
    write_label_folder(tmp_path / "a" / "tnbc", count=2)
    write_label_folder(tmp_path / "b" / "tnbc", count=2)
    write_nuinsseg(tmp_path / "n", organs=(LIVER,), images=1)
    report = prepare([tmp_path / "a/tnbc", tmp_path / "b/tnbc", tmp_path / "n"], output=tmp_path / "out")
    records = read_dataset(tmp_path / "out").records
    assert [record.source for record in records] == ["nuinsseg", "tnbc-2", "tnbc-2", "tnbc", "tnbc"]
    assert report.images == len({record.file_name for record in records}) == 5
    assert report.organs == 1


def test_classes_of_several_sources_are_joined_by_name(tnbc: Path, tmp_path: Path) -> None:
    categories = [{"id": 4, "name": "tumour"}, {"id": 6, "name": "nucleus"}]
    entries = [annotation(category_id=4), annotation(id=2, category_id=6)]
    write_document(tmp_path / "c", document(categories=categories, annotations=entries))
    prepare([tnbc, tmp_path / "c"], output=tmp_path / "out", settings=PrepareSettings(classes=True))
    data = read_dataset(tmp_path / "out")
    assert data.class_names == ("nucleus", "tumour")
    record = next(record for record in data.records if record.source == "c")
    assert data.annotations(record).instances.class_indices.tolist() == [1, 0]
    merged = prepare([tnbc, tmp_path / "c"], output=tmp_path / "merged")
    assert read_dataset(tmp_path / "merged").class_names == ("nucleus",)
    assert any("2 classes were merged" in note for note in merged.notes)


def test_a_prepared_folder_is_a_source_and_keeps_what_it_knew(nuinsseg: Path, tmp_path: Path) -> None:
    prepare([nuinsseg], output=tmp_path / "one")
    prepare([tmp_path / "one"], output=tmp_path / "two", settings=PrepareSettings(masks="rle"))
    one, two = read_dataset(tmp_path / "one"), read_dataset(tmp_path / "two")
    assert one.records == two.records
    first, second = label_maps(one), label_maps(two)
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_crumbs_are_dropped_counted_and_named(tnbc: Path, tmp_path: Path) -> None:
    label_map = np.zeros((128, 160), np.uint16)
    label_map[:3, :3], label_map[:3, 10:13], label_map[50, 50:59] = 1, 2, 3
    label_map[50, 58] = 0
    tifffile.imwrite(tnbc / "labels" / "drawing_00.tif", label_map)
    report = prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(min_area=9))
    assert audit(tmp_path / "out")["left_out"] == {"nucleus under 9 px": ["images/drawing_00.png: nucleus 3 (8 px)"]}
    assert [(each.reason, each.count) for each in report.dropped] == [("nucleus under 9 px", 1)]
    assert "left out: 1 x nucleus under 9 px" in report.summary()


def test_an_image_whose_nuclei_are_all_dropped_is_kept(tnbc: Path, tmp_path: Path) -> None:
    report = prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(min_area=10_000))
    assert (report.images, report.nuclei) == (3, 0)
    assert "3 images hold no nucleus" in report.summary()


def test_run_length_codes_are_announced_with_the_config_key(tnbc: Path, tmp_path: Path) -> None:
    report = prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(masks="rle"))
    assert report.polygons == 0
    assert report.rles == report.nuclei
    assert "INPUT.MASK_FORMAT: bitmask" in report.summary()


def test_forced_polygons_name_the_largest_loss(tnbc: Path, tmp_path: Path) -> None:
    label_map = np.zeros((128, 160), np.uint16)
    label_map[10:30, 10:30] = 1
    label_map[15:20, 15:20] = 0
    tifffile.imwrite(tnbc / "labels" / "drawing_00.tif", label_map)
    report = prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(masks="polygon"))
    assert report.rles == 0
    assert "1 polygons differ from their masks, by at most 25 px" in report.summary()
    assert audit(tmp_path / "out")["inexact_polygons"] == {"images/drawing_00.png: nucleus 1": 25}


def test_folds_give_the_documents_and_lists_of_the_split(tmp_path: Path) -> None:
    write_nuinsseg(tmp_path / "n", images=5)
    report = prepare([tmp_path / "n"], output=tmp_path / "out", settings=PrepareSettings(folds=5, fold=1))
    lists = read_json(tmp_path / "out" / "folds" / "kfold-5-seed19.json")
    for split in ("train", "val", "test"):
        names = [record.file_name for record in read_dataset(tmp_path / "out", split=split).records]
        assert names == lists[split]
    assert [(split.name, split.images) for split in report.splits] == [
        ("all", 10),
        ("train", 7),
        ("val", 1),
        ("test", 2),
    ]


def test_ids_are_the_same_in_every_split(tmp_path: Path) -> None:
    write_nuinsseg(tmp_path / "n", images=3)
    prepare([tmp_path / "n"], output=tmp_path / "out", settings=PrepareSettings(split=0.5))
    everything = {record.file_name: record.image_id for record in read_dataset(tmp_path / "out").records}
    for record in read_dataset(tmp_path / "out", split="val").records:
        assert everything[record.file_name] == record.image_id


def test_without_a_split_everything_trains(tnbc: Path, tmp_path: Path) -> None:
    prepare([tnbc], output=tmp_path / "out")
    assert len(read_dataset(tmp_path / "out", split="train")) == 3


@pytest.mark.parametrize("group", ["organ", "species", r"pattern:^([a-z]+_[a-z]+)"])
def test_groups_stay_on_one_side(nuinsseg: Path, tmp_path: Path, group: str) -> None:
    prepare([nuinsseg], output=tmp_path / "out", settings=PrepareSettings(split=0.5, group_by=group))
    organs = [{r.organ for r in read_dataset(tmp_path / "out", split=split).records} for split in ("train", "val")]
    assert len(organs[0]) == len(organs[1]) == 1
    assert organs[0] != organs[1]


def test_groups_of_a_table_stay_together_and_are_recorded(tmp_path: Path) -> None:
    write_label_folder(tmp_path / "in", count=6)
    rows = "".join(f"drawing_{index:02d}.png,patient {index // 2}\n" for index in range(6))
    table = tmp_path / "groups.csv"
    table.write_text("image,group\n" + rows + "gone.png,patient 9\n")
    settings = PrepareSettings(folds=3, group_by=str(table))
    report = prepare([tmp_path / "in"], output=tmp_path / "out", settings=settings)
    lists = read_json(tmp_path / "out" / "folds" / "kfold-3-seed19-by-table.json")
    assert lists["grouping"] == str(table)
    assert lists["groups"] == {f"drawing_{index:02d}.png": f"patient {index // 2}" for index in range(6)}
    folds = lists["folds"]
    assert isinstance(folds, list)
    assert sorted(folds) == [[f"drawing_0{first}.png", f"drawing_0{first + 1}.png"] for first in (0, 2, 4)]
    assert any("1 names of its table are no images here, first 'gone.png'" in note for note in report.notes)
    assert prepare([tmp_path / "in"], output=tmp_path / "out", settings=settings).already_complete
    table.write_text("image,group\n" + rows.replace("patient 2", "patient 1"))
    with pytest.raises(ResultsError, match=r"other groups \(--group-by\)"):
        prepare([tmp_path / "in"], output=tmp_path / "out", settings=settings)


def test_two_groups_in_two_folds_leave_none_to_validate_and_it_is_said(nuinsseg: Path, tmp_path: Path) -> None:
    settings = PrepareSettings(folds=2, group_by="organ")
    report = prepare([nuinsseg], output=tmp_path / "out", settings=settings)
    assert any("no validation set" in note for note in report.notes)


def test_only_takes_the_listed_images_and_counts_the_names_it_misses(nuinsseg: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("human_liver_02\nhuman_liver_77.png\n")
    report = prepare([nuinsseg], output=tmp_path / "out", settings=PrepareSettings(only=str(tmp_path / "list.txt")))
    assert [record.file_name for record in read_dataset(tmp_path / "out").records] == ["human_liver_02.png"]
    assert "1 of 2 names are not in the sources, first 'human_liver_77.png'" in report.summary()


def test_the_packaged_list_picks_from_the_full_release(nuinsseg: Path, tmp_path: Path) -> None:
    report = prepare([nuinsseg], output=tmp_path / "out", settings=PrepareSettings(only="nuinsseg-532"))
    assert {record.file_name for record in read_dataset(tmp_path / "out").records} == {
        "human_liver_01.png",
        "human_liver_02.png",
    }
    assert "530 of 532" in report.summary()


def test_a_list_without_any_image_is_an_error(tnbc: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of its 532 names"):
        prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(only="nuinsseg-532"))


def test_a_folds_file_gives_its_split_again(tmp_path: Path) -> None:
    write_nuinsseg(tmp_path / "n", images=5)
    prepare([tmp_path / "n"], output=tmp_path / "one", settings=PrepareSettings(folds=5, fold=1, seed=3))
    folds_file = tmp_path / "one" / "folds" / "kfold-5-seed3.json"
    prepare([tmp_path / "n"], output=tmp_path / "two", settings=PrepareSettings(only=str(folds_file)))
    for split in ("train", "val", "test"):
        names = [
            [record.file_name for record in read_dataset(tmp_path / name, split=split).records]
            for name in ("one", "two")
        ]
        assert names[0] == names[1]
    assert read_json(tmp_path / "two" / "folds" / folds_file.name) == read_json(folds_file)


def test_resizing_keeps_the_aspect_and_takes_nearest_labels(tnbc: Path, tmp_path: Path) -> None:
    prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(resize=64))
    data = read_dataset(tmp_path / "out")
    assert data.records[0].frame.shape == (64, 80)
    assert data.read_image(data.records[0]).shape == (64, 80, 3)
    expected = read_label_map(tnbc / "labels" / "drawing_00.tif")[1::2, 1::2]
    assert np.array_equal(label_maps(data)["drawing_00.png"], expected)


def test_nuclei_lost_by_resizing_are_named(tnbc: Path, tmp_path: Path) -> None:
    label_map = np.zeros((128, 160), np.uint16)
    label_map[10, 10] = 5
    tifffile.imwrite(tnbc / "labels" / "drawing_00.tif", label_map)
    prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(resize=64))
    lost = audit(tmp_path / "out")["left_out"]["nucleus lost by resizing"]
    assert lost == ["images/drawing_00.png: nucleus 5 (0 px)"]


@pytest.mark.parametrize("method", ["macenko", "reinhard"])
def test_normalisation_is_recorded_and_can_be_applied_again(tnbc: Path, tmp_path: Path, method: Any) -> None:
    glass = tnbc / "images" / "drawing_02.png"
    Image.fromarray(np.full((128, 160, 3), 245, np.uint8)).save(glass)
    report = prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(normalise=method))
    data = read_dataset(tmp_path / "out")
    stain = data.stain
    assert isinstance(stain, StainNormalisation)
    assert (stain.method, report.stain, report.stained_images) == (method, stain, 2)
    for record in data.records:
        original = read_rgb(tnbc / "images" / record.file_name)
        assert np.array_equal(data.read_image(record), stain.apply(original))
        assert record.stain == (None if record.file_name == glass.name else stain)
    assert f"stain: {method}, 2 of 3 images changed" in report.summary()


def test_a_normalised_data_set_is_not_normalised_again(tnbc: Path, tmp_path: Path) -> None:
    prepare([tnbc], output=tmp_path / "one", settings=PrepareSettings(normalise="macenko"))
    prepare([tmp_path / "one"], output=tmp_path / "two")
    assert read_dataset(tmp_path / "two").stain == StainNormalisation.macenko()
    with pytest.raises(DataError, match="normalised already"):
        prepare([tmp_path / "one"], output=tmp_path / "three", settings=PrepareSettings(normalise="reinhard"))


def test_reinhard_needs_a_stained_image(tnbc: Path, tmp_path: Path) -> None:
    for path in (tnbc / "images").iterdir():
        Image.fromarray(np.full((128, 160, 3), 245, np.uint8)).save(path)
    (tnbc / "images" / "drawing_00.png").write_bytes(b"damaged")
    with pytest.raises(DataError, match="no image is stained enough"):
        prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(normalise="reinhard"))
    assert not (tmp_path / "out").exists()


def test_damaged_images_and_misfitting_labels_are_left_out_and_named(tnbc: Path, tmp_path: Path) -> None:
    (tnbc / "images" / "drawing_00.png").write_bytes(b"damaged")
    tifffile.imwrite(tnbc / "labels" / "drawing_01.tif", np.zeros((5, 5), np.uint8))
    report = prepare([tnbc], output=tmp_path / "out")
    assert report.images == 1
    named = audit(tmp_path / "out")["left_out"]["image that can't be used"]
    assert [item.split(": ")[0] for item in named] == ["images/drawing_00.png", "images/drawing_01.png"]
    assert "must be equal" in named[1]


def test_no_usable_image_is_an_error_and_leaves_nothing(tnbc: Path, tmp_path: Path) -> None:
    for path in (tnbc / "images").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(DataError, match="none of the 3 images can be used"):
        prepare([tnbc], output=tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tnbc"]


def test_crowds_and_unsound_entries_of_coco_are_counted(tmp_path: Path) -> None:
    entries = [annotation(), annotation(id=2, iscrowd=1), annotation(id=3, segmentation=[])]
    write_document(tmp_path / "c", document(images=[image_entry()], annotations=entries))
    report = prepare([tmp_path / "c"], output=tmp_path / "out")
    assert report.nuclei == 1
    assert {(each.reason, each.count) for each in report.dropped} == {("crowd region", 1), ("unsound COCO entry", 1)}


def test_a_coco_mask_without_a_pixel_is_dropped(tmp_path: Path) -> None:
    empty = annotation(segmentation={"size": [10, 12], "counts": [120]})
    write_document(tmp_path / "c", document(annotations=[empty]))
    report = prepare([tmp_path / "c"], output=tmp_path / "out")
    assert [each.reason for each in report.dropped] == ["nucleus without a pixel"]


def test_the_same_preparation_again_does_nothing_and_says_so(tnbc: Path, tmp_path: Path) -> None:
    first = prepare([tnbc], output=tmp_path / "out")
    before = (tmp_path / "out" / "audit.json").stat().st_mtime_ns
    second = prepare([tnbc], output=tmp_path / "out")
    assert second.already_complete
    assert "nothing done" in second.summary()
    assert (tmp_path / "out" / "audit.json").stat().st_mtime_ns == before
    assert first.to_dict() == second.to_dict()


def test_other_settings_are_refused_unless_fresh(tnbc: Path, tmp_path: Path) -> None:
    prepare([tnbc], output=tmp_path / "out")
    with pytest.raises(ResultsError, match=r"--min-area was 1.*--fresh"):
        prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(min_area=5))
    report = prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(min_area=5, fresh=True))
    assert not report.already_complete
    assert audit(tmp_path / "out")["settings"]["min_area"] == 5


def test_other_sources_are_refused(tnbc: Path, nuinsseg: Path, tmp_path: Path) -> None:
    prepare([tnbc], output=tmp_path / "out")
    with pytest.raises(ResultsError, match="other sources"):
        prepare([nuinsseg], output=tmp_path / "out")


def test_another_list_under_the_same_name_is_refused(tnbc: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    settings = PrepareSettings(only=str(names))
    names.write_text("drawing_00")
    prepare([tnbc], output=tmp_path / "out", settings=settings)
    names.write_text("drawing_01")
    with pytest.raises(ResultsError, match=r"other images \(--only\)"):
        prepare([tnbc], output=tmp_path / "out", settings=settings)


def test_a_folder_of_other_things_is_refused_even_if_fresh(tnbc: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.docx").write_text("x")
    for fresh in (False, True):
        with pytest.raises(ResultsError, match="not empty"):
            prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(fresh=fresh))
    assert (tmp_path / "out" / "thesis.docx").exists()


def test_fresh_does_not_delete_what_prepare_did_not_write(tnbc: Path, tmp_path: Path) -> None:
    prepare([tnbc], output=tmp_path / "out")
    (tmp_path / "out" / "thesis.docx").write_text("x")
    with pytest.raises(ResultsError, match=r"thesis\.docx"):
        prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(fresh=True))


def test_a_file_in_the_outputs_place_is_refused(tnbc: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(ResultsError, match="is a file"):
        prepare([tnbc], output=tmp_path / "out")


def test_an_interruption_leaves_nothing_half_written(
    tnbc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[prepare.__module__], "write_documents", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare([tnbc], output=tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tnbc"]


def test_no_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no source"):
        prepare([], output=tmp_path / "out")


def test_folders_elsewhere_belong_to_a_single_source(tnbc: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="single source"):
        prepare([tnbc, tnbc], output=tmp_path / "out", settings=PrepareSettings(labels=tnbc / "labels"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": 1.0}, "--split 1"),
        ({"split": 0.8, "folds": 5}, "exclude each other"),
        ({"folds": 1}, "--folds 1"),
        ({"fold": 1}, "give --folds too"),
        ({"folds": 5, "fold": 5}, "0 to 4"),
        ({"seed": -1}, "--seed -1"),
        ({"min_area": -1}, "--min-area -1"),
        ({"resize": 3}, "--resize 3"),
        ({"group_by": "pattern:("}, "no regular expression"),
        ({"group_by": "patient"}, "give organ, species, pattern:REGEX"),
        ({"stratify": True}, "--stratify is for --folds"),
        ({"stratify": True, "folds": 2, "group_by": "organ"}, "keeps them together"),
    ],
)
def test_options_out_of_range_are_refused_in_one_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PrepareSettings(**options)


def test_a_report_survives_as_plain_values(tnbc: Path, tmp_path: Path) -> None:
    report = prepare([tnbc], output=tmp_path / "out", settings=PrepareSettings(normalise="macenko"))
    again = PrepareReport.from_dict(json.loads(json.dumps(report.to_dict())), tmp_path / "out")
    assert again.to_dict() == report.to_dict()
