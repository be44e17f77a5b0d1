from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from nucleate.assets import DownloadSettings, RemoteFile, download, has_checksum
from nucleate.assets.downloads import record_path
from nucleate.errors import DownloadError

CONTENT = np.random.default_rng(0).bytes(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = DownloadSettings(attempts=3, timeout_s=5.0, wait_s=0.0)


class Mirror:
    """A server that does what its plan says, request by request; the last item goes on."""

    def __init__(self, *plan: str, version: str | None = None) -> None:
        self.plan = list(plan)
        self.version = version
        self.ranges: list[str | None] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/slide.svs"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        action = self.plan.pop(0) if len(self.plan) > 1 else self.plan[0]
        if action.isdigit():
            request.send_error(int(action))
            return
        content = CONTENT[::-1] if action == "wrong" else CONTENT + b"more" if action == "long" else CONTENT
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and action != "no ranges" else 0
        if request.headers.get("If-Range", self.version) != self.version:
            start = 0
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        if self.version is not None:
            request.send_header("ETag", self.version)
        request.end_headers()
        sent = content[start:]
        request.wfile.write(sent[: len(sent) // 2] if action == "break" else sent)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def mirrors() -> Iterator[list[Mirror]]:
    opened: list[Mirror] = []
    yield opened
    for mirror in opened:
        mirror.close()


def remote(*found: Mirror) -> RemoteFile:
    urls = tuple(mirror.url for mirror in found)
    return RemoteFile(name="slide.svs", urls=urls, sha256=SHA256, size_bytes=len(CONTENT))


def test_file_is_fetched_and_its_folder_made(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.append(Mirror("whole"))
    target = download(remote(mirrors[0]), tmp_path / "new" / "slide.svs", settings=QUICK)
    assert target.read_bytes() == CONTENT
    assert not list(target.parent.glob("*.part"))


def test_file_that_is_there_is_not_fetched_again(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.append(Mirror("500"))
    (tmp_path / "slide.svs").write_bytes(CONTENT)
    download(remote(mirrors[0]), tmp_path / "slide.svs", settings=QUICK)
    assert mirrors[0].ranges == []


def test_file_with_other_content_is_replaced(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.append(Mirror("whole"))
    (tmp_path / "slide.svs").write_bytes(b"old")
    assert download(remote(mirrors[0]), tmp_path / "slide.svs", settings=QUICK).read_bytes() == CONTENT


def test_broken_transfer_goes_on_where_it_stopped(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.append(Mirror("break", "whole"))
    target = download(remote(mirrors[0]), tmp_path / "slide.svs", settings=QUICK)
    assert target.read_bytes() == CONTENT
    assert mirrors[0].ranges == [None, "bytes=50000-"]


def test_next_call_goes_on_where_the_last_one_stopped(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.append(Mirror("break", "whole"))
    with pytest.raises(DownloadError, match=r"broke off|IncompleteRead"):
        download(remote(mirrors[0]), tmp_path / "slide.svs", settings=DownloadSettings(attempts=1))
    assert not (tmp_path / "slide.svs").exists()
    download(remote(mirrors[0]), tmp_path / "slide.svs", settings=QUICK)
    assert mirrors[0].ranges[1] == "bytes=50000-"


def test_server_that_knows_no_ranges_sends_from_the_start(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.append(Mirror("break", "no ranges"))
    assert download(remote(mirrors[0]), tmp_path / "slide.svs", settings=QUICK).read_bytes() == CONTENT


@pytest.mark.parametrize("action", ["wrong", "long"])
def test_wrong_content_is_never_kept(tmp_path: Path, mirrors: list[Mirror], action: str) -> None:
    mirrors.append(Mirror(action))
    with pytest.raises(DownloadError, match="sha256"):
        download(remote(mirrors[0]), tmp_path / "slide.svs", settings=QUICK)
    assert not (tmp_path / "slide.svs").exists()
    assert not list(tmp_path.glob("*.part"))


def test_second_mirror_helps_where_the_first_has_other_content(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.extend([Mirror("wrong"), Mirror("whole")])
    assert download(remote(*mirrors), tmp_path / "slide.svs", settings=QUICK).read_bytes() == CONTENT


def test_missing_file_moves_on_to_the_next_mirror_at_once(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.extend([Mirror("404"), Mirror("whole")])
    download(remote(*mirrors), tmp_path / "slide.svs", settings=QUICK)
    assert len(mirrors[0].ranges) == 1


def test_passing_trouble_of_the_server_is_tried_again(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.append(Mirror("503", "whole"))
    assert download(remote(mirrors[0]), tmp_path / "slide.svs", settings=QUICK).read_bytes() == CONTENT


def test_range_that_the_server_refuses_starts_anew(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.append(Mirror("break", "416", "whole"))
    assert download(remote(mirrors[0]), tmp_path / "slide.svs", settings=QUICK).read_bytes() == CONTENT
    assert mirrors[0].ranges == [None, "bytes=50000-", None]


def test_progress_ends_with_all_bytes(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.append(Mirror("whole"))
    steps: list[tuple[int, int]] = []
    download(
        remote(mirrors[0]),
        tmp_path / "slide.svs",
        settings=QUICK,
        progress=lambda done, whole: steps.append((done, whole)),
    )
    assert steps[-1] == (len(CONTENT), len(CONTENT))


def test_without_a_network_one_line_says_where_to_get_the_file_and_where_to_put_it(tmp_path: Path) -> None:
    mirror = Mirror("whole")
    mirror.close()
    target = tmp_path / "slide.svs"
    with pytest.raises(DownloadError) as error:
        download(remote(mirror), target, settings=QUICK)
    said = str(error.value)
    assert mirror.url in said
    assert str(target) in said
    assert "\n" not in said


def test_address_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = RemoteFile(name="a", urls=("file:///etc/hostname",), sha256=SHA256, size_bytes=3)
    with pytest.raises(DownloadError, match="neither http nor https"):
        download(file, tmp_path / "a")


def test_file_without_an_address_says_so(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="no address is known"):
        download(RemoteFile(name="a", urls=(), sha256=SHA256, size_bytes=3), tmp_path / "a")


def test_folder_that_cant_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="can't be written"):
        download(remote(), tmp_path / "file" / "slide.svs")


def test_file_without_a_stated_checksum_is_taken_when_it_is_whole(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.append(Mirror("break", "whole"))
    (tmp_path / ".slide.svs.part").write_bytes(b"of another version")
    file = RemoteFile(name="slide.svs", urls=(mirrors[0].url,))
    assert download(file, tmp_path / "slide.svs", settings=QUICK).read_bytes() == CONTENT
    assert mirrors[0].ranges == [None, "bytes=50000-"]


def unstated(mirror: Mirror) -> RemoteFile:
    """Return a file whose publisher states neither size nor checksum."""
    return RemoteFile(name="slide.svs", urls=(mirror.url,))


def test_first_download_records_size_and_sha256_that_hold_from_then_on(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.append(Mirror("whole", "wrong", "whole"))
    target = download(unstated(mirrors[0]), tmp_path / "slide.svs", settings=QUICK)
    record = json.loads(record_path(target).read_text())
    assert record == {"source": mirrors[0].url, "size_bytes": len(CONTENT), "sha256": SHA256}
    download(unstated(mirrors[0]), target, settings=QUICK)
    assert len(mirrors[0].ranges) == 1
    target.write_bytes(b"damaged on disk")
    assert download(unstated(mirrors[0]), target, settings=QUICK).read_bytes() == CONTENT
    assert len(mirrors[0].ranges) == 3


def test_content_other_than_the_first_downloads_is_refused(tmp_path: Path, mirrors: list[Mirror]) -> None:
    mirrors.append(Mirror("whole", "wrong"))
    target = download(unstated(mirrors[0]), tmp_path / "slide.svs", settings=QUICK)
    target.unlink()
    with pytest.raises(DownloadError, match=rf"{SHA256}.*remove that if its publisher changed it"):
        download(unstated(mirrors[0]), target, settings=QUICK)
    assert not target.exists()


def test_next_call_goes_on_by_the_servers_version_where_nobody_states_a_checksum(
    tmp_path: Path, mirrors: list[Mirror]
) -> None:
    mirrors.append(Mirror("break", "whole", version='"one"'))
    with pytest.raises(DownloadError):
        download(unstated(mirrors[0]), tmp_path / "slide.svs", settings=DownloadSettings(attempts=1))
    assert download(unstated(mirrors[0]), tmp_path / "slide.svs", settings=QUICK).read_bytes() == CONTENT
    assert mirrors[0].ranges == [None, "bytes=50000-"]
    assert sorted(path.name for path in tmp_path.iterdir() if "lock" not in path.name) == [
        "slide.svs",
        "slide.svs.json",
    ]


@pytest.mark.parametrize(("before", "after"), [('"one"', '"two"'), ('W/"one"', 'W/"one"'), (None, None)])
def test_another_or_no_version_is_sent_from_the_start(
    tmp_path: Path, mirrors: list[Mirror], before: str | None, after: str | None
) -> None:
    mirrors.append(Mirror("break", "whole", version=before))
    with pytest.raises(DownloadError):
        download(unstated(mirrors[0]), tmp_path / "slide.svs", settings=DownloadSettings(attempts=1))
    mirrors[0].version = after
    assert download(unstated(mirrors[0]), tmp_path / "slide.svs", settings=QUICK).read_bytes() == CONTENT


def test_file_that_was_put_there_by_hand_is_taken_and_recorded(tmp_path: Path) -> None:
    target = tmp_path / "slide.svs"
    target.write_bytes(CONTENT)
    download(RemoteFile(name="slide.svs", urls=("http://127.0.0.1:9/slide.svs",)), target, settings=QUICK)
    assert json.loads(record_path(target).read_text())["sha256"] == SHA256


def test_damaged_record_is_made_anew(tmp_path: Path) -> None:
    target = tmp_path / "slide.svs"
    target.write_bytes(CONTENT)
    record_path(target).write_text("{")
    download(RemoteFile(name="slide.svs", urls=()), target, settings=QUICK)
    assert json.loads(record_path(target).read_text())["sha256"] == SHA256


def test_checksum_of_a_missing_file_is_wrong(tmp_path: Path) -> None:
    assert not has_checksum(tmp_path / "nothing", SHA256)
