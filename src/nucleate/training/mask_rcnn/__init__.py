"""Training of the Mask R-CNN: Detectron2's keys, its mapper or ours, its solver."""
