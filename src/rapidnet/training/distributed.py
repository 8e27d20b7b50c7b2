"""How do several processes train one network as if they were one?

Every process draws the same random numbers for the whole batch and uses its own rows of them; statistics and losses
are those of the whole batch. The result is that of one process up to rounding, so the number may change at any time.
"""

import os
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy
from timm.layers import BatchNormAct2d, DropPath, convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def build_strategy() -> dict[str, Any]:
    """Fabric's arguments for what torchrun started, or for a single process."""
    # Not every build of torch has torch.distributed; detect() knows.
    if not TorchElasticEnvironment.detect():
        return {"devices": 1}
    local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    strategy = DDPStrategy(gradient_as_bucket_view=True)
    return {"devices": local, "num_nodes": world // local, "strategy": strategy}


class Ranks:
    """This process among those of the job, and what they agree on; with one process everything is local."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self.rank, self.world = fabric, fabric.global_rank, fabric.world_size

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """The sums of these numbers over all processes, in float64."""
        if self.world == 1:
            return list(values)
        # float64 does not exist on every accelerator (mps), which has one process only.
        total = torch.tensor(values, dtype=torch.float64, device=self.fabric.device)
        torch.distributed.all_reduce(total)
        return [float(value) for value in total]

    def gather(self, value: Any) -> list[Any]:
        """Every process's object, in rank order."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Until all processes are here."""
        if self.world > 1:
            torch.distributed.barrier()


class BatchShare:
    """Which rows of the whole batch this process works on; set before each forward pass."""

    total = 0
    rows: Tensor | None = None


class SharedDropPath(nn.Module):
    """Stochastic depth whose draws are those of the whole batch."""

    def __init__(self, drop_prob: float, scale_by_keep: bool, share: BatchShare) -> None:
        super().__init__()
        self.drop_prob, self.scale_by_keep, self.share = drop_prob, scale_by_keep, share

    def forward(self, x: Tensor) -> Tensor:
        if self.drop_prob == 0.0 or not self.training:
            return x
        keep = 1 - self.drop_prob
        kept = x.new_empty((self.share.total,) + (1,) * (x.ndim - 1)).bernoulli_(keep)
        if keep > 0.0 and self.scale_by_keep:
            kept.div_(keep)
        return x * kept[self.share.rows]


class SharedDropout(nn.Module):
    """Dropout whose draws are those of the whole batch."""

    def __init__(self, p: float, share: BatchShare) -> None:
        super().__init__()
        self.p, self.share = p, share

    def forward(self, x: Tensor) -> Tensor:
        if self.p == 0.0 or not self.training:
            return x
        kept = x.new_empty((self.share.total, *x.shape[1:])).bernoulli_(1 - self.p).div_(1 - self.p)
        return x * kept[self.share.rows]


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Every process's loss depends on the sum.
        total = gradients[0].clone()
        torch.distributed.all_reduce(total)
        return total


class SyncBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the whole batch on a CPU, which torch's own does not support.

    Two passes, mean then variance, as exact as the single-process kernel; a process may have no row at all.
    """

    act: nn.Module | None = None

    def forward(self, input: Tensor) -> Tensor:
        out = self._normalize(input) if self.training else super().forward(input)
        return out if self.act is None else self.act(out)

    def _normalize(self, x: Tensor) -> Tensor:
        values = x if x.dtype == torch.float64 else x.float()
        count = torch.tensor([float(values.numel() // values.shape[1])], dtype=values.dtype)
        torch.distributed.all_reduce(count)
        mean = _SumOverProcesses.apply(values.sum((0, 2, 3))) / count
        centred = values - mean.view(1, -1, 1, 1)
        var = _SumOverProcesses.apply(centred.square().sum((0, 2, 3))) / count
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
                momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum  # type: ignore[arg-type]
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(var * count / (count - 1).clamp(min=1), momentum)
        out = centred * (var + self.eps).rsqrt().view(1, -1, 1, 1)
        if self.affine:
            out = out * self.weight.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)
        return out.to(x.dtype)


def share_randomness(network: nn.Module) -> BatchShare:
    """Let stochastic depth and dropout draw for the whole batch; returns what tells them their rows."""
    share = BatchShare()
    for name, module in list(network.named_modules()):
        if type(module) is DropPath:
            network.set_submodule(name, SharedDropPath(module.drop_prob, module.scale_by_keep, share))
        elif type(module) is nn.Dropout and module.p:
            network.set_submodule(name, SharedDropout(module.p, share))
    return share


def synchronise_batchnorm(network: nn.Module, device: torch.device) -> nn.Module:
    """Take BatchNorm's statistics over the whole batch; parameters and their names stay."""
    if device.type != "cpu":
        converted: nn.Module = convert_sync_batchnorm(network)
        return converted
    for name, module in list(network.named_modules()):
        if isinstance(module, _BatchNorm) and module.affine:
            synced = SyncBatchNorm(module.num_features, module.eps, module.momentum)
            synced.weight, synced.bias = module.weight, module.bias
            synced._buffers = module._buffers
            synced.train(module.training)
            if isinstance(module, BatchNormAct2d):
                synced.act = nn.Sequential(module.drop, module.act)
            network.set_submodule(name, synced)
    return network


def zero_loss(output: Any) -> Tensor:
    """A loss of 0 that keeps the graph: a process without images must still take part in the backward pass."""
    outputs = output.values() if isinstance(output, dict) else output if isinstance(output, tuple) else (output,)
    return torch.stack([F.relu(part.float()).sum() * 0 for part in outputs]).sum()
