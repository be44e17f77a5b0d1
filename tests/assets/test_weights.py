from __future__ import annotations

from pathlib import Path

import pytest

from nucleate.assets.downloads import DownloadSettings, RemoteFile
from nucleate.assets.weights import PUBLISHED_WEIGHTS, PublishedWeights, find_weights
from nucleate.errors import ConfigError, DownloadError


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
