"""Files from the network: mirrors in order, resumed where the connection broke, whole and checked or not there."""

from __future__ import annotations

import http.client
import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from nucleate.assets.checksums import Checksum, sha256_of
from nucleate.errors import DownloadError
from nucleate.files import write_json

logger = logging.getLogger(__name__)

_BLOCK_BYTES = 2**18
# Worth another try at the same address: too many requests, and the server's own trouble.
_PASSING_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})

ProgressOf = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file on the network.

    Attributes:
        name: for messages.
        urls: mirrors, the first is tried first; http and https.
        sha256: of its content, hexadecimal, or the first digits where its publisher states no more; None where it
            states none: then the length of the first download is checked, and its checksum is recorded beside it and
            holds from then on.
        size_bytes: of its content; None takes what the server says.
        md5: the same where its publisher states this one, as Zenodo does.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None
    size_bytes: int | None = None
    md5: str | None = None

    @property
    def checksum(self) -> Checksum | None:
        """Return what its content is checked by, None where its publisher states nothing."""
        if self.sha256 is not None:
            return Checksum(algorithm="sha256", digest=self.sha256)
        return None if self.md5 is None else Checksum(algorithm="md5", digest=self.md5)

    def is_at(self, path: Path) -> bool:
        """Return whether a path holds the file; any content where its publisher states no checksum."""
        return path.is_file() and (self.checksum is None or self.checksum.fits(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadSettings:
    """How long to try.

    Attributes:
        attempts: a mirror; a broken transfer goes on where it stopped.
        timeout_s: without a byte.
        wait_s: before the second attempt, doubled for each further one.
    """

    attempts: int = 3
    timeout_s: float = 20.0
    wait_s: float = 1.0


DEFAULT_SETTINGS = DownloadSettings()


def record_path(target: Path) -> Path:
    """Return where the size and sha256 of a download without a stated checksum are recorded."""
    return target.with_name(f"{target.name}.json")


def download(
    file: RemoteFile,
    target: Path,
    *,
    settings: DownloadSettings = DEFAULT_SETTINGS,
    progress: ProgressOf | None = None,
) -> Path:
    """Fetch a file unless it is there already.

    What a broken transfer brought stays beside the target and the next call goes on from there.

    Args:
        file: what and where from.
        target: where to; its folder is made.
        settings: attempts and timeouts.
        progress: called with (bytes so far, all bytes or 0 while unknown).

    Returns:
        The target.

    Raises:
        DownloadError: no mirror gave the file; the line says where to get it and where to put it.
    """
    reasons: list[str] = []
    try:
        recorded = _with_record(file, target)
        if recorded.checksum is not None and recorded.is_at(target):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock"), timeout=600):
            # Another process may have fetched it while this one waited.
            file = _with_record(file, target)
            if file.is_at(target):
                if file.checksum is None:
                    _record(target, "put here by hand")
                return target
            part = target.with_name(f".{target.name}.part")
            for url in file.urls:
                reason = _fetch_from(url, file, part, settings, progress)
                if reason is None:
                    part.replace(target)
                    _version_path(part).unlink(missing_ok=True)
                    if file.checksum is None:
                        _record(target, url)
                    return target
                logger.info("%s: %s", url, reason)
                reasons.append(reason)
    except Timeout:
        reasons.append("another process has been fetching it for ten minutes")
    except OSError as error:
        raise DownloadError(f"can't be written: {error.strerror or error}", path=target) from error
    source = file.urls[0] if file.urls else "its publisher"
    reason = reasons[-1] if reasons else "no address is known"
    raise DownloadError(
        f"{file.name} could not be fetched ({reason}): get it from {source} on a machine with a network "
        f"and put it at {target}{_remedy(target)}"
    )


def _with_record(file: RemoteFile, target: Path) -> RemoteFile:
    """Return the file with the size and checksum of its first download, where its publisher states none."""
    if file.checksum is not None:
        return file
    try:
        record = json.loads(record_path(target).read_text(encoding="utf-8"))
        return replace(file, sha256=str(record["sha256"]), size_bytes=int(record["size_bytes"]))
    except FileNotFoundError:
        return file
    except (ValueError, KeyError, TypeError):
        logger.warning("%s is damaged: a new record is made", record_path(target))
        return file


def _record(target: Path, source: str) -> None:
    content = {"source": source, "size_bytes": target.stat().st_size, "sha256": sha256_of(target)}
    write_json(record_path(target), content)
    logger.info("%s: %d bytes, sha256 %s, recorded", target.name, content["size_bytes"], content["sha256"])


def _remedy(target: Path) -> str:
    path = record_path(target)
    return (
        f"; its first download is recorded in {path}: remove that if its publisher changed it" if path.is_file() else ""
    )


def _version_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _fetch_from(
    url: str, file: RemoteFile, part: Path, settings: DownloadSettings, progress: ProgressOf | None
) -> str | None:
    """Bring the part file to the whole file; return why that failed, None when it didn't."""
    if not url.startswith(("http://", "https://")):
        return f"{url} is neither http nor https"
    reason = "no attempt was made"
    if file.checksum is None and not _version_path(part).is_file():
        # Nothing could tell the leftovers of another version of the file.
        part.unlink(missing_ok=True)
    for attempt in range(settings.attempts):
        if attempt:
            time.sleep(settings.wait_s * 2 ** (attempt - 1))
        try:
            whole_bytes = _transfer(url, file, part, settings.timeout_s, progress)
        except urllib.error.HTTPError as error:
            reason = f"the server answers {error.code} {error.reason}"
            error.close()
            if error.code == 416:
                part.unlink(missing_ok=True)
            elif error.code not in _PASSING_STATUS:
                return reason
            continue
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", None) or error or type(error).__name__)
            continue
        size_bytes = part.stat().st_size
        if whole_bytes is not None and size_bytes < whole_bytes:
            reason = f"the transfer broke off after {size_bytes} of {whole_bytes} bytes"
            continue
        if file.is_at(part):
            return None
        # Resuming wrong bytes can't make them right.
        part.unlink()
        reason = f"the server gave other content than expected, {file.checksum}"
    return reason


def _transfer(url: str, file: RemoteFile, part: Path, timeout_s: float, progress: ProgressOf | None) -> int | None:
    """Append to the part file what is missing; return how many bytes the whole file has, None where nobody says."""
    done = part.stat().st_size if part.is_file() else 0
    if file.size_bytes is not None and done >= file.size_bytes:
        # A whole file that was never checked, or leftovers of another one: the checksum decides.
        return file.size_bytes
    headers = {"User-Agent": "nucleate", "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
        if file.checksum is None and _version_path(part).is_file():
            # A server that has another version by now sends all of it.
            headers["If-Range"] = _version_path(part).read_text(encoding="ascii")
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was checked
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - the scheme was checked
        resumed = answer.status == 206 and str(answer.headers.get("Content-Range", "")).startswith(f"bytes {done}-")
        done = done if resumed else 0
        if not resumed:
            _keep_version(part, answer.headers.get("ETag") or answer.headers.get("Last-Modified"))
        length = str(answer.headers.get("Content-Length", ""))
        told_bytes = done + int(length) if length.isdigit() else None
        whole_bytes = told_bytes if file.size_bytes is None else file.size_bytes
        with part.open("ab" if resumed else "wb") as content:
            while block := answer.read(_next_block_bytes(done, file.size_bytes)):
                content.write(block)
                done += len(block)
                if progress is not None:
                    progress(done, whole_bytes or 0)
            content.flush()
            os.fsync(content.fileno())
    return whole_bytes


def _keep_version(part: Path, version: str | None) -> None:
    """Remember which version of the file the part is of; weak tags don't promise equal bytes."""
    if version and version.isascii() and not version.startswith("W/"):
        _version_path(part).write_text(version, encoding="ascii")
    else:
        _version_path(part).unlink(missing_ok=True)


def _next_block_bytes(done: int, size_bytes: int | None) -> int:
    # One byte more than the file has is enough to see that it is another one.
    return _BLOCK_BYTES if size_bytes is None else min(_BLOCK_BYTES, size_bytes + 1 - done)
