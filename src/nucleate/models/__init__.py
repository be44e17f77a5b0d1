"""Networks and their files; importing this package does not import torch, its torch modules do.

`detectron2_config`: Detectron2's configuration tree (no torch).
`checkpoints`: safe reading of weights. `mask_rcnn`: the Detectron2-exact Mask R-CNN.
"""
