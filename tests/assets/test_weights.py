from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest

from nucleate.assets.downloads import DownloadSettings, RemoteFile, download
from nucleate.assets.weights import (
    PUBLISHED_WEIGHTS,
    PublishedWeights,
    find_weights,
    published_weights,
    recognised_weights,
)
from nucleate.errors import ConfigError, DownloadError
from tests.assets.test_downloads import CONTENT, Mirror

_ZOO_FILE = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl"


def test_a_file_is_itself(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    path.write_bytes(b"x")
    assert find_weights(str(path)) == path


def test_an_unknown_name_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="mask_rcnn_R_50_FPN_3x"):
        find_weights("mask_rcnn_R_500")


def test_offline_the_line_says_where_to_get_the_file_and_where_to_put_it(tmp_path: Path) -> None:
    unreachable = RemoteFile(name="model.pkl", urls=("http://127.0.0.1:9/model.pkl",))
    published = (
        PublishedWeights(
            name="zoo", file=unreachable, licence="CC BY-SA 3.0", commercial_use=True, learned_from="COCO"
        ),
    )
    quick = DownloadSettings(attempts=1, timeout_s=1.0)
    with pytest.raises(DownloadError) as caught:
        find_weights("zoo", cache=tmp_path, published=published, settings=quick)
    assert "http://127.0.0.1:9/model.pkl" in str(caught.value)
    assert str(tmp_path / "weights" / "model.pkl") in str(caught.value)


def test_every_published_file_names_its_licence() -> None:
    assert all(weights.licence for weights in PUBLISHED_WEIGHTS)


@pytest.mark.parametrize(
    "name",
    [
        "mask_rcnn_R_50_FPN_3x",
        f"https://dl.fbaipublicfiles.com/detectron2/{_ZOO_FILE}",
        f"detectron2://{_ZOO_FILE}",
    ],
)
def test_a_name_and_both_forms_of_its_address_are_one_file(name: str) -> None:
    weights = published_weights(name)
    assert weights is not None
    assert weights.name == "mask_rcnn_R_50_FPN_3x"


def test_the_zoos_backbone_is_known_by_the_address_in_its_recipes() -> None:
    weights = published_weights("detectron2://ImageNetPretrained/MSRA/R-50.pkl")
    assert weights is not None
    assert weights.name == "imagenet-msra-R-50"


def test_names_and_files_are_used_once() -> None:
    assert len({weights.name for weights in PUBLISHED_WEIGHTS}) == len(PUBLISHED_WEIGHTS)
    assert len({weights.file.name for weights in PUBLISHED_WEIGHTS}) == len(PUBLISHED_WEIGHTS)


def test_a_strange_address_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="get the file and give its path") as caught:
        find_weights("https://example.org/model.pkl")
    assert "\n" not in str(caught.value)


def test_a_zoo_name_is_fetched_once_with_its_licence_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mirror = Mirror("whole", version='"one"')
    published = (
        PublishedWeights(
            name="zoo",
            file=RemoteFile(name="zoo.pkl", urls=(mirror.url,)),
            licence="CC BY-SA 3.0",
            commercial_use=True,
            learned_from="COCO",
        ),
    )
    try:
        with caplog.at_level(logging.INFO):
            found = [find_weights(name, cache=tmp_path, published=published) for name in ("zoo", mirror.url)]
    finally:
        mirror.close()
    assert found == [tmp_path / "weights" / "zoo.pkl"] * 2
    assert found[0].read_bytes() == CONTENT
    assert len(mirror.ranges) == 1
    assert "zoo: licence CC BY-SA 3.0" in caplog.messages
    assert any("sha256" in message and "recorded" in message for message in caplog.messages)


def test_a_copy_is_recognised_by_its_file_name_and_only_where_it_is(tmp_path: Path) -> None:
    copy = tmp_path / "resnet50-11ad3fa6.pth"
    assert recognised_weights(str(copy)) is None
    copy.write_bytes(b"x")
    weights = recognised_weights(str(copy))
    assert weights is not None
    assert weights.name == "torchvision-resnet50-v2"
    assert weights.config["INPUT.FORMAT"] == "RGB"


def test_the_first_digits_of_a_checksum_are_checked_where_a_publisher_states_no_more(tmp_path: Path) -> None:
    digits = hashlib.sha256(CONTENT).hexdigest()[:8]
    for stated, is_right in ((digits, True), ("0" * 8, False)):
        mirror = Mirror("whole", version='"one"')
        file = RemoteFile(name=f"{stated}.pth", urls=(mirror.url,), sha256=stated)
        quick = DownloadSettings(attempts=1, timeout_s=5.0)
        try:
            if is_right:
                assert download(file, tmp_path / file.name, settings=quick).read_bytes() == CONTENT
            else:
                with pytest.raises(DownloadError, match="other content than expected"):
                    download(file, tmp_path / file.name, settings=quick)
        finally:
            mirror.close()
