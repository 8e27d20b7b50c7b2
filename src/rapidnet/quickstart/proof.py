"""Is folding exact, and would the comparison notice if it were not?"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from rapidnet.evaluation.equality import Equality, compare
from rapidnet.models import reparameterize
from rapidnet.models.complexity import count_macs, count_parameters

TOLERANCE = 1e-10
PROOF_IMAGES = 200
View = Callable[[nn.Module], nn.Module]
"""What of a network is compared: a module that maps normalised [B, 3, H, W] to one tensor."""


@dataclass(frozen=True)
class Folding:
    """What folding did: facts of both forms, how equal they are, and what the check says of a broken one."""

    forms: list[dict[str, Any]]
    equality: Equality
    control: Equality


def prove_folding(model: nn.Module, inputs: Tensor, console: Console, view: View = lambda model: model) -> Folding:
    """Fold the network, compare both forms in float64, and check that the comparison can fail.

    Args:
        model: in eval mode; it is not changed.
        inputs: normalised held-out scenes, [N, 3, S, S].
    Raises:
        RuntimeError: the forms differ, or the comparison passes a network that was broken on purpose.
    """
    inputs, size = inputs.double(), inputs.shape[-1]
    # Folded in float64 too: folded weights rounded to float32 differ by that rounding.
    exact = deepcopy(model).double()
    folded = reparameterize(exact)
    equality = compare(view(exact), view(folded), inputs)
    control = compare(view(exact), view(break_one_weight(folded)), inputs)
    if not equality.holds(TOLERANCE) or control.holds(TOLERANCE):
        raise RuntimeError(f"folding is not exact here: {equality}; with one weight changed: {control}")
    forms = [describe_form(name, view(form), size) for name, form in (("trained", deepcopy(model)), ("folded", folded))]
    table = Table("", "trained", "folded")
    for key in ("modules", "BatchNorm layers", "parameters", "MACs"):
        table.add_row(key, *(f"{form[key]:,}" for form in forms))
    console.print(table)
    console.print(
        f"largest difference {equality.max_rel:.1e} relative on {equality.images} scenes in float64 "
        f"([green]equal[/green]: below {TOLERANCE:g}); with one weight changed by 1% it is {control.max_rel:.1e}"
    )
    return Folding(forms, equality, control)


def break_one_weight(model: nn.Module) -> nn.Module:
    """A copy with the largest weight of its first convolution changed by 1%: what the comparison must notice."""
    broken = deepcopy(model)
    weight = next(module.weight for module in broken.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        weight[np.unravel_index(int(weight.abs().argmax()), weight.shape)] *= 1.01
    return broken


def describe_form(name: str, model: nn.Module, size: int) -> dict[str, Any]:
    """Counts of one form of the network; leaf modules that do something, parameters, MACs at `size` pixels."""
    leaves = [m for m in model.modules() if not list(m.children()) and not isinstance(m, nn.Identity)]
    return {
        "form": name,
        "modules": len(leaves),
        "BatchNorm layers": sum(isinstance(module, nn.BatchNorm2d) for module in leaves),
        "parameters": count_parameters(model),
        "MACs": count_macs(model, (3, size, size)),
    }
