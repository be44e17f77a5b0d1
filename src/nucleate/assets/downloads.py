"""Files from the network: mirrors in order, resumed where the connection broke, whole and checked or not there."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from nucleate.errors import DownloadError

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
        sha256: of its content, hexadecimal; None where its publisher states none: then only its length is checked.
        size_bytes: of its content; None takes what the server says.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None
    size_bytes: int | None = None


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


def has_checksum(path: Path, sha256: str | None) -> bool:
    """Return whether the file is there and its content has the checksum, None being any content."""
    if not path.is_file():
        return False
    if sha256 is None:
        return True
    digest = hashlib.sha256()
    with path.open("rb") as content:
        while block := content.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest() == sha256


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
    if has_checksum(target, file.sha256):
        return target
    reasons: list[str] = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock"), timeout=600):
            # Another process may have fetched it while this one waited.
            if has_checksum(target, file.sha256):
                return target
            part = target.with_name(f".{target.name}.part")
            for url in file.urls:
                reason = _fetch_from(url, file, part, settings, progress)
                if reason is None:
                    part.replace(target)
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
        f"and put it at {target}"
    )


def _fetch_from(
    url: str, file: RemoteFile, part: Path, settings: DownloadSettings, progress: ProgressOf | None
) -> str | None:
    """Bring the part file to the whole file; return why that failed, None when it didn't."""
    if not url.startswith(("http://", "https://")):
        return f"{url} is neither http nor https"
    reason = "no attempt was made"
    if file.sha256 is None:
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
        if has_checksum(part, file.sha256):
            return None
        # Resuming wrong bytes can't make them right.
        part.unlink()
        reason = "the server gave other content than expected, the sha256 differs"
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
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the scheme was checked
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - the scheme was checked
        resumed = answer.status == 206 and str(answer.headers.get("Content-Range", "")).startswith(f"bytes {done}-")
        done = done if resumed else 0
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


def _next_block_bytes(done: int, size_bytes: int | None) -> int:
    # One byte more than the file has is enough to see that it is another one.
    return _BLOCK_BYTES if size_bytes is None else min(_BLOCK_BYTES, size_bytes + 1 - done)
