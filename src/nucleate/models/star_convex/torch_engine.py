"""The star-convex network run by torch, on any device."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nucleate.models.star_convex.decoding import DenseMaps
from nucleate.models.star_convex.network import StarConvexNetwork

_FINGERPRINT_CHARACTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchEngine:
    """A network in `eval()` mode on its own device.

    Attributes:
        network: the network.
    """

    network: StarConvexNetwork

    @property
    def fingerprint(self) -> str:
        """Return 16 hexadecimal digits over every tensor, the same on every device."""
        digest = hashlib.sha256()
        for name, tensor in self.network.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:_FINGERPRINT_CHARACTERS]

    @torch.inference_mode()
    def run(self, images_rgb: NDArray[np.uint8]) -> list[DenseMaps]:
        """Return the maps of (N, H, W, 3) images whose sides are multiples of 32."""
        device = next(self.network.parameters()).device
        images = torch.from_numpy(np.ascontiguousarray(images_rgb.transpose(0, 3, 1, 2))).to(device)
        maps = self.network(images.float())
        depth, inside, quality = (
            each.float().sigmoid().cpu().numpy() for each in (maps.depth, maps.inside, maps.quality)
        )
        distances = maps.log_distances.float().cpu().numpy()
        return [
            DenseMaps(depth=depth[i], inside=inside[i], quality=quality[i], log_distances=distances[i])
            for i in range(len(images))
        ]
