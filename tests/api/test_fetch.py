from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nucleate.api import fetch
from nucleate.api.fetch import RECORD_NAME, FetchReport, PublishedSetList, fetch_set
from nucleate.api.prepare import PrepareSettings, prepare
from nucleate.assets import PUBLISHED_SETS, DownloadSettings, PublishedSet, RemoteFile, published_set
from nucleate.cli import run
from nucleate.data import read_dataset
from nucleate.errors import ConfigError, DataError, DownloadError, ResultsError
from tests.assets.publisher import Publisher, zip_of
from tests.synthetic import draw_he, write_nuinsseg

QUICK = DownloadSettings(attempts=2, timeout_s=5.0, wait_s=0.0)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher()
    yield made
    made.close()


def nuinsseg_zip(folder: Path) -> bytes:
    write_nuinsseg(folder)
    return zip_of(
        {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    )


def png(pixels: Any) -> bytes:
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "png")
    return packed.getvalue()


def tnbc_zip() -> bytes:
    """Return two patients in the published layout: RGBA images, binary masks of the same name, macOS' own files."""
    files = {"__MACOSX/TNBC_NucleiSegmentation/._Slide_01": b"junk"}
    for patient, count in (("01", 2), ("02", 1)):
        for number in range(1, count + 1):
            drawing = draw_he(seed=int(patient) + number, nuclei=4)
            alpha = np.full((*drawing.label_map.shape, 1), 255, np.uint8)
            name = f"{patient}_{number}.png"
            files[f"TNBC_NucleiSegmentation/Slide_{patient}/{name}"] = png(np.dstack([drawing.image_rgb, alpha]))
            mask = (drawing.label_map > 0).astype(np.uint8) * np.uint8(255)
            files[f"TNBC_NucleiSegmentation/GT_{patient}/{name}"] = png(mask)
    return zip_of(files)


def on_zenodo(url: str, name: str = "nuinsseg", **changed: Any) -> PublishedSet:
    values: dict[str, Any] = {"licence": "CC BY 4.0", "citation": "A 2024", "page": "https://page", "files": ()}
    return PublishedSet(name=name, record_url=url, content="", **{**values, **changed})


def elsewhere(*files: RemoteFile, name: str = "set") -> PublishedSet:
    return PublishedSet(name=name, content="", licence="CC0", citation="B", page="https://page", files=files)


def test_a_set_is_fetched_checked_unpacked_recorded_and_read(tmp_path: Path, publisher: Publisher) -> None:
    url = publisher.publish(7, {"NuInsSeg.zip": nuinsseg_zip(tmp_path / "release")})
    report = fetch_set(on_zenodo(url), tmp_path / "out", settings=QUICK)
    assert report.ready == (("NuInsSeg", "nuinsseg", 4),)
    record = json.loads((tmp_path / "out" / RECORD_NAME).read_text())["nuinsseg"]
    assert (record["licence"], record["citation"]) == ("cc-by-4.0", "A 2024")
    (file,) = record["files"]
    assert file["checked_by"].startswith("md5 ")
    assert len(file["sha256"]) == 64
    prepared = prepare([tmp_path / "out" / "NuInsSeg"], output=tmp_path / "data")
    assert (prepared.images, prepared.organs) == (4, 2)
    for words in ("licence: cc-by-4.0", "cite: A 2024", "md5", "next: nucleate prepare", "may be deleted"):
        assert words in report.summary()


def test_tnbc_as_published_is_read_with_its_patients(tmp_path: Path, publisher: Publisher) -> None:
    url = publisher.publish(8, {"TNBC_NucleiSegmentation.zip": tnbc_zip()})
    report = fetch_set(on_zenodo(url, "tnbc"), tmp_path / "out", settings=QUICK)
    assert report.ready == (("TNBC_NucleiSegmentation", "binary-masks", 3),)
    source = tmp_path / "out" / "TNBC_NucleiSegmentation"
    prepared = prepare([source], output=tmp_path / "data", settings=PrepareSettings(min_area=10))
    assert not prepared.dropped
    dataset = read_dataset(tmp_path / "data")
    assert [record.file_name for record in dataset.records] == ["01_1.png", "01_2.png", "02_1.png"]
    assert all(len(dataset.annotations(record).instances) for record in dataset.records)


def test_the_licence_is_said_before_anything_is_fetched(
    tmp_path: Path, publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    url = publisher.publish(7, {"a.zip": b"gone"})
    del publisher.contents["/7/a.zip"]
    with pytest.raises(DownloadError):
        fetch_set(on_zenodo(url, "set"), tmp_path / "out", settings=QUICK)
    assert "licence cc-by-4.0; cite A 2024" in capsys.readouterr().err


def test_a_broken_connection_goes_on_where_it_stopped(tmp_path: Path, publisher: Publisher) -> None:
    content = tnbc_zip()
    url = publisher.publish(7, {"a.zip": content})
    publisher.faults["/7/a.zip"] = ["break", "break", "break"]
    with pytest.raises(DownloadError, match="broke off"):
        fetch_set(on_zenodo(url), tmp_path, settings=QUICK)
    assert not (tmp_path / "a.zip").exists()
    fetch_set(on_zenodo(url), tmp_path, settings=QUICK)
    ranges = [asked for path, asked in publisher.asked if path == "/7/a.zip"]
    half, three_quarters = len(content) // 2, len(content) // 2 + (len(content) - len(content) // 2) // 2
    assert ranges[:3] == [None, f"bytes={half}-", f"bytes={three_quarters}-"]
    assert (tmp_path / "a.zip").read_bytes() == content


def test_wrong_content_is_never_kept_nor_unpacked(tmp_path: Path, publisher: Publisher) -> None:
    url = publisher.publish(7, {"a.zip": tnbc_zip()})
    publisher.faults["/7/a.zip"] = ["wrong", "wrong"]
    with pytest.raises(DownloadError, match="other content than expected, md5"):
        fetch_set(on_zenodo(url), tmp_path / "out", settings=QUICK)
    assert not [file for file in (tmp_path / "out").iterdir() if not file.name.startswith(".")]


def test_redirects_are_followed(tmp_path: Path, publisher: Publisher) -> None:
    url = publisher.publish(7, {"a.zip": tnbc_zip()})
    publisher.faults["/7/a.zip"] = ["redirect", "break", "redirect"]
    report = fetch_set(on_zenodo(url), tmp_path / "out", settings=QUICK)
    assert report.ready[0][2] == 3
    assert publisher.asked[-1][0] == "/moved/7/a.zip"


def test_a_second_call_does_nothing_though_the_archive_was_deleted(tmp_path: Path, publisher: Publisher) -> None:
    url = publisher.publish(7, {"a.zip": tnbc_zip()})
    first = fetch_set(on_zenodo(url), tmp_path / "out", settings=QUICK)
    (tmp_path / "out" / "a.zip").unlink()
    publisher.asked.clear()
    second = fetch_set(on_zenodo(url), tmp_path / "out", settings=QUICK)
    assert second.already_complete
    assert (second.files, second.ready) == (first.files, first.ready)
    assert publisher.asked == []
    assert "nothing done" in second.summary()


def test_two_sets_share_a_folder(tmp_path: Path, publisher: Publisher) -> None:
    first = publisher.publish(7, {"a.zip": tnbc_zip()})
    second = publisher.publish(8, {"readme.txt": b"no zip"})
    fetch_set(on_zenodo(first, "one"), tmp_path / "out", settings=QUICK)
    report = fetch_set(on_zenodo(second, "two", licence="", citation=""), tmp_path / "out", settings=QUICK)
    assert list(json.loads((tmp_path / "out" / RECORD_NAME).read_text())) == ["one", "two"]
    assert report.citation == "Doe, Jane, Drawn nuclei, doi:10.5281/zenodo.8"
    assert "no format that `prepare` reads" in report.summary()
    assert fetch_set(on_zenodo(first, "one"), tmp_path / "out", settings=QUICK).already_complete


def test_offline_a_line_says_where_to_get_it_and_a_file_put_there_is_taken(
    tmp_path: Path, publisher: Publisher
) -> None:
    file = RemoteFile(name="a.zip", urls=("http://127.0.0.1:9/a.zip",))
    wanted = on_zenodo("http://127.0.0.1:9/api", files=(file,))
    with pytest.raises(DownloadError) as caught:
        fetch_set(wanted, tmp_path / "out", settings=QUICK)
    line = str(caught.value)
    for words in (
        "get it from http://127.0.0.1:9/a.zip",
        f"put it at {tmp_path / 'out' / 'a.zip'}",
        "run this command",
    ):
        assert words in line
    assert "\n" not in line
    (tmp_path / "out" / "a.zip").write_bytes(tnbc_zip())
    report = fetch_set(wanted, tmp_path / "out", settings=QUICK)
    assert report.ready[0][2] == 3
    assert "states no checksum" in report.summary()


def test_offline_an_unknown_record_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=r"could not be looked up .* get its files from https://page"):
        fetch_set(on_zenodo("http://127.0.0.1:9/api"), tmp_path / "out", settings=QUICK)


def test_another_file_at_its_place_is_not_replaced(tmp_path: Path, publisher: Publisher) -> None:
    url = publisher.publish(7, {"a.zip": tnbc_zip()})
    (tmp_path / "a.zip").write_bytes(b"mine")
    with pytest.raises(DownloadError, match="move it away"):
        fetch_set(on_zenodo(url), tmp_path, settings=QUICK)
    assert (tmp_path / "a.zip").read_bytes() == b"mine"


def test_a_folder_at_the_place_of_the_unpacked_is_not_replaced(tmp_path: Path, publisher: Publisher) -> None:
    url = publisher.publish(7, {"a.zip": tnbc_zip()})
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.txt").write_text("mine")
    with pytest.raises(ResultsError, match="move it away"):
        fetch_set(on_zenodo(url), tmp_path, settings=QUICK)
    assert (tmp_path / "a" / "mine.txt").read_text() == "mine"


def test_what_was_unpacked_before_a_damaged_archive_is_kept(tmp_path: Path, publisher: Publisher) -> None:
    publisher.publish(7, {"a.zip": tnbc_zip(), "b.zip": b"no zip"})
    both = elsewhere(*(RemoteFile(name=name, urls=(f"{publisher.url}/7/{name}",)) for name in ("a.zip", "b.zip")))
    with pytest.raises(DataError, match="damaged zip"):
        fetch_set(both, tmp_path, settings=QUICK)
    assert (tmp_path / "a").is_dir()
    assert not (tmp_path / "b").exists()
    for leftover in ("b.zip", "b.zip.json"):
        (tmp_path / leftover).unlink()
    publisher.contents["/7/b.zip"] = tnbc_zip()
    assert len(fetch_set(both, tmp_path, settings=QUICK).ready) == 2


def test_a_record_without_files_and_an_output_that_is_a_file_are_refused(tmp_path: Path, publisher: Publisher) -> None:
    with pytest.raises(DataError, match="no files"):
        fetch_set(on_zenodo(publisher.publish(7, {})), tmp_path / "out", settings=QUICK)
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="is a file"):
        fetch_set(on_zenodo(""), tmp_path / "file", settings=QUICK)


@pytest.mark.parametrize("damage", ["no json", "[]", '{"nuinsseg": {"files": 3}}', '{"nuinsseg": 3}'])
def test_a_damaged_record_is_made_anew(tmp_path: Path, publisher: Publisher, damage: str) -> None:
    url = publisher.publish(7, {"a.txt": b"a"})
    (tmp_path / RECORD_NAME).write_text(damage)
    assert not fetch_set(on_zenodo(url), tmp_path, settings=QUICK).already_complete


def test_without_a_name_the_sets_are_listed_with_size_and_licence() -> None:
    listed = fetch()
    assert isinstance(listed, PublishedSetList)
    for each in PUBLISHED_SETS:
        assert each.name in listed.summary()
        assert each.licence in listed.summary()
        assert each.size_bytes
        assert each.files
    assert "1.6 GB" in listed.summary()


def test_any_record_of_zenodo_has_a_name() -> None:
    found = published_set("zenodo:2579118")
    assert found.record_url == "https://zenodo.org/api/records/2579118"


def test_a_fetch_by_name_reaches_the_set(tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    url = publisher.publish(7, {"a.zip": tnbc_zip()})
    monkeypatch.setattr(sys.modules[fetch.__module__], "published_set", lambda name: on_zenodo(url, name))
    report = fetch("tnbc", output=tmp_path / "out")
    assert isinstance(report, FetchReport)
    assert report.name == "tnbc"


@pytest.mark.parametrize("name", ["unknown", "zenodo:", "zenodo:../1", "nuinsseg"])
def test_unknown_names_and_a_missing_output_are_one_line(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError):
        fetch(name)
    assert run(["fetch", name]) == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 1
