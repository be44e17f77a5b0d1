"""Detectron2's `utils`: the logger and the visualiser."""
