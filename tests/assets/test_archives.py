from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from nucleate.assets import archives, unpack
from nucleate.errors import DataError
from tests.assets.publisher import zip_of


def write_zip(folder: Path, files: dict[str, bytes], name: str = "Set.zip") -> Path:
    path = folder / name
    path.write_bytes(zip_of(files, zipfile.ZIP_DEFLATED))
    return path


def names(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())


def test_a_zip_is_unpacked_without_what_macos_adds(tmp_path: Path) -> None:
    path = write_zip(tmp_path, {"a/b.png": b"1", "c.txt": b"2", "__MACOSX/a/._b.png": b"3", "a/.DS_Store": b"4"})
    assert unpack(path, tmp_path / "out") == 2
    assert names(tmp_path / "out") == ["a/b.png", "c.txt"]
    assert (tmp_path / "out" / "a" / "b.png").read_bytes() == b"1"


def test_a_folder_of_the_archives_own_name_is_left_out(tmp_path: Path) -> None:
    unpack(write_zip(tmp_path, {"set/a/1.png": b"1", "set/b/2.png": b"2"}), tmp_path / "out")
    assert names(tmp_path / "out") == ["a/1.png", "b/2.png"]


def test_another_folder_around_everything_is_kept(tmp_path: Path) -> None:
    unpack(write_zip(tmp_path, {"human liver/tissue images/1.png": b"1"}), tmp_path / "out")
    assert names(tmp_path / "out") == ["human liver/tissue images/1.png"]


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/out.png", "C:/out.png", "a\\..\\..\\out.png"])
def test_names_that_lead_out_of_the_folder_are_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="leads out of the folder"):
        unpack(write_zip(tmp_path, {"first.png": b"1", name: b"2"}), tmp_path / "in")
    assert names(tmp_path) == ["Set.zip"]


def test_links_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "Set.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="link"):
        unpack(path, tmp_path / "out")


def test_bombs_are_refused_by_what_they_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LEAST_LIMIT_BYTES", 2**16)
    path = write_zip(tmp_path, {"zeros.png": bytes(2**20)})
    with pytest.raises(DataError, match="unpack to more than"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_zip_that_states_less_than_it_holds_is_refused(tmp_path: Path) -> None:
    """The stated size is what the limit is checked by."""
    path = write_zip(tmp_path, {"zeros.png": bytes(2**20)})
    content = path.read_bytes()
    path.write_bytes(content.replace((2**20).to_bytes(4, "little"), (100).to_bytes(4, "little")))
    with pytest.raises(DataError, match="damaged zip"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("keep", [0, 10, 60])
def test_truncated_zips_are_damaged(tmp_path: Path, keep: int) -> None:
    path = write_zip(tmp_path, {"a.png": b"1" * 100})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="damaged zip"):
        unpack(path, tmp_path / "out")


def test_content_that_lost_a_bit_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "Set.zip"
    path.write_bytes(zip_of({"a.png": b"1" * 100}).replace(b"1" * 100, b"1" * 99 + b"2"))
    with pytest.raises(DataError, match="CRC"):
        unpack(path, tmp_path / "out")
