"""What does each dilation of the multi-level dilated convolutions bring?

For every block: how large and how alike the branches' outputs are (as they are summed: activated, unless branch_sum is
before_act), and what is lost when one of them, or all, are replaced by their mean over pictures and positions.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rapidnet.evaluation.metrics import compare_pairs
from rapidnet.models.rapidnet import MultiLevelDilatedConv
from rapidnet.runtimes.network import Array

Normalize = Callable[[Tensor], Tensor]


class BranchSums:
    """Running sums over pictures and positions of the outputs of K branches with C channels; float64."""

    def __init__(self) -> None:
        self.count, self.pictures = 0, 0
        self.sums: Tensor | float = 0.0
        self.products: Tensor | float = 0.0
        self.shares: Tensor | float = 0.0

    def update(self, outputs: Sequence[Tensor]) -> None:
        """outputs: K of [B, C, h, w]."""
        stacked = torch.stack([output.detach().double() for output in outputs])
        lengths = stacked.flatten(2).norm(dim=2)
        self.shares = self.shares + (lengths / lengths.sum(0).clamp_min(1e-300)).sum(1)
        flat = stacked.transpose(1, 2).flatten(2)
        self.sums = self.sums + flat.sum(2)
        self.products = self.products + torch.einsum("icn,jcn->ijc", flat, flat)
        self.count += flat.shape[2]
        self.pictures += stacked.shape[1]

    @property
    def means(self) -> Tensor:
        """[K, C]."""
        assert isinstance(self.sums, Tensor)
        return self.sums / self.count

    def describe(self) -> tuple[list[float], list[float], list[float | None]]:
        """Of each branch: share of the L2 norms in percent (mean over pictures), share of the variance in percent,
        correlation with the sum of the others (channels centred one by one, then pooled)."""
        assert isinstance(self.shares, Tensor) and isinstance(self.products, Tensor)
        shares = (100 * self.shares / self.pictures).tolist()
        means = self.means
        covariance = (self.products / self.count - means[:, None] * means[None]).sum(2).cpu().numpy()
        variance = covariance.diagonal()
        correlations: list[float | None] = []
        for one in range(len(variance)):
            others = [i for i in range(len(variance)) if i != one]
            scale = float(variance[one] * covariance[np.ix_(others, others)].sum()) ** 0.5 if others else 0.0
            correlations.append(float(covariance[one, others].sum()) / scale if scale > 0 else None)
        return shares, (100 * variance / max(float(variance.sum()), 1e-300)).tolist(), correlations


def find_blocks(model: nn.Module) -> dict[str, MultiLevelDilatedConv]:
    """Every block with dilated branches, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, MultiLevelDilatedConv)}


def measure_branches(
    model: nn.Module, normalize: Normalize, pixels: Array, labels: Array, batch_size: int,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[str, Any]:  # fmt: skip
    """images, top1, blocks (of each: block, its name; branches, a line each; all, every branch replaced) and everything
    (every branch of every block replaced).

    A line: dilation, norm_share, variance_share, correlation; top1 without it, with difference in percentage points and
    its interval, and logit_change: the mean length of the change of the logits, of the mean length of the logits less
    their mean, in percent.
    """
    blocks = find_blocks(model)
    sums = {name: BranchSums() for name in blocks}
    with record_branches(blocks, sums):
        logits = answer(model, normalize, pixels, batch_size, advance)

    def lose(chosen: Sequence[tuple[str, int]]) -> dict[str, Any]:
        means = [(blocks[name].branches[number], sums[name].means[number]) for name, number in chosen]
        with replace_outputs(means):
            return compare_logits(answer(model, normalize, pixels, batch_size, advance), logits, labels)

    rows = []
    for name, block in blocks.items():
        lines = []
        for number, (branch, *shares) in enumerate(zip(block.branches, *sums[name].describe(), strict=True)):
            conv: Any = branch.conv
            facts = dict(zip(("norm_share", "variance_share", "correlation"), shares, strict=True))
            lines.append({"dilation": int(conv.dilation[0]), **facts, **lose([(name, number)])})
        rows.append({"block": name, "branches": lines, "all": lose([(name, i) for i in range(len(lines))])})
    everything = lose([(name, i) for name, block in blocks.items() for i in range(len(block.branches))])
    top1 = 100 * float((logits.argmax(1) == labels).mean())
    return {"images": len(labels), "top1": top1, "blocks": rows, "everything": everything}


def count_passes(model: nn.Module) -> int:
    """How often `measure_branches` runs over the pictures, for a bar."""
    return 2 + sum(len(block.branches) + 1 for block in find_blocks(model).values())


@contextmanager
def record_branches(blocks: dict[str, MultiLevelDilatedConv], sums: dict[str, BranchSums]) -> Iterator[None]:
    """Let every pass of the network add to `sums`."""
    handles = []
    for name, block in blocks.items():
        outputs: list[Tensor] = []

        def keep(
            module: nn.Module, _: Any, output: Tensor,
            outputs: list[Tensor] = outputs, wanted: int = len(block.branches), own: BranchSums = sums[name],
        ) -> None:  # fmt: skip
            outputs.append(output)
            if len(outputs) == wanted:
                own.update(outputs)
                outputs.clear()

        handles += [branch.register_forward_hook(keep) for branch in block.branches]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def replace_outputs(means: Sequence[tuple[nn.Module, Tensor]]) -> Iterator[None]:
    """Let modules give a mean [C] everywhere in the place of their outputs [B, C, h, w]."""
    handles = []
    for module, mean in means:

        def put(module: nn.Module, _: Any, output: Tensor, mean: Tensor = mean) -> Tensor:
            return mean[None, :, None, None].to(output).expand_as(output)

        handles.append(module.register_forward_hook(put))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def answer(
    model: nn.Module, normalize: Normalize, pixels: Array, batch_size: int, advance: Callable[[int], None]
) -> Array:
    """Logits [N, C] of uint8 [N, 3, S, S]."""
    device, parts = next(model.parameters()).device, []
    for start in range(0, len(pixels), batch_size):
        images = torch.from_numpy(np.ascontiguousarray(pixels[start : start + batch_size])).to(device)
        with torch.inference_mode():
            parts.append(model(normalize(images)).float().cpu().numpy())
        advance(len(images))
    return np.concatenate(parts)


def compare_logits(changed: Array, logits: Array, labels: Array) -> dict[str, Any]:
    """top1, difference and difference_interval (percentage points, in pairs), logit_change (percent): of logits [N, C]
    beside the unchanged ones."""
    now, before = changed.argmax(1) == labels, logits.argmax(1) == labels
    moved = np.linalg.norm(centre(changed) - centre(logits), axis=1).mean()
    length = float(np.linalg.norm(centre(logits), axis=1).mean())
    change = 100 * float(moved) / max(length, 1e-300)
    return {"top1": 100 * float(now.mean()), **compare_pairs(now, before), "logit_change": change}


def centre(logits: Array) -> Array:
    """Without what all classes share, which changes no answer."""
    return logits - logits.mean(1, keepdims=True)
