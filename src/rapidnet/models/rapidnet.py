"""What is RapidNet? The whole backbone family, registered in timm as rapidnet_ti, _s, _m and _b.

Paper: RapidNet: Multi-Level Dilated Convolution Based Mobile Backbone, WACV 2025, arXiv 2412.10995.
A stem and four stages at strides 4, 8, 16 and 32. Every stage has inverted residual blocks; the last two end in
blocks that mix with multi-level dilated convolutions (MLDC) and a large-kernel feed-forward network. Where the
paper and the released weights disagree, the weights decide: they are loaded strictly (see `checkpoint_keys.py`).
"""

from collections.abc import Callable, Sequence  # noqa: I001  ten lines less, and the file is at its cap
from contextlib import nullcontext
from typing import Any, Literal

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import DropPath, LayerScale2d, LayerType, SelectAdaptivePool2d
from timm.layers import calculate_drop_path_rates, get_act_layer, get_device_dtype, trunc_normal_
from timm.models import build_model_with_cfg, checkpoint_seq, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from rapidnet.models.checkpoint_keys import convert_checkpoint, explain_download, placed_file

__all__ = ["ConvFFN", "ConvNorm", "InvertedResidual", "MultiLevelDilatedConv", "RapidNet", "RapidNetBlock"]

BranchSum = Literal["after_act", "before_act"]
Mixer = str | Callable[..., nn.Module] | None


class ConvNorm(nn.Sequential):
    """Convolution, BatchNorm and, if given, an activation; `same` padding at stride 1."""

    def __init__(
        self, in_chs: int, out_chs: int, kernel_size: int = 1, stride: int = 1, dilation: int = 1, groups: int = 1,
        bias: bool = True, act_layer: LayerType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.conv = nn.Conv2d(in_chs, out_chs, kernel_size, stride, padding, dilation, groups, bias)
        self.bn: nn.Module = nn.BatchNorm2d(out_chs)
        self.act = build_act(act_layer)


class RepDepthwiseConv(nn.Module):
    """x + depthwise(x), one depthwise convolution after folding."""

    def __init__(self, dim: int, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class InvertedResidual(nn.Module):
    """x + layer_scale(1x1 expand, 3x3 depthwise, 1x1 project), shapes [B, dim, H, W]."""

    def __init__(
        self, dim: int, expand_ratio: float = 4.0, drop_path: float = 0.0, act_layer: LayerType = "gelu",
        layer_scale_init: float = 1e-5,
    ) -> None:  # fmt: skip
        super().__init__()
        hidden = int(dim * expand_ratio)
        self.expand = ConvNorm(dim, hidden, act_layer=act_layer)
        self.depthwise = ConvNorm(hidden, hidden, 3, groups=hidden, act_layer=act_layer)
        self.project = ConvNorm(hidden, dim)
        self.layer_scale = LayerScale2d(dim, layer_scale_init)
        self.drop_path = build_drop_path(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.layer_scale(self.project(self.depthwise(self.expand(x)))))


class MultiLevelDilatedConv(nn.Module):
    """Reparameterised depthwise, 1x1, parallel dense 3x3 convolutions of rising dilation, 1x1; [B, dim, H, W].

    Its equation sums the branches before one activation (`branch_sum="before_act"`); the released
    code and weights activate each branch and then sum (`"after_act"`, the default).
    """

    def __init__(
        self, dim: int, dilations: Sequence[int] = (2, 3), branch_sum: BranchSum = "after_act",
        dw_kernel_size: int = 7, act_layer: LayerType = "gelu",
    ) -> None:  # fmt: skip
        super().__init__()
        if not dilations:
            raise ValueError("dilations is empty; give at least one, such as (2, 3)")
        if branch_sum not in ("after_act", "before_act"):
            raise ValueError(f"branch_sum is {branch_sum!r}; it must be 'after_act' or 'before_act'")
        each, whole = (act_layer, None) if branch_sum == "after_act" else (None, act_layer)
        self.depthwise: nn.Module = RepDepthwiseConv(dim, dw_kernel_size) if dw_kernel_size else nn.Identity()
        self.fc1 = ConvNorm(dim, dim)
        self.branches = nn.ModuleList(ConvNorm(dim, dim, 3, dilation=d, act_layer=each) for d in dilations)
        self.act = build_act(whole)
        self.fc2 = ConvNorm(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(self.depthwise(x))
        levels = [branch(x) for branch in self.branches]
        total = levels[0]
        for level in levels[1:]:
            total = total + level
        return self.fc2(self.act(total))


class ConvFFN(nn.Module):
    """Large-kernel FFN: depthwise (left out if kernel_size is 0), 1x1 expand, 1x1 project; [B, dim, H, W]."""

    def __init__(
        self, dim: int, expand_ratio: float = 4.0, kernel_size: int = 7, act_layer: LayerType = "gelu"
    ) -> None:
        super().__init__()
        hidden = int(dim * expand_ratio)
        depthwise = ConvNorm(dim, dim, kernel_size, groups=dim, bias=False) if kernel_size else nn.Identity()
        self.depthwise: nn.Module = depthwise
        self.fc1 = ConvNorm(dim, hidden, act_layer=act_layer)
        self.fc2 = ConvNorm(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(self.depthwise(x)))


class RapidNetBlock(nn.Module):
    """x + layer_scale_1(mixer(x)), then x + layer_scale_2(ffn(x)); [B, dim, H, W]."""

    def __init__(
        self, dim: int, mixer: nn.Module, ffn_kernel_size: int = 7, expand_ratio: float = 4.0,
        drop_path: float = 0.0, act_layer: LayerType = "gelu", layer_scale_init: float = 1e-5,
    ) -> None:  # fmt: skip
        super().__init__()
        self.mixer = mixer
        self.layer_scale_1 = LayerScale2d(dim, layer_scale_init)
        self.drop_path_1 = build_drop_path(drop_path)
        self.ffn = ConvFFN(dim, expand_ratio, ffn_kernel_size, act_layer)
        self.layer_scale_2 = LayerScale2d(dim, layer_scale_init)
        self.drop_path_2 = build_drop_path(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path_1(self.layer_scale_1(self.mixer(x)))
        return x + self.drop_path_2(self.layer_scale_2(self.ffn(x)))


class RapidNet(nn.Module):
    """RapidNet. Input [B, in_chans, H, W], features at strides 4, 8, 16, 32, logits [B, num_classes].

    Args:
        channels, depths, mldc_depths, head_width: the variant: widths per stage, inverted residual and MLDC blocks
            per stage, width of the 1x1 before the classifiers.
        distillation: two classifier heads, `head` and `head_dist`, as released; False keeps `head` alone.
        dilations, branch_sum, dw_kernel_size: see `MultiLevelDilatedConv`; dw_kernel_size 0 removes the depthwise.
        ffn_kernel_size: see `ConvFFN`.
        mixer_layer: what mixes in an MLDC block: a name of `mixers.MIXERS`, such as "attention", or what builds it,
            called as `mixer_layer(dim, act_layer=act_layer)` and mapping [B, dim, H, W] to the same shape. One for all
            stages or one per stage (None: MLDC).
        layer_scale_init: initial value of every layer scale; 1e-5 as released.
        drop_rate, drop_path_rate: dropout before the heads, stochastic depth of the last block.
    Raises:
        ValueError: an argument that contradicts another or would have no effect.
    """

    def __init__(
        self, in_chans: int = 3, num_classes: int = 1000, global_pool: str = "avg",
        channels: Sequence[int] = (32, 64, 112, 224), depths: Sequence[int] = (2, 2, 6, 2),
        mldc_depths: Sequence[int] = (0, 0, 2, 2), head_width: int = 512, expand_ratio: float = 4.0,
        distillation: bool = True, dilations: Sequence[int] = (2, 3), branch_sum: BranchSum = "after_act",
        dw_kernel_size: int = 7, ffn_kernel_size: int = 7,
        mixer_layer: Mixer | Sequence[Mixer] = None,
        act_layer: LayerType = "gelu", layer_scale_init: float = 1e-5,
        drop_rate: float = 0.0, drop_path_rate: float = 0.0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        from rapidnet.models.mixers import build_mixers  # built of the blocks above, so it comes after them

        super().__init__()
        self.num_classes, self.in_chans, self.drop_rate = num_classes, in_chans, drop_rate
        self.grad_checkpointing = self.distilled_training = False
        mldc = {"dilations": tuple(dilations), "branch_sum": branch_sum, "dw_kernel_size": dw_kernel_size}
        mixers = build_mixers(mixer_layer, mldc, mldc_depths)
        block_args = {"expand_ratio": expand_ratio, "act_layer": act_layer, "layer_scale_init": layer_scale_init}
        # Stochastic depth rises over all blocks. The released code spreads the rates over all blocks too but moves
        # on only at MLDC blocks, so its inverted residuals train with the rate of a wrong position.
        rates = calculate_drop_path_rates(
            drop_path_rate, [n + m for n, m in zip(depths, mldc_depths, strict=True)], stagewise=True
        )

        with torch.device(device) if device is not None else nullcontext():
            self.stem = nn.Sequential(
                ConvNorm(in_chans, channels[0] // 2, 3, stride=2, act_layer=act_layer),
                ConvNorm(channels[0] // 2, channels[0], 3, stride=2, act_layer=act_layer),
            )
            self.stages = nn.Sequential()
            for i, dim in enumerate(channels):
                blocks: list[nn.Module] = [ConvNorm(channels[i - 1], dim, 3, stride=2)] if i else []
                blocks += [InvertedResidual(dim, drop_path=rate, **block_args) for rate in rates[i][: depths[i]]]
                for rate in rates[i][depths[i] :]:
                    mixer = mixers[i](dim, act_layer=act_layer)
                    blocks.append(RapidNetBlock(dim, mixer, ffn_kernel_size, drop_path=rate, **block_args))
                self.stages.append(nn.Sequential(*blocks))
            self.pre_head: nn.Module = ConvNorm(channels[-1], head_width, act_layer=act_layer)
        if dtype is not None:
            self.to(dtype=dtype)
        self.feature_info = [
            {"num_chs": dim, "reduction": 4 * 2**i, "module": f"stages.{i}"} for i, dim in enumerate(channels)
        ]
        self.num_features, self.head_hidden_size = channels[-1], head_width
        self.head_drop = nn.Dropout(drop_rate)
        self.distillation = distillation
        self._build_classifier(num_classes, global_pool)
        self.init_weights()

    def _build_classifier(self, num_classes: int, global_pool: str) -> None:
        if global_pool not in ("", "avg", "max", "avgmax"):
            raise ValueError(f"global_pool is {global_pool!r}; RapidNet pools with 'avg', 'max', 'avgmax' or '' (none)")
        self.num_classes = num_classes
        self.global_pool = SelectAdaptivePool2d(pool_type=global_pool)
        self.flatten = nn.Flatten(1) if global_pool else nn.Identity()
        dd = get_device_dtype(self)
        heads = [nn.Conv2d(self.head_hidden_size, num_classes, 1, **dd) for _ in range(2) if num_classes > 0]
        self.head: nn.Module = heads[0] if heads else nn.Identity()
        self.head_dist: nn.Module | None = heads[1] if heads and self.distillation else None

    def init_weights(self) -> None:
        """Reset every parameter and buffer: convolutions truncated normal 0.02, layer scales to their start."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init_conv(module)
            elif isinstance(module, nn.BatchNorm2d | LayerScale2d):
                module.reset_parameters()

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """timm already exempts every bias, BatchNorm and layer scale, being of one dimension; nothing is left."""
        return set()

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Parameter groups for layer-wise learning-rate decay: the stem, each block (or stage), then the head."""
        blocks = [(r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.(\d+)", None), (r"^pre_head", (99999,))]
        return {"stem": r"^stem", "blocks": blocks}

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        self.grad_checkpointing = enable

    @torch.jit.ignore
    def set_distilled_training(self, enable: bool = True) -> None:
        """Return (head, head_dist) in training mode, for a distillation loss; in eval mode always their mean."""
        if enable and self.head_dist is None:
            raise ValueError("this RapidNet has one head (distillation=False or folded); distillation needs two")
        self.distilled_training = enable

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module | tuple[nn.Module, nn.Module]:
        """The classifier, a pair if there are two heads."""
        return self.head if self.head_dist is None else (self.head, self.head_dist)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """New heads for num_classes; 0 leaves features of head_hidden_size channels."""
        self._build_classifier(num_classes, self.global_pool.pool_type if global_pool is None else global_pool)
        for module in (self.global_pool, self.flatten, self.head, self.head_dist):
            if module is not None:
                module.train(self.training)
            if isinstance(module, nn.Conv2d):
                init_conv(module)

    def forward_intermediates(
        self, x: Tensor, indices: int | list[int] | None = None, norm: bool = False, stop_early: bool = False,
        output_fmt: str = "NCHW", intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:  # fmt: skip
        """Features of the chosen stages (None: all, n: the last n), and the last one computed unless `_only`.

        There is no final norm, so `norm` changes nothing."""
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt is {output_fmt!r}; RapidNet gives 'NCHW'")
        take, last = feature_take_indices(len(self.stages), indices)
        intermediates = []
        x = self.stem(x)
        for i, stage in enumerate(self.stages[: last + 1] if stop_early else self.stages):
            x = checkpoint_seq(stage, x) if self.grad_checkpointing else stage(x)
            if i in take:
                intermediates.append(x)
        return intermediates if intermediates_only else (x, intermediates)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop the stages (and by default the head) that the chosen stages do not need; returns their indices."""
        take, last = feature_take_indices(len(self.stages), indices)
        pruned = last < len(self.stages) - 1
        self.stages = self.stages[: last + 1]
        if pruned or prune_head:
            # The 1x1 before the classifiers is sized for the last stage's features: it goes with the head.
            self.pre_head = nn.Identity()
            self.num_features = self.head_hidden_size = self.feature_info[last]["num_chs"]
            self.reset_classifier(0, "")
        return take

    def forward_features(self, x: Tensor) -> Tensor:
        """[B, in_chans, H, W] -> [B, num_features, H/32, W/32]."""
        x = self.stem(x)
        if self.grad_checkpointing and not torch.jit.is_scripting():
            return checkpoint_seq(self.stages, x)
        return self.stages(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """[B, num_features, h, w] -> [B, num_classes], or [B, head_hidden_size] with pre_logits."""
        x = self.head_drop(self.pre_head(self.global_pool(x)))
        if pre_logits:
            return self.flatten(x)
        logits = self.flatten(self.head(x))
        if self.head_dist is not None:
            logits_dist = self.flatten(self.head_dist(x))
            if self.distilled_training and self.training and not torch.jit.is_scripting():
                return logits, logits_dist  # type: ignore[return-value]
            logits = (logits + logits_dist) / 2
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


def init_conv(conv: nn.Conv2d) -> None:
    trunc_normal_(conv.weight, std=0.02)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def build_act(act_layer: LayerType | None) -> nn.Module:
    """An activation module from a timm name or class; Identity for None. An unknown name raises ValueError."""
    try:
        return get_act_layer(act_layer)() if act_layer is not None else nn.Identity()
    except KeyError:
        raise ValueError(f"act_layer {act_layer!r} is unknown to timm; try 'gelu', 'relu' or 'hard_swish'") from None


def build_drop_path(rate: float) -> nn.Module:
    return DropPath(rate) if rate > 0.0 else nn.Identity()


def _cfg(file: str) -> dict[str, Any]:
    return {
        "hf_hub_id": "SLDGroup/RapidNet", "hf_hub_filename": file, "license": "apache-2.0",
        "num_classes": 1000, "input_size": (3, 224, 224), "pool_size": (7, 7), "crop_pct": 0.9,
        "interpolation": "bicubic", "mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stem.0.conv", "classifier": ("head", "head_dist"),
        "paper_ids": "arXiv:2412.10995",
        "paper_name": "RapidNet: Multi-Level Dilated Convolution Based Mobile Backbone",
        "origin_url": "https://huggingface.co/SLDGroup/RapidNet",
    }  # fmt: skip


default_cfgs = generate_default_cfgs(
    {f"rapidnet_{size.lower()}.dist_in1k": _cfg(f"RapidNet_{size}.pth") for size in ("Ti", "S", "M", "B")}
)


def _create_rapidnet(variant: str, pretrained: bool, variant_args: dict[str, Any], kwargs: dict[str, Any]) -> RapidNet:
    placed = placed_file(variant)
    if pretrained and placed.is_file():
        kwargs["pretrained_cfg_overlay"] = {"file": str(placed), **(kwargs.get("pretrained_cfg_overlay") or {})}
    with explain_download(variant, pretrained):
        feature_cfg = {"out_indices": (0, 1, 2, 3), "flatten_sequential": True}
        filters = {"pretrained_filter_fn": convert_checkpoint, "feature_cfg": feature_cfg}
        return build_model_with_cfg(RapidNet, variant, pretrained, **filters, **dict(variant_args, **kwargs))


@register_model
def rapidnet_ti(pretrained: bool = False, **kwargs: Any) -> RapidNet:
    """RapidNet-Ti: 6.6 M parameters with both heads, 0.62 GMACs at 224 px."""
    return _create_rapidnet("rapidnet_ti", pretrained, {}, kwargs)


@register_model
def rapidnet_s(pretrained: bool = False, **kwargs: Any) -> RapidNet:
    """RapidNet-S: 9.2 M parameters with both heads, 0.90 GMACs at 224 px."""
    args = {"depths": (3, 3, 9, 3), "mldc_depths": (0, 0, 3, 3)}
    return _create_rapidnet("rapidnet_s", pretrained, args, kwargs)


@register_model
def rapidnet_m(pretrained: bool = False, **kwargs: Any) -> RapidNet:
    """RapidNet-M: 17.3 M parameters with both heads, 1.60 GMACs at 224 px."""
    args = {"channels": (32, 64, 160, 320), "depths": (3, 3, 9, 3), "mldc_depths": (0, 0, 3, 3)}
    return _create_rapidnet("rapidnet_m", pretrained, args, kwargs)


@register_model
def rapidnet_b(pretrained: bool = False, **kwargs: Any) -> RapidNet:
    """RapidNet-B: 30.6 M parameters with both heads, 3.35 GMACs at 224 px."""
    args = {"channels": (64, 128, 224, 416), "depths": (3, 3, 9, 3), "mldc_depths": (0, 0, 3, 3), "head_width": 768}
    return _create_rapidnet("rapidnet_b", pretrained, args, kwargs)
