"""Is Grad-CAM that of its formula, and is a network left as it was?"""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rapidnet.errors import UserError
from rapidnet.evaluation.trained import load_trained
from rapidnet.explain import gradcam
from rapidnet.explain.gradcam import find_layer, map_activation

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64), dtype=np.uint8)


def test_the_formula(finished_run: Path) -> None:
    """Channels weighed by the mean gradient of the class's logit, summed, negative parts cut off, scaled."""
    trained = load_trained(finished_run)
    normalize = trained.preprocessing.normalize
    targets = [2, 0, 1]
    found = map_activation(trained.model, normalize, PIXELS, targets, 2, 2)
    assert found.shape == (3, 64, 64) and found.dtype == np.float32
    assert all(parameter.grad is None for parameter in trained.model.parameters())
    drawn = 0
    for number, target in enumerate(targets):
        kept: list[torch.Tensor] = []
        handle = find_layer(trained.model, 2).register_forward_hook(lambda m, _, output, kept=kept: kept.append(output))
        logits = trained.model(normalize(torch.from_numpy(PIXELS[number : number + 1])))
        handle.remove()
        (slope,) = torch.autograd.grad(logits[0, target], kept[0])
        coarse = (slope.mean((2, 3), keepdim=True) * kept[0]).sum(1)[0].clamp_min(0).detach().numpy()
        if not coarse.any():
            assert not found[number].any(), "where nothing speaks for the class the map is empty"
            continue
        drawn += 1
        enlarged = np.asarray(Image.fromarray(coarse).resize((64, 64), Image.Resampling.BILINEAR))
        scaled = (enlarged - enlarged.min()) / np.ptp(enlarged)
        np.testing.assert_allclose(found[number], scaled, atol=0.05)
    assert drawn
    other = map_activation(trained.model, normalize, PIXELS, [0, 1, 2], 2, 2)
    assert np.abs(other - found).max() > 0.3, "the control: another class has another map"


def test_stages_are_counted_from_one(finished_run: Path) -> None:
    model = load_trained(finished_run).model
    stages = model.stages
    assert find_layer(model, 0) is stages[3] and find_layer(model, 1) is stages[0] and find_layer(model, 4) is stages[3]
    with pytest.raises(UserError, match="stage is 5, and the network has 4"):
        find_layer(model, 5)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pytorch_grad_cam", None)
    with pytest.raises(UserError, match=r"rapidnet\[explain\]"):
        gradcam.require_gradcam()
