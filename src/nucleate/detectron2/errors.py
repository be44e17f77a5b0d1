"""This package's one-line errors that are also what Detectron2 raises, for code that catches those."""

from __future__ import annotations

from nucleate.errors import ConfigError, DataError


class UnknownKeyError(ConfigError, KeyError):
    """A configuration file or list names a key that there is not."""


class UnknownAttributeError(ConfigError, AttributeError):
    """An attribute that a configuration, a metadata or an `Instances` does not have, or that can't be set."""


class ValueTypeError(ConfigError, ValueError):
    """A configuration value of another type than the key's."""


class UnknownDatasetError(DataError, KeyError):
    """A data set's name that nobody registered."""


class AlreadyRegisteredError(DataError, AssertionError):
    """A data set's name that is taken."""


class ZooError(ConfigError, RuntimeError):
    """A model of Detectron2's zoo that is not built."""


class NotBuiltError(ConfigError, NotImplementedError):
    """A part of Detectron2 that this package does not have."""
