from __future__ import annotations

import numpy as np
import shapely

from nucleate.core import NucleiColumns
from nucleate.export.slide import ExportedNuclei


def assert_same_nuclei(read: ExportedNuclei, written: NucleiColumns, *, measured: bool = True) -> None:
    """Fail unless numbers, classes, scores, areas, outlines and (where kept) measurements came back."""
    found = read.nuclei
    np.testing.assert_array_equal(found.numbers, written.numbers)
    np.testing.assert_array_equal(found.scores, written.scores)
    np.testing.assert_array_equal(found.areas_px, written.areas_px)
    names = [read.class_names[index] for index in found.class_indices]
    assert names == [("nucleus", "lymphocyte")[index] for index in written.class_indices]
    assert shapely.equals(found.outlines(), written.outlines()).all()
    np.testing.assert_allclose(found.centroids_xy, written.centroids_xy)
    np.testing.assert_array_equal(found.boxes_xyxy, written.boxes_xyxy)
    if measured:
        assert found.measurement_names == written.measurement_names
        np.testing.assert_array_equal(found.measurements.astype(np.float32), written.measurements.astype(np.float32))
