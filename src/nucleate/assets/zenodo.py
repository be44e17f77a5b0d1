"""A record of Zenodo as its API tells it: licence, citation, and each file with size and md5."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from nucleate.assets.downloads import DEFAULT_SETTINGS, DownloadSettings, RemoteFile
from nucleate.errors import DataError, DownloadError

# The longest record that was seen has some hundred kilobytes.
MOST_RECORD_BYTES = 2**24
_MD5 = re.compile(r"md5:([0-9a-f]{32})")
_NO_FILE_NAMES = frozenset({"", ".", ".."})


@dataclass(frozen=True, slots=True, kw_only=True)
class ZenodoRecord:
    """What a record states.

    Attributes:
        title: of it.
        licence: its identifier, such as `cc-by-4.0`; "" where the record names none.
        doi: "" where it has none.
        creators: names, in order.
        files: all of them, by name.
    """

    title: str
    licence: str
    doi: str
    creators: tuple[str, ...]
    files: tuple[RemoteFile, ...]

    @property
    def citation(self) -> str:
        """Return creators, title and DOI in a line."""
        names = "; ".join(self.creators[:3]) + (" and others" if len(self.creators) > 3 else "")
        return ", ".join(each for each in (names, self.title, f"doi:{self.doi}" if self.doi else "") if each)


def read_record(url: str, *, settings: DownloadSettings = DEFAULT_SETTINGS) -> ZenodoRecord:
    """Return a record from Zenodo's API (https://developers.zenodo.org, records).

    Args:
        url: such as `https://zenodo.org/api/records/10518968`.
        settings: attempts and timeouts.

    Raises:
        DownloadError: nobody answers, or with an error.
        DataError: the answer is no record.
    """
    try:
        return parse_record(json.loads(_answer(url, settings)))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{url}: no record of Zenodo: {error!r}") from error
    except DataError as error:
        raise DataError(f"{url}: {error}") from error


def parse_record(value: Any) -> ZenodoRecord:
    """Return the record of Zenodo's JSON object.

    Raises:
        DataError: a file without a sound name, address or md5.
        KeyError, TypeError, AttributeError: it is no record.
    """
    metadata = value["metadata"]
    licence = metadata.get("license") or {}
    return ZenodoRecord(
        title=str(metadata.get("title", "")),
        licence=str(licence.get("id", "")),
        doi=str(value.get("doi") or metadata.get("doi") or ""),
        creators=tuple(str(each["name"]) for each in metadata.get("creators", ())),
        files=tuple(sorted((_file(each) for each in value["files"]), key=lambda file: file.name)),
    )


def _file(entry: Any) -> RemoteFile:
    name, size_bytes = entry["key"], entry["size"]
    if not isinstance(name, str) or name in _NO_FILE_NAMES or PurePosixPath(name.replace("\\", "/")).name != name:
        raise DataError("a file's name leads out of the folder", item=repr(name))
    md5 = _MD5.fullmatch(str(entry["checksum"]))
    if md5 is None or not isinstance(size_bytes, int) or size_bytes < 0:
        raise DataError("a file without an md5 and a size", item=name)
    return RemoteFile(name=name, urls=(str(entry["links"]["self"]),), size_bytes=size_bytes, md5=md5[1])


def _answer(url: str, settings: DownloadSettings) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url} is neither http nor https")
    request = urllib.request.Request(url, headers={"User-Agent": "nucleate", "Accept": "application/json"})  # noqa: S310
    reason = "no attempt was made"
    for attempt in range(settings.attempts):
        if attempt:
            time.sleep(settings.wait_s * 2 ** (attempt - 1))
        try:
            with urllib.request.urlopen(request, timeout=settings.timeout_s) as answer:  # noqa: S310 - checked above
                content: bytes = answer.read(MOST_RECORD_BYTES + 1)
        except urllib.error.HTTPError as error:
            error.close()
            if 400 <= error.code < 500 and error.code != 429:
                raise DownloadError(f"{url}: the server answers {error.code} {error.reason}") from error
            reason = f"the server answers {error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            reason = str(getattr(error, "reason", None) or error or type(error).__name__)
        else:
            if len(content) > MOST_RECORD_BYTES:
                raise DownloadError(f"{url} answers more than {MOST_RECORD_BYTES} bytes: no record")
            return content
    raise DownloadError(f"{url}: {reason}")
