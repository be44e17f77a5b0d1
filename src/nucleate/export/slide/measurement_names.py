"""Our measurements under the names that QuPath gives its own, and back."""

from __future__ import annotations

# QuPath's cell detection and shape features write these; the values are ours (docs/exports.md says how they differ).
QUPATH_NAMES = {
    "area_um2": "Nucleus: Area µm^2",
    "perimeter_um": "Nucleus: Length µm",
    "major_axis_um": "Nucleus: Max diameter µm",
    "minor_axis_um": "Nucleus: Min diameter µm",
    "eccentricity": "Nucleus: Eccentricity",
    "solidity": "Nucleus: Solidity",
    "circularity": "Nucleus: Circularity",
    "haematoxylin_od_mean": "Nucleus: Hematoxylin OD mean",
    "haematoxylin_od_sd": "Nucleus: Hematoxylin OD std dev",
    "eosin_od_mean": "Nucleus: Eosin OD mean",
    "eosin_od_sd": "Nucleus: Eosin OD std dev",
    "ring_haematoxylin_od_mean": "Ring: Hematoxylin OD mean",
    "ring_haematoxylin_od_sd": "Ring: Hematoxylin OD std dev",
    "ring_eosin_od_mean": "Ring: Eosin OD mean",
    "ring_eosin_od_sd": "Ring: Eosin OD std dev",
}
CELL_AREA = "Cell: Area µm^2"
NUCLEUS_SHARE = "Nucleus/Cell area ratio"
_OUR_NAMES = {qupath: ours for ours, qupath in QUPATH_NAMES.items()}


def qupath_name(measurement: str) -> str:
    """Return QuPath's name of a measurement; unknown ones keep theirs."""
    return QUPATH_NAMES.get(measurement, measurement)


def our_name(measurement: str) -> str:
    """Return the table's name of a measurement in QuPath."""
    return _OUR_NAMES.get(measurement, measurement)
