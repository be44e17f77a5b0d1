"""Typed reading of single values of a `DetectronConfig`."""

from __future__ import annotations

from nucleate.errors import ConfigError
from nucleate.models.detectron2_config import DetectronConfig


def integer(config: DetectronConfig, key: str, *, minimum: int) -> int:
    """Return an integer setting of at least `minimum`.

    Raises:
        ConfigError: it is no integer or too small.
    """
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ConfigError(f"must be an integer of at least {minimum}, not {value!r}", item=key)
    return value


def number(config: DetectronConfig, key: str) -> float:
    """Return a number that is not negative.

    Raises:
        ConfigError: it is no number, or negative.
    """
    value = config.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"must be a number of at least 0, not {value!r}", item=key)
    return float(value)


def text(config: DetectronConfig, key: str) -> str:
    """Return a text setting.

    Raises:
        ConfigError: it is no text.
    """
    value = config.get(key)
    if not isinstance(value, str):
        raise ConfigError(f"must be text, not {value!r}", item=key)
    return value


def flag(config: DetectronConfig, key: str) -> bool:
    """Return a setting that is true or false.

    Raises:
        ConfigError: it is neither.
    """
    value = config.get(key)
    if not isinstance(value, bool):
        raise ConfigError(f"must be true or false, not {value!r}", item=key)
    return value


def numbers(config: DetectronConfig, key: str) -> tuple[float, ...]:
    """Return a list of numbers.

    Raises:
        ConfigError: it is no such list.
    """
    value = config.get(key)
    entries = value if isinstance(value, tuple) else (None,)
    result = tuple(float(entry) for entry in entries if isinstance(entry, int | float))
    if len(result) != len(entries):
        raise ConfigError(f"must be a list of numbers, not {value!r}", item=key)
    return result


def rows_of_numbers(config: DetectronConfig, key: str, *, count: int) -> tuple[tuple[float, ...], ...]:
    """Return `count` lists of positive numbers, one for each pyramid level; a single list serves them all.

    Raises:
        ConfigError: the number of lists is neither 1 nor `count`, or one is empty or holds something else.
    """
    value = config.get(key)
    rows = value if isinstance(value, tuple) else ()
    rows = rows * count if len(rows) == 1 else rows
    if len(rows) != count:
        raise ConfigError(f"needs one list for each of {count} levels or one for all, not {len(rows)}", item=key)
    result = []
    for row in rows:
        entries = row if isinstance(row, tuple) else ()
        positive = tuple(float(entry) for entry in entries if isinstance(entry, int | float) and entry > 0)
        if not positive or len(positive) != len(entries):
            raise ConfigError(f"needs lists of positive numbers, not {row!r}", item=key)
        result.append(positive)
    return tuple(result)
