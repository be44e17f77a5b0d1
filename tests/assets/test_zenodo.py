from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from nucleate.assets import DownloadSettings, read_record, zenodo
from nucleate.assets.zenodo import parse_record
from nucleate.errors import DataError, DownloadError
from tests.assets.publisher import Publisher

QUICK = DownloadSettings(attempts=3, timeout_s=5.0, wait_s=0.0)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher()
    yield made
    made.close()


def entry(**changed: Any) -> dict[str, Any]:
    links = {"self": "https://zenodo.org/api/records/1/files/a.zip/content"}
    return {"key": "a.zip", "size": 3, "checksum": f"md5:{'0' * 32}", "links": links, **changed}


def record(**changed: Any) -> dict[str, Any]:
    return {"metadata": {"title": "Set"}, "files": [entry(**changed)]}


def test_a_record_tells_licence_citation_sizes_and_md5(publisher: Publisher) -> None:
    found = read_record(publisher.publish(7, {"b.zip": b"bb", "a.csv": b"a"}), settings=QUICK)
    assert (found.licence, found.doi) == ("cc-by-4.0", "10.5281/zenodo.7")
    assert found.citation == "Doe, Jane, Drawn nuclei, doi:10.5281/zenodo.7"
    assert [(file.name, file.size_bytes) for file in found.files] == [("a.csv", 1), ("b.zip", 2)]
    assert str(found.files[1].checksum) == "md5 21ad0bd836b90d08f4cf640b4c298e7c"


def test_many_creators_are_named_by_the_first_three() -> None:
    value = record()
    value["metadata"]["creators"] = [{"name": str(number)} for number in range(5)]
    assert parse_record(value).citation == "0; 1; 2 and others, Set"


@pytest.mark.parametrize("key", ["../a.zip", "a/b.zip", "..\\a.zip", "/a", "..", "", 3])
def test_a_file_name_that_leads_elsewhere_is_refused(key: object) -> None:
    with pytest.raises(DataError, match="out of the folder"):
        parse_record(record(key=key))


@pytest.mark.parametrize("changed", [{"checksum": "sha1:00"}, {"checksum": "md5:../.."}, {"size": None}, {"size": -1}])
def test_a_file_without_checksum_or_size_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="without an md5 and a size"):
        parse_record(record(**changed))


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b'{"metadata": {}, "files": [{}]}', b"[" * 100_000])
def test_what_is_no_record_is_refused(publisher: Publisher, answer: bytes) -> None:
    publisher.contents["/api/7"] = answer
    with pytest.raises(DataError, match="no record of Zenodo"):
        read_record(f"{publisher.url}/api/7", settings=QUICK)


def test_an_unsafe_record_is_refused_with_its_address(publisher: Publisher) -> None:
    url = publisher.publish(7, {"../a.zip": b"a"})
    with pytest.raises(DataError, match=r"api/7: '\.\./a\.zip': a file's name leads out"):
        read_record(url, settings=QUICK)


def test_passing_trouble_is_tried_again_and_a_missing_record_is_not(publisher: Publisher) -> None:
    url = publisher.publish(7, {"a.zip": b"a"})
    publisher.faults["/api/7"] = ["503", "429"]
    assert read_record(url, settings=QUICK).title == "Drawn nuclei"
    publisher.asked.clear()
    with pytest.raises(DownloadError, match="404"):
        read_record(f"{publisher.url}/api/8", settings=QUICK)
    assert len(publisher.asked) == 1
    publisher.faults["/api/7"] = ["500"] * 3
    with pytest.raises(DownloadError, match="500"):
        read_record(url, settings=QUICK)


def test_an_endless_answer_and_other_schemes_are_refused(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zenodo, "MOST_RECORD_BYTES", 10)
    with pytest.raises(DownloadError, match="more than 10 bytes"):
        read_record(publisher.publish(7, {}), settings=QUICK)
    with pytest.raises(DownloadError, match="neither http nor https"):
        read_record("file:///etc/hostname", settings=QUICK)


def test_nobody_there_is_a_download_error() -> None:
    with pytest.raises(DownloadError, match="refused"):
        read_record("http://127.0.0.1:9/api/1", settings=QUICK)
