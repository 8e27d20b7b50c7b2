"""Are maps resized, and masks put into their boxes, as torch does it?"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rapidnet.models.detection_overrides import paste_masks as paste_by_torch
from rapidnet.runtimes.resample import paste_masks, resize_bilinear


@pytest.mark.parametrize("size", [(7, 9), (14, 18), (33, 5), (3, 2), (1, 1), (20, 20)])
@pytest.mark.parametrize("source", [(7, 9), (1, 4)])
def test_as_torch_does(source: tuple[int, int], size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).normal(size=(3, *source)).astype(np.float32) * 3
    expected = F.interpolate(torch.from_numpy(maps)[None], size, mode="bilinear", align_corners=False)[0].numpy()
    assert np.abs(resize_bilinear(maps, *size) - expected).max() < 1e-5
    corners = F.interpolate(torch.from_numpy(maps)[None], size, mode="bilinear", align_corners=True)[0].numpy()
    if size == (14, 18) and source == (7, 9):
        assert np.abs(resize_bilinear(maps, *size) - corners).max() > 0.1, "the other convention is another map"


def test_masks_lie_where_torch_puts_them() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((4, 14, 14)).astype(np.float32)
    boxes = np.array([[3.2, 4.7, 30.1, 20.9], [-5, -3, 12, 50], [39.5, 0, 60, 40], [10, 10, 10.4, 10.4]], np.float32)
    expected = paste_by_torch(torch.from_numpy(masks)[:, None], torch.from_numpy(boxes), (40, 50))[:, 0].numpy()
    found = paste_masks(masks, boxes, (40, 50))
    assert np.abs(found - expected).max() < 1e-4 and expected.any((1, 2))[:3].all()
    # A box half a pixel away has its mask elsewhere.
    assert np.abs(paste_masks(masks, boxes + 0.5, (40, 50)) - expected).max() > 0.1
