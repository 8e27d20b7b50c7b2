"""Are a branch's share, likeness and loss what they are by a second calculation?"""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from conftest import randomize
from rapidnet.explain.branches import BranchSums, compare_logits, count_passes, find_blocks, measure_branches
from rapidnet.models.rapidnet import RapidNet


def build() -> RapidNet:
    model = RapidNet(num_classes=5, channels=(8, 8, 8, 8), depths=(1, 1, 1, 1), mldc_depths=(0, 0, 1, 1), head_width=16)
    randomize(model, 3)
    return model


def scale(images: Tensor) -> Tensor:
    return images.float() / 128 - 1


PIXELS = np.random.default_rng(0).integers(0, 256, (12, 3, 64, 64), dtype=np.uint8)
LABELS = np.arange(12) % 5


def test_sums_over_batches_are_those_of_all_at_once() -> None:
    rng = np.random.default_rng(1)
    outputs = rng.normal(1, 2, (3, 10, 4, 6, 6))
    outputs[1] = 0.5 * outputs[0] + outputs[1]
    sums = BranchSums()
    for start in (0, 3):
        sums.update([torch.from_numpy(branch[start : start + (3 if not start else 7)]) for branch in outputs])
    shares, variances, alike = sums.describe()
    lengths = np.linalg.norm(outputs.reshape(3, 10, -1), axis=2)
    np.testing.assert_allclose(shares, 100 * (lengths / lengths.sum(0)).mean(1))
    np.testing.assert_allclose(sums.means, outputs.mean((1, 3, 4)))
    centred = outputs - outputs.mean((1, 3, 4), keepdims=True)
    np.testing.assert_allclose(variances, 100 * (centred**2).mean((1, 2, 3, 4)) / (centred**2).mean((1, 2, 3, 4)).sum())
    for number in range(3):
        others = centred[[i for i in range(3) if i != number]].sum(0)
        expected = np.corrcoef(centred[number].ravel(), others.ravel())[0, 1]
        assert alike[number] == pytest.approx(expected, abs=1e-9)


def test_equal_branches_are_alike_and_a_single_one_has_no_others() -> None:
    same = torch.randn(4, 3, 5, 5)
    sums = BranchSums()
    sums.update([same, same])
    shares, _, alike = sums.describe()
    assert shares == pytest.approx([50, 50]) and alike == pytest.approx([1, 1])
    alone = BranchSums()
    alone.update([same])
    assert alone.describe()[2] == [None]


def test_a_branch_replaced_is_a_network_rebuilt() -> None:
    """Its convolution put to zero, so that it gives one value everywhere, is put in its place by hand."""
    model = build()
    facts = measure_branches(model, scale, PIXELS, LABELS, 5)
    assert [block["block"] for block in facts["blocks"]] == ["stages.2.2.mixer", "stages.3.2.mixer"]
    assert [line["dilation"] for line in facts["blocks"][0]["branches"]] == [2, 3]
    assert count_passes(model) == 8
    block = find_blocks(model)["stages.2.2.mixer"]
    images = scale(torch.from_numpy(PIXELS))
    with torch.inference_mode():
        kept: list[Tensor] = []
        handle = block.branches[1].register_forward_hook(lambda module, _, output: kept.append(output))
        before = model(images).numpy()
        handle.remove()
        mean = kept[0].mean((0, 2, 3))
    branch = block.branches[1]
    branch.act = torch.nn.Identity()
    branch.bn = torch.nn.Identity()
    with torch.no_grad():
        branch.conv.weight.zero_()
        branch.conv.bias.copy_(mean)
    with torch.inference_mode():
        after = model(images).numpy()
    by_hand = compare_logits(after, before, LABELS)
    line = facts["blocks"][0]["branches"][1]
    assert by_hand["logit_change"] > 0.1, "the control: it does change something"
    assert line["logit_change"] == pytest.approx(by_hand["logit_change"], rel=1e-3)
    assert line["top1"] == by_hand["top1"] and facts["top1"] == 100 * (before.argmax(1) == LABELS).mean()


def test_a_branch_that_is_its_mean_already_is_not_missed() -> None:
    model = build()
    branch = find_blocks(model)["stages.3.2.mixer"].branches[0]
    with torch.no_grad():
        branch.conv.weight.zero_()
    facts = measure_branches(model, scale, PIXELS, LABELS, 5)["blocks"][1]
    dead, live = facts["branches"]
    assert dead["logit_change"] == pytest.approx(0, abs=1e-4) and dead["difference"] == 0
    assert dead["variance_share"] == pytest.approx(0, abs=1e-6) and dead["correlation"] is None
    assert live["logit_change"] == pytest.approx(facts["all"]["logit_change"], rel=1e-4) and live["logit_change"] > 0.01


def test_nothing_is_left_behind(finished_run: Path) -> None:
    model = build()
    images = scale(torch.from_numpy(PIXELS))
    with torch.inference_mode():
        before = model(images)
        measure_branches(model, scale, PIXELS, LABELS, 5)
        assert torch.equal(model(images), before)
    assert not any(module._forward_hooks for module in model.modules())
