"""Is it exactly the released network, and a full timm citizen?"""

import numpy as np
import pytest
import timm
import torch
from timm.models._features import FeatureListNet
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn

import rapidnet
from models.released import PARAMETERS, VARIANTS, fill_image, load_golden, released_checkpoint
from rapidnet.models.checkpoint_keys import convert_checkpoint
from rapidnet.models.rapidnet import MultiLevelDilatedConv, RapidNet

TI = "rapidnet_ti"


def build_released(variant: str) -> RapidNet:
    model = timm.create_model(f"rapidnet_{variant}", dtype=torch.float64)
    model.load_state_dict(convert_checkpoint({"state_dict_ema": released_checkpoint(variant)}, model), strict=True)
    return model.eval()


def relative_error(got: Tensor, expected: np.ndarray) -> float:
    return float(np.abs(got.numpy() - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_the_released_network_before_and_after_folding(variant: str) -> None:
    golden = load_golden(variant)
    model = build_released(variant)
    folded = rapidnet.reparameterize(model)
    for size in (224, 160):
        image = fill_image(size)
        with torch.inference_mode():
            for network in (model, folded):
                assert relative_error(network(image)[:, ::8], golden[f"logits_{size}"]) < 1e-9
                stages = network.forward_intermediates(image, intermediates_only=True)
                means = torch.stack([stage[:, :8].mean((0, 2, 3)) for stage in stages])
                assert relative_error(means, golden[f"feature_mean8_{size}"]) < 1e-9
                assert relative_error(torch.stack([x.std() for x in stages]), golden[f"feature_std_{size}"]) < 1e-9
            hidden = model.forward_head(model.forward_features(image), pre_logits=True)[..., None, None]
            assert relative_error(model.head(hidden)[:, :8, 0, 0], golden[f"head8_{size}"]) < 1e-9
            assert relative_error(model.head_dist(hidden)[:, :8, 0, 0], golden[f"dist_head8_{size}"]) < 1e-9


def test_golden_numbers_notice_a_small_change() -> None:
    golden, image = load_golden("ti")["logits_160"], fill_image(160)
    for option in ({"branch_sum": "before_act"}, {"dilations": (1, 3)}, {"act_layer": "relu"}):
        model = timm.create_model(TI, dtype=torch.float64, **option)
        model.load_state_dict(convert_checkpoint({"state_dict": released_checkpoint("ti")}, model))
        with torch.inference_mode():
            assert relative_error(model.eval()(image)[:, ::8], golden) > 1e-3, option


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameter_counts(variant: str) -> None:
    for both_heads, expected in zip((True, False), PARAMETERS[variant], strict=True):
        model = timm.create_model(f"rapidnet_{variant}", distillation=both_heads)
        assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_arguments_of_the_timm_contract() -> None:
    model = timm.create_model(TI, num_classes=7, in_chans=5, global_pool="max", drop_rate=0.1, act_layer="hard_swish")
    assert model(torch.randn(2, 5, 64, 64)).shape == (2, 7)
    assert any(isinstance(module, nn.Hardswish) for module in model.modules())
    assert not any(isinstance(module, nn.GELU) for module in model.modules())
    assert next(timm.create_model(TI, dtype=torch.bfloat16).parameters()).dtype == torch.bfloat16
    assert next(timm.create_model(TI, device="meta").parameters()).is_meta
    with pytest.raises(TypeError, match="no_such"):
        timm.create_model(TI, no_such=1)
    with pytest.raises(ValueError, match="global_pool"):
        timm.create_model(TI, global_pool="token")
    with pytest.raises(ValueError, match="act_layer"):
        timm.create_model(TI, act_layer="jelu")


def test_features_only() -> None:
    model = timm.create_model(TI, features_only=True, out_indices=(1, 3))
    assert isinstance(model, FeatureListNet)
    assert [tuple(x.shape[1:]) for x in model(torch.randn(1, 3, 64, 96))] == [(64, 8, 12), (224, 2, 3)]
    assert timm.create_model(TI, features_only=True).feature_info.reduction() == [4, 8, 16, 32]


def test_intermediates_and_pruning() -> None:
    model = timm.create_model(TI).eval()
    image = torch.randn(1, 3, 64, 64)
    last, stages = model.forward_intermediates(image)
    assert torch.equal(last, model.forward_features(image))
    assert [x.shape[1] for x in stages] == [32, 64, 112, 224]
    assert len(model.forward_intermediates(image, indices=2, intermediates_only=True)) == 2
    with pytest.raises(ValueError, match="output_fmt"):
        model.forward_intermediates(image, output_fmt="NLC")
    assert model.prune_intermediate_layers([1]) == [1]
    pruned = model.forward_intermediates(image, [1], intermediates_only=True)[0]
    assert torch.equal(pruned, stages[1])
    assert model.num_features == 64
    assert model(image).shape == (1, 64, 8, 8)


def test_heads() -> None:
    model = timm.create_model(TI, num_classes=4)
    head, head_dist = model.get_classifier()
    nn.init.ones_(head.bias)
    image = torch.randn(2, 3, 64, 64)
    model.set_distilled_training(True)
    logits, logits_dist = model.train()(image)
    assert logits.shape == logits_dist.shape == (2, 4)
    assert not torch.equal(logits, logits_dist)
    mean = model.eval()(image)
    hidden = model.forward_head(model.forward_features(image), pre_logits=True)
    assert hidden.shape == (2, model.head_hidden_size)
    expected = (head(hidden[..., None, None]) + head_dist(hidden[..., None, None])).flatten(1) / 2
    torch.testing.assert_close(mean, expected)
    model.reset_classifier(9)
    assert model(image).shape == (2, 9)
    model.reset_classifier(0)
    assert model(image).shape == (2, model.head_hidden_size)
    single = timm.create_model(TI, distillation=False)
    assert isinstance(single.get_classifier(), nn.Conv2d)
    with pytest.raises(ValueError, match="one head"):
        single.set_distilled_training(True)


def test_layer_decay_orders_stem_blocks_head() -> None:
    model = timm.create_model(TI)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    scale = {names[id(p)]: g["lr_scale"] for g in param_groups_layer_decay(model, layer_decay=0.9) for p in g["params"]}
    assert set(scale) == set(names.values())
    order = ["stem.0.conv.weight", "stages.0.0.expand.conv.weight", "stages.1.1.expand.conv.weight"]
    order += ["stages.3.4.ffn.fc1.conv.weight", "head.weight"]
    values = [scale[name] for name in order]
    assert values == sorted(values)
    assert len(set(values)) == len(values)
    assert values[-1] == 1


def test_stochastic_depth_rises_linearly_over_all_blocks() -> None:
    model = timm.create_model(TI, drop_path_rate=0.2)
    rates = []
    for module in model.modules():
        if hasattr(module, "drop_path"):
            rates.append(getattr(module.drop_path, "drop_prob", 0.0))
        if hasattr(module, "drop_path_1"):
            rates.append(module.drop_path_1.drop_prob)
            assert module.drop_path_2.drop_prob == module.drop_path_1.drop_prob
    assert len(rates) == 16
    np.testing.assert_allclose(rates, np.linspace(0, 0.2, 16), atol=1e-7)


def test_grad_checkpointing_changes_nothing() -> None:
    model = timm.create_model(TI, num_classes=3).train()
    image = torch.randn(2, 3, 64, 64)
    model(image)
    expected = torch.autograd.grad(model(image).sum(), model.stem[0].conv.weight)[0]
    model.set_grad_checkpointing()
    torch.testing.assert_close(torch.autograd.grad(model(image).sum(), model.stem[0].conv.weight)[0], expected)


class PlainConv(nn.Module):
    def __init__(self, dim: int, act_layer: str = "gelu") -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


@pytest.mark.parametrize(
    "options",
    [
        {"dilations": (1,)},
        {"dilations": (1, 2, 3)},
        {"branch_sum": "before_act"},
        {"ffn_kernel_size": 3},
        {"ffn_kernel_size": 0},
        {"dw_kernel_size": 5},
        {"dw_kernel_size": 0},
        {"mixer_layer": PlainConv},
        {"mixer_layer": [None, None, PlainConv, None]},
    ],
)
def test_studied_parts_are_arguments(options: dict) -> None:
    released = {name: value.shape for name, value in timm.create_model(TI, num_classes=3).state_dict().items()}
    model = timm.create_model(TI, num_classes=3, **options)
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 3)
    changed = {name: value.shape for name, value in model.state_dict().items()} != released
    assert changed or options == {"branch_sum": "before_act"}


def test_branch_sum_before_and_after_the_activation_differ_as_written() -> None:
    torch.manual_seed(0)
    after = MultiLevelDilatedConv(8).eval()
    before = MultiLevelDilatedConv(8, branch_sum="before_act").eval()
    before.load_state_dict(after.state_dict())
    x = torch.randn(1, 8, 12, 12)
    hidden = after.fc1(after.depthwise(x))
    raw = [branch.bn(branch.conv(hidden)) for branch in after.branches]
    gelu = nn.functional.gelu
    torch.testing.assert_close(after(x), after.fc2(gelu(raw[0]) + gelu(raw[1])))
    torch.testing.assert_close(before(x), after.fc2(gelu(raw[0] + raw[1])))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"dilations": ()}, "dilations"),
        ({"branch_sum": "never"}, "branch_sum"),
        ({"mixer_layer": PlainConv, "dilations": (1,)}, "no effect"),
        ({"mixer_layer": [PlainConv]}, "mixer_layer"),
    ],
)
def test_contradictory_arguments_are_refused(options: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        timm.create_model(TI, **options)
