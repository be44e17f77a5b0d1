"""Checksums of files, as their publishers state them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_BLOCK_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """A checksum of a file's content.

    Attributes:
        algorithm: md5 is what Zenodo states; it finds damage, not forgery.
        digest: hexadecimal, lower case; its first digits where the publisher states no more.
    """

    algorithm: Literal["sha256", "md5"]
    digest: str

    def fits(self, path: Path) -> bool:
        """Return whether a file's content has it."""
        return _digest(path, self.algorithm).startswith(self.digest)

    def __str__(self) -> str:
        return f"{self.algorithm} {self.digest}"


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's content, hexadecimal."""
    return _digest(path, "sha256")


def has_checksum(path: Path, sha256: str | None) -> bool:
    """Return whether the file is there and its content has the checksum, or begins so; None is any content."""
    return path.is_file() and (sha256 is None or sha256_of(path).startswith(sha256))


def _digest(path: Path, algorithm: Literal["sha256", "md5"]) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as content:
        while block := content.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
