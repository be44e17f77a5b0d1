"""Pickles of numpy arrays, read without running what a pickle may ask for."""

from __future__ import annotations

import codecs
import pickle
from collections import OrderedDict
from typing import Any, BinaryIO

import numpy as np

from nucleate.errors import DataError

_RECONSTRUCT = np.zeros(0).__reduce__()[0]
"""numpy's own function that rebuilds an array, whatever this version's module is called."""
_SCALAR = np.float64(0).__reduce__()[0]
"""The same for a single number."""
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): codecs.encode,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy.core.multiarray", "scalar"): _SCALAR,
    ("numpy._core.multiarray", "scalar"): _SCALAR,
}
_BROKEN = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


class _ArrayUnpickler(pickle.Unpickler):
    """Finds only what rebuilds numpy arrays; anything else is refused before it is imported."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            raise DataError(
                f"not read: the pickle asks for {module_name}.{global_name}, only numpy arrays are allowed"
            ) from None


def load_array_pickle(file: BinaryIO) -> Any:
    """Return a pickle's dicts, lists, numbers, text and numpy arrays.

    Args:
        file: at the pickle's start, of any pickle protocol, written by numpy 1 or 2 and by Python 2 or 3.

    Raises:
        DataError: the pickle asks for anything else, or is broken.
        OSError: the file can't be read.
    """
    try:
        return _ArrayUnpickler(file, encoding="latin1").load()
    except _BROKEN as error:
        raise DataError(f"is no readable pickle ({type(error).__name__})") from error
