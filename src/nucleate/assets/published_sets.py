"""Annotated data sets that `nucleate fetch` knows by name: where their publishers keep them, and what they allow."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nucleate.assets.downloads import RemoteFile
from nucleate.errors import ConfigError

ZENODO_PREFIX = "zenodo:"
_ZENODO_API = "https://zenodo.org/api/records"
_ZENODO_PAGE = "https://zenodo.org/records"
_WARWICK = "https://warwick.ac.uk/fac/cross_fac/tia/data"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSet:
    """A data set by its publisher.

    Attributes:
        name: for `fetch`.
        content: what it is, in a few words.
        licence: as its publisher names it, "" where only the record says.
        citation: what a user of it should cite, "" where only the record says.
        page: for people.
        files: as far as they are known without the record, the record's own come before them.
        record_url: of Zenodo's record in JSON, which states licence, sizes and md5; None for another publisher.
        size_bytes: of all files, about; None where only the record says.
    """

    name: str
    content: str
    licence: str
    citation: str
    page: str
    files: tuple[RemoteFile, ...]
    record_url: str | None = None
    size_bytes: int | None = None


def _on_zenodo(record: int, name: str) -> tuple[str, ...]:
    return (f"{_ZENODO_PAGE}/{record}/files/{name}?download=1", f"{_ZENODO_API}/{record}/files/{name}/content")


PUBLISHED_SETS = (
    PublishedSet(
        name="nuinsseg",
        content="665 H&E images of 31 human and mouse organs, over 30,000 nuclei, vague areas, ImageJ regions",
        licence="CC BY 4.0",
        citation="Mahbod et al., NuInsSeg, Scientific Data 2024, doi:10.1038/s41597-024-03117-2",
        page=f"{_ZENODO_PAGE}/10518968",
        record_url=f"{_ZENODO_API}/10518968",
        files=(RemoteFile(name="NuInsSeg.zip", urls=_on_zenodo(10518968, "NuInsSeg.zip"), size_bytes=1_627_427_342),),
        size_bytes=1_627_427_342,
    ),
    PublishedSet(
        name="tnbc",
        content="50 H&E images of triple-negative breast cancer, 11 patients, over 4,000 nuclei",
        licence="CC BY 4.0",
        citation="Naylor et al., IEEE Transactions on Medical Imaging 2018, doi:10.1109/TMI.2018.2865709",
        page=f"{_ZENODO_PAGE}/1175282",
        record_url=f"{_ZENODO_API}/1175282",
        files=(
            RemoteFile(
                name="TNBC_NucleiSegmentation.zip",
                urls=_on_zenodo(1175282, "TNBC_NucleiSegmentation.zip"),
                sha256="da708c3a988f4ad4b9bbb9283b387faf703f0bc0e5e689927306bd27ea13a57f",
            ),
        ),
        size_bytes=25_000_000,
    ),
    PublishedSet(
        name="dsb2018",
        content="670 images of the 2018 Data Science Bowl (stage1_train), fluorescence and stained tissue",
        licence="CC0 1.0",
        citation="Caicedo et al., Nature Methods 2019, doi:10.1038/s41592-019-0612-7; image set BBBC038v1",
        page="https://bbbc.broadinstitute.org/BBBC038",
        files=(
            RemoteFile(
                name="stage1_train.zip", urls=("https://data.broadinstitute.org/bbbc/BBBC038/stage1_train.zip",)
            ),
        ),
        size_bytes=83_000_000,
    ),
    PublishedSet(
        name="pannuke",
        content="7,900 H&E images of 19 tissues in three folds, about 190,000 nuclei in 5 classes",
        licence="CC BY-NC-SA 4.0: no commercial use",
        citation="Gamper et al., PanNuke dataset extension, arXiv:2003.10778",
        page=f"{_WARWICK}/pannuke",
        files=tuple(
            RemoteFile(name=f"fold_{fold}.zip", urls=(f"{_WARWICK}/pannuke/fold_{fold}.zip",), sha256=sha256)
            for fold, sha256 in (
                (1, "6e19ad380300e8ce9480f9ab6a14cc91fa4b6a511609b40e3d70bdf9c881ed0b"),
                (2, "5bc540cc509f64b5f5a274d6e5a245527dbd3e6d3155d43555115c5d54709b07"),
                (3, "c14d372981c42f611ebc80afad01702b89cad8c1b3089daa31931cf5a4b1a39d"),
            )
        ),
        size_bytes=2_000_000_000,
    ),
)


def published_set(name: str) -> PublishedSet:
    """Return a set of the list, or any record of Zenodo as `zenodo:NUMBER`.

    Raises:
        ConfigError: no such name.
    """
    for each in PUBLISHED_SETS:
        if each.name == name:
            return each
    if re.fullmatch(rf"{ZENODO_PREFIX}\d{{1,12}}", name):
        number = name.removeprefix(ZENODO_PREFIX)
        return PublishedSet(
            name=name,
            content=f"record {number} of Zenodo",
            licence="",
            citation="",
            page=f"{_ZENODO_PAGE}/{number}",
            record_url=f"{_ZENODO_API}/{number}",
            files=(),
        )
    known = ", ".join(each.name for each in PUBLISHED_SETS)
    raise ConfigError(f"{name!r} is no published data set: give {known}, or {ZENODO_PREFIX}NUMBER for a Zenodo record")
