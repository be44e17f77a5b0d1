from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nucleate.api.check import check
from nucleate.api.prepare import PrepareSettings, prepare
from nucleate.cli import run
from nucleate.errors import DataError, ResultsError
from tests.data.coco_documents import annotation, document, image_entry, write_document
from tests.pages import check_page
from tests.synthetic import draw_he, read_json, write_label_folder, write_nuinsseg


def found(folder: Path, **options: Any) -> dict[str, tuple[str, int]]:
    return {each.what: (each.level, each.count) for each in check(folder, **options).audit.findings}


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """A label folder whose first image is there three times: as it is, resized and turned."""
    folder = tmp_path / "copies"
    write_label_folder(folder, count=4)
    first = Image.open(folder / "images" / "drawing_00.png")
    label = Image.open(folder / "labels" / "drawing_00.tif")
    shutil.copy(folder / "images" / "drawing_00.png", folder / "images" / "same.png")
    shutil.copy(folder / "labels" / "drawing_00.tif", folder / "labels" / "same.tif")
    first.resize((240, 192), Image.Resampling.BICUBIC).save(folder / "images" / "larger.png")
    label.resize((240, 192), Image.Resampling.NEAREST).save(folder / "labels" / "larger.tif")
    first.transpose(Image.Transpose.ROTATE_90).save(folder / "images" / "turned.png")
    label.transpose(Image.Transpose.ROTATE_90).save(folder / "labels" / "turned.tif")
    return folder


def test_prepare_writes_the_audit_and_two_pages_that_load_nothing(tmp_path: Path) -> None:
    drawings = write_nuinsseg(tmp_path / "n")
    prepare([tmp_path / "n"], output=tmp_path / "out", settings=PrepareSettings(split=0.5))
    audit: dict[str, Any] = read_json(tmp_path / "out" / "audit.json")
    nuclei = sum(drawing.nuclei for drawing in drawings.values())
    assert audit["totals"] == {"images": 4, "annotations_found": nuclei, "nuclei": nuclei}
    assert [entry["source_path"] for entry in audit["images"]] == sorted(drawings)
    assert {entry["splits"][0] for entry in audit["images"]} == {"train", "val"}
    assert "Audit of n" in (page := (tmp_path / "out" / "audit.html").read_text(encoding="utf-8"))
    assert check_page(page) == []
    statistics = (tmp_path / "out" / "statistics.html").read_text(encoding="utf-8")
    # Three distributions, two charts of organs, an image of each of the two organs.
    assert len(check_page(statistics)) == 7
    assert "human liver" in statistics


def test_prepare_tells_identical_images_in_two_splits_and_ends_with_1(
    copies: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["prepare", str(copies), "--output", str(tmp_path / "out"), "--folds", "7", "--seed", "4"]
    assert run(arguments) == 1
    assert "2 identical images in different splits: drawing_00.png" in capsys.readouterr().err
    # The data set is there; the second call tells it too.
    assert run(arguments) == 1
    assert "already complete" in capsys.readouterr().out


def test_prepare_warns_of_copies_and_shows_them(copies: Path, tmp_path: Path) -> None:
    report = prepare([copies], output=tmp_path / "out")
    assert report.errors == ()
    assert any(line.startswith("2 identical images: drawing_00.png (train) = same.png") for line in report.warnings)
    assert any("pairs of near-identical images" in line for line in report.warnings)
    assert "warning: 2 identical images" in report.summary()
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    # Each of the two identical images with each of the two copies, and these with each other.
    assert len(check_page(page)) == 2 * 5


def test_what_was_left_out_is_in_the_counts(tmp_path: Path) -> None:
    write_label_folder(tmp_path / "d", count=2)
    prepare([tmp_path / "d"], output=tmp_path / "out", settings=PrepareSettings(min_area=150))
    audit: dict[str, Any] = read_json(tmp_path / "out" / "audit.json")
    dropped = len(audit["left_out"]["nucleus under 150 px"])
    assert dropped > 0
    assert audit["totals"]["annotations_found"] == audit["totals"]["nuclei"] + dropped
    page = (tmp_path / "out" / "audit.html").read_text(encoding="utf-8")
    assert f"nucleus under 150 px: {dropped}" in page
    assert f"of {audit['totals']['annotations_found']} annotations" in page


def test_a_prepared_folder_is_sound_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nuinsseg(tmp_path / "n")
    prepare([tmp_path / "n"], output=tmp_path / "out", settings=PrepareSettings(split=0.5))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert run(["check", str(tmp_path / "out")]) == 0
    assert sorted(tmp_path.rglob("*")) == before
    said = capsys.readouterr().out
    assert re.search(r"train +2 images", said)
    assert "no errors" in said


def test_check_sees_the_same_as_prepare_did(copies: Path, tmp_path: Path) -> None:
    prepare([copies], output=tmp_path / "out", settings=PrepareSettings(folds=7, seed=4))
    audit = check(tmp_path / "out").audit.to_dict()
    prepared: dict[str, Any] = read_json(tmp_path / "out" / "audit.json")
    assert audit["findings"] == prepared["findings"]
    drop = {"source_path"}
    assert [{key: value for key, value in entry.items() if key not in drop} for entry in audit["images"]] == [
        {key: value for key, value in entry.items() if key not in drop} for entry in prepared["images"]
    ]


def test_errors_end_with_1_and_pages_are_written_where_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = document(annotations=[annotation(), annotation(id=2, segmentation=[[1, 1]])])
    data = write_document(tmp_path / "c", content)
    assert run(["check", str(data), "--output", str(tmp_path / "audit")]) == 1
    captured = capsys.readouterr()
    assert "1 unsound entries of the COCO file: annotation 2" in captured.err
    assert sorted(path.name for path in (tmp_path / "audit").iterdir()) == [
        "audit.html",
        "audit.json",
        "statistics.html",
    ]
    assert "Results with this data set would be wrong" in (tmp_path / "audit" / "audit.html").read_text(
        encoding="utf-8"
    )
    # Again into its own folder; not into that of another file.
    assert run(["check", str(data), "--output", str(tmp_path / "audit")]) == 1
    other = write_document(tmp_path / "d")
    with pytest.raises(ResultsError, match="the audit of something else"):
        check(other, output=tmp_path / "audit")


def test_the_audit_of_prepare_is_never_replaced(tmp_path: Path) -> None:
    write_label_folder(tmp_path / "d", count=1)
    prepare([tmp_path / "d"], output=tmp_path / "out")
    with pytest.raises(ResultsError, match="choose another --output"):
        check(tmp_path / "out", output=tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="is a file"):
        check(tmp_path / "out", output=tmp_path / "file")


@pytest.mark.parametrize("path", ["missing", "empty", "text.json", "no image"])
def test_what_cannot_be_checked_ends_with_2(tmp_path: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.json").write_text("no json")
    write_document(tmp_path / "no image")
    (tmp_path / "no image" / "images" / "a.png").unlink()
    assert run(["check", str(tmp_path / path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_missing_folder_of_images_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder: --images"):
        check(write_document(tmp_path / "c"), images=tmp_path / "nowhere")


def test_an_image_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    content = document(images=[image_entry(), image_entry(id=2, file_name="b.png")])
    data = write_document(tmp_path / "c", content)
    Image.fromarray(np.zeros((10, 11, 3), np.uint8)).save(tmp_path / "c" / "images" / "b.png")
    (line,) = check(data).failures
    assert "b.png: the image is 11 x 10 pixels, its record says 12 x 10" in line


def test_missing_images_and_other_faults_are_counted(tmp_path: Path) -> None:
    content = document(
        images=[image_entry(), image_entry(id=2, file_name="b.png"), image_entry(id=3)],
        annotations=[
            annotation(),
            annotation(id=2, bbox=[0, 0, 12, 10]),
            annotation(id=3, segmentation=[[-3, 2, 5, 2, 5, 5, -3, 5]], bbox=[0, 2, 5, 3]),
            annotation(id=4, segmentation=[[2, 2, 9, 9, 9, 2, 2, 9]], bbox=[2, 2, 7, 7]),
            annotation(id=5, iscrowd=1),
        ],
    )
    data = write_document(tmp_path / "c", content)
    report = check(data)
    kinds = {each.what: (each.level, each.items) for each in report.audit.findings}
    assert kinds["images that are missing"] == ("error", ("b.png",))
    assert kinds["unsound entries of the COCO file"][1] == ("image 3: the file 'a.png' is listed twice",)
    assert kinds["boxes that differ from their masks by more than 2 px"][1] == ("a.png: annotation 2",)
    assert kinds["crowd regions, which count for no nucleus"] == ("note", ("a.png: annotation 5",))
    assert kinds["nuclei annotated twice"][1] == ("a.png: nucleus 1 and 2",)
    assert report.audit.mended == {
        "polygon cut at the image's border": ["a.png: annotation 3"],
        "self-crossing polygon, drawn as pycocotools draws it": ["a.png: annotation 4"],
    }
    assert "polygon cut at the image's border: a.png: annotation 3" in report.summary()


def test_prepare_counts_polygons_that_were_not_taken_as_they_are(tmp_path: Path) -> None:
    content = document(annotations=[annotation(segmentation=[[-3, 2, 5, 2, 5, 5, -3, 5]])])
    report = prepare([write_document(tmp_path / "c", content)], output=tmp_path / "out")
    assert [(each.reason, each.count) for each in report.mended] == [("polygon cut at the image's border", 1)]


def test_files_of_a_folder_are_its_splits(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        image = draw_he(seed=seed, height_px=40, width_px=48, nuclei=5).image_rgb
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
    size = {"width": 48, "height": 40}
    for split, names in (("train", "ac"), ("test", "bc")):
        images = [image_entry(id=number, file_name=f"{name}.png", **size) for number, name in enumerate(names, 1)]
        text = json.dumps(document(images=images))
        (folder / "annotations" / f"{split}.json").write_text(text, encoding="utf-8")
    report = check(folder)
    # An image in both splits counts for both; the nuclei are those of its first file.
    assert report.splits == (("train", 2, 1), ("test", 2, 1))
    kinds = {each.what: each.items for each in report.audit.findings if each.level == "error"}
    assert kinds == {
        "images in several splits": ("c.png (test, train)",),
        "identical images in different splits": ("b.png (test) = a.png (train)",),
    }


def test_splits_of_a_prepared_folder_that_name_other_images_are_unsound(tmp_path: Path) -> None:
    write_label_folder(tmp_path / "d", count=2)
    prepare([tmp_path / "d"], output=tmp_path / "out", settings=PrepareSettings(split=0.5))
    path = tmp_path / "out" / "annotations" / "train.json"
    content: dict[str, Any] = read_json(path)
    content["images"][0]["file_name"] = "other.png"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert found(tmp_path / "out")["unsound entries of the COCO file"] == ("error", 1)


@pytest.mark.shared_data
def test_no_two_images_of_nuinsseg_are_told_to_be_alike(shared_data: Path, tmp_path: Path) -> None:
    """Its synthetic twin is `test_copies_are_found_and_other_images_are_not`."""
    report = prepare([shared_data / "nuinsseg" / "human kidney"], output=tmp_path / "out")
    assert report.errors == ()
    assert not any("identical" in line for line in report.warnings)
