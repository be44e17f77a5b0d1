from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nucleate.core import Frame, Masks
from nucleate.data.audit.facts import NucleiFacts, examine_image
from nucleate.data.audit.findings import AuditedImage, Finding
from nucleate.data.audit.pages import MOST_ITEMS, audit_to_html, statistics_to_html
from nucleate.data.audit.report import Audit
from nucleate.data.audit.statistics import dataset_statistics
from nucleate.data.sources import SourceImage
from nucleate.data.sources.source import stored_mode
from tests.data.sources import box_mask
from tests.synthetic import draw_he

SHAPE = (64, 80)


def audited(name: str, *boxes: tuple[int, int, int, int], seed: int = 0, **changes: Any) -> AuditedImage:
    frame = Frame(height_px=SHAPE[0], width_px=SHAPE[1], mpp=changes.pop("mpp", None))
    masks = Masks.from_full(frame, [box_mask(*box, frame=frame) for box in boxes])
    pixels = draw_he(seed=seed, height_px=SHAPE[0], width_px=SHAPE[1], nuclei=8).image_rgb
    ids = np.array(changes.pop("ids", range(1, len(boxes) + 1)), np.int64)
    image = AuditedImage(
        file_name=name,
        key=f"source/{name}",
        path=Path("/nowhere") / name,
        frame=frame,
        organ=None,
        source="",
        splits=(),
        class_names=("nucleus",) * len(boxes),
        annotations_found=len(boxes),
        facts=examine_image(pixels, masks, ids, mode="RGB, 8 bit"),
        decode=masks.select,
    )
    return replace(image, **changes)


def findings(*images: AuditedImage) -> dict[str, Finding]:
    return {each.what: each for each in Audit.of(images).findings}


def test_identical_images_in_two_splits_are_an_error() -> None:
    found = findings(audited("a.png", splits=("train",)), audited("b.png", splits=("test",)), audited("c.png", seed=1))
    error = found["identical images in different splits"]
    assert (error.level, error.count, error.items) == ("error", 2, ("a.png (train) = b.png (test)",))
    assert "identical images" not in found


def test_identical_images_of_one_split_are_a_warning() -> None:
    found = findings(audited("a.png", splits=("train",)), audited("b.png", splits=("train",)))
    assert found["identical images"].level == "warning"
    assert "pairs of near-identical images" not in found


def test_an_image_in_two_splits_is_an_error() -> None:
    assert findings(audited("a.png", splits=("train", "test")))["images in several splits"].level == "error"


def test_nuclei_are_counted_by_what_they_are() -> None:
    image = audited("a.png", (0, 0, 4, 4), (4, 0, 8, 4), (20, 20, 30, 30), (20, 20, 30, 29), (40, 40, 42, 42))
    found = findings(image, audited("b.png", seed=1))
    assert found["nuclei that touch another"].items == ("a.png: 4",)
    assert found["nuclei that overlap another"].count == 2
    assert found["nuclei annotated twice"].items == ("a.png: nucleus 3 and 4",)
    assert found["crumbs: nuclei under 10 px"].items == ("a.png: nucleus 5 (4 px)",)
    assert found["images without a nucleus, kept"].items == ("b.png",)
    assert "nuclei with holes" not in found


@pytest.mark.parametrize(("ids", "missing"), [((3, 4), 0), ((1, 4), 2), ((7, 5), 1)])
def test_ids_have_gaps_between_the_lowest_and_the_highest(ids: tuple[int, int], missing: int) -> None:
    image = audited("a.png", (0, 0, 9, 9), (20, 20, 30, 30), ids=ids)
    assert image.nuclei.missing_ids == missing


def test_no_nucleus_has_no_missing_id() -> None:
    nuclei: NucleiFacts = audited("a.png").nuclei
    assert nuclei.missing_ids == 0


def test_errors_come_first_and_sizes_are_always_told() -> None:
    images = [audited("a.png", (0, 0, 2, 2), splits=("train",)), audited("b.png", splits=("test",))]
    levels = [each.level for each in Audit.of(images).findings]
    assert levels[0] == "error"
    assert levels == sorted(levels, key=("error", "warning", "note").index)
    assert findings(*images)["sizes of images"].items == ("80 x 64 px: 2",)


def test_the_page_names_so_many_items_and_counts_the_others() -> None:
    left_out = {"image without a <label>": [f"{number}.png" for number in range(MOST_ITEMS + 5)]}
    page = audit_to_html(Audit.of([audited("a.png")], left_out=left_out), title="Audit of a & b")
    assert f"image without a &lt;label&gt;: {MOST_ITEMS + 5}" in page
    assert "and 5 more: audit.json names all" in page
    assert f"{MOST_ITEMS - 1}.png" in page
    assert f"{MOST_ITEMS}.png" not in page


def test_statistics_group_by_organ_else_by_source() -> None:
    images = [audited("a.png", (0, 0, 9, 9), organ="liver"), audited("b.png", organ=None, seed=1)]
    statistics = dataset_statistics(images)
    assert (statistics.grouped_by, [group.name for group in statistics.groups]) == ("organ", ["liver", "not known"])
    of_sources = dataset_statistics([audited("a.png", source="x"), audited("b.png", source="y", seed=1)])
    assert (of_sources.grouped_by, [group.name for group in of_sources.groups]) == ("source", ["x", "y"])
    assert dataset_statistics([audited("a.png")]).groups == ()


def test_sizes_are_of_areas_and_in_um_where_all_images_have_a_scale() -> None:
    images = [audited("a.png", (0, 0, 10, 10), (10, 0, 20, 10), mpp=0.5), audited("b.png", (0, 0, 4, 25), mpp=0.25)]
    overall = dataset_statistics(images).overall
    diameter = 2 * np.sqrt(100 / np.pi)
    assert overall.areas_px.tolist() == [100, 100, 100]
    assert overall.diameters_um is not None
    assert overall.diameters_um.tolist() == pytest.approx([diameter / 2, diameter / 2, diameter / 4])
    assert overall.touching_percent == pytest.approx(200 / 3)
    assert dataset_statistics([images[0], audited("c.png")]).overall.diameters_um is None


def test_stains_of_drawn_tissue_are_near_those_it_was_drawn_with() -> None:
    overall = dataset_statistics([audited(f"{seed}.png", seed=seed) for seed in range(4)]).overall
    assert overall.stain is not None
    drawn = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    assert ((overall.stain.vectors() * drawn).sum(axis=1) > 0.97).all()


def test_statistics_of_glass_without_nuclei_are_a_page() -> None:
    glass = np.full((*SHAPE, 3), 245, np.uint8)
    facts = examine_image(
        glass, Masks.empty(Frame(height_px=64, width_px=80)), np.zeros(0, np.int64), mode="RGB, 8 bit"
    )
    audit = Audit.of([audited("a.png", facts=facts), audited("b.png", facts=facts, organ="lung")])
    statistics = dataset_statistics(audit.images)
    assert statistics.overall.stain is None
    assert statistics.overall.colour is None
    assert np.isnan(statistics.overall.touching_percent)
    assert "<h1>Nothing</h1>" in statistics_to_html(audit, statistics, title="Nothing")


def test_pages_of_an_array_say_its_type(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.zeros((2, 8, 8, 3), np.float32))
    image = SourceImage(key="0", path=tmp_path / "images.npy", annotation=0, page=1)
    assert stored_mode(image) == "array of float32"
