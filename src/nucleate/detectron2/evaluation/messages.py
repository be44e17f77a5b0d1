"""Results as the `copypaste:` lines that spreadsheets take."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from nucleate.evaluation.detectron2_text import copypaste_messages


def print_csv_format(results: Mapping[str, Any]) -> None:
    """Log results as `copypaste:` lines, three a task.

    Args:
        results: task -> name -> percent, as `inference_on_dataset` returns them.
    """
    scores = {task: each for task, each in results.items() if isinstance(each, Mapping)}
    for name, message in copypaste_messages(scores):
        logging.getLogger(f"nucleate.{name}").info("%s", message)
