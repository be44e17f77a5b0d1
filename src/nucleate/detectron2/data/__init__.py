"""Registered data sets, what is known of them, and the loader of tests."""

from __future__ import annotations

from nucleate.detectron2.data.catalog import DatasetCatalog, Metadata, MetadataCatalog
from nucleate.detectron2.data.loading import DatasetMapper, build_detection_test_loader

__all__ = ["DatasetCatalog", "DatasetMapper", "Metadata", "MetadataCatalog", "build_detection_test_loader"]
