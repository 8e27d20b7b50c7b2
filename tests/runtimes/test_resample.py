"""Are maps resized as torch resizes them?"""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rapidnet.runtimes.resample import resize_bilinear


@pytest.mark.parametrize("size", [(7, 9), (14, 18), (33, 5), (3, 2), (1, 1), (20, 20)])
@pytest.mark.parametrize("source", [(7, 9), (1, 4)])
def test_as_torch_does(source: tuple[int, int], size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).normal(size=(3, *source)).astype(np.float32) * 3
    expected = F.interpolate(torch.from_numpy(maps)[None], size, mode="bilinear", align_corners=False)[0].numpy()
    assert np.abs(resize_bilinear(maps, *size) - expected).max() < 1e-5
    corners = F.interpolate(torch.from_numpy(maps)[None], size, mode="bilinear", align_corners=True)[0].numpy()
    if size == (14, 18) and source == (7, 9):
        assert np.abs(resize_bilinear(maps, *size) - corners).max() > 0.1, "the other convention is another map"
