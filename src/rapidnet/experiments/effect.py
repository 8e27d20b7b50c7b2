"""Does a change change anything? A study of one that does not would measure noise, so it is refused."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rapidnet.config import TrainConfig
from rapidnet.config.experiments import BASELINE
from rapidnet.data.transforms import Preprocessing, seed_all
from rapidnet.errors import UserError
from rapidnet.experiments.study import Study
from rapidnet.models import reparameterize
from rapidnet.models.complexity import count_macs, count_parameters
from rapidnet.training.build_classifier import build_datasets, build_network
from rapidnet.training.resume import FREE
from rapidnet.training.run import count_updates

NETWORK = {"model", "model_options"}
IMAGES = 2
"""In the batch that two networks are compared on: BatchNorm needs more than one value at the last stage."""
CLOSE = 1e-9
"""Relative; in float64 the same function computed in another order is about 1e-15 away."""


@dataclass(frozen=True)
class Plan:
    """How a change trains, and what its network costs once folded: parameters, and MACs at its image size, in millions.

    epochs: those of its config, or as many as hold the study's steps.
    """

    config: TrainConfig
    epochs: int
    params_m: float
    macs_m: float


def plan_study(study: Study) -> dict[str, Plan]:
    """Open the data and build every network of a study before anything is trained.

    Raises:
        UserError: data that does not fit; a network that cannot be built, or a change without effect, by name and line.
    """
    plans: dict[str, Plan] = {}
    base: nn.Module | None = None
    for name, config in study.configs.items():
        try:
            network, plan = build_plan(config, study.steps)
        except UserError as error:
            raise study.complain(name, str(error)) from None
        plans[name] = plan
        # The baseline comes first.
        base = network if base is None else base
        options = list_differences(study.configs[BASELINE], config) - NETWORK
        if name != BASELINE and not options and same_network(base, network, config.image_size):
            raise study.complain(
                name,
                f"'{name}' has no effect: its network computes what the baseline's does and trains the same way, "
                "so the study would measure noise; leave it out or change something",
            )
    return plans


def build_plan(config: TrainConfig, steps: int) -> tuple[nn.Module, Plan]:
    """The network as a run begins with it, and its plan."""
    preprocessing = Preprocessing.from_model(build_network(config, 2), config.image_size, config.crop_pct)
    train_set, _ = build_datasets(config, preprocessing)
    seed_all(config.seed)
    network = build_network(config, len(train_set.classes))
    folded = reparameterize(network.eval())
    macs = count_macs(folded, (3, config.image_size, config.image_size))
    epochs = -(-steps // count_updates(len(train_set), config)) if steps else config.epochs
    return network, Plan(config, epochs, count_parameters(folded) / 1e6, macs / 1e6)


def list_differences(base: TrainConfig, change: TrainConfig) -> set[str]:
    """The options in which two runs differ, without those that leave results alone."""
    one, other = asdict(base), asdict(change)
    return {name for name in one if name not in FREE and one[name] != other[name]}


def same_network(base: nn.Module, change: nn.Module, image_size: int) -> bool:
    """Whether two networks start from the same weights and compute the same, in training and after it, with gradients.

    The parameters' names and shapes, then numbers from the same random images and generator, in float64. How the
    modules are put together does not count: an activation before or after the sum of one branch is the same. A
    dilation that reaches beyond the feature maps at this size changes nothing, either.
    """
    shapes = [{key: value.shape for key, value in network.state_dict().items()} for network in (base, change)]
    if shapes[0] != shapes[1]:
        return False
    images = torch.randn(IMAGES, 3, image_size, image_size, generator=torch.Generator().manual_seed(0)).double()
    # The cheapest first: most changes show in the first of these already.
    return all(all(map(close, *found)) for found in zip(*(compute(net, images) for net in (base, change)), strict=True))


def compute(network: nn.Module, images: Tensor) -> Iterator[list[Tensor]]:
    """Starting weights and training outputs; then gradients, statistics after them and outputs in evaluation."""
    copy: Any = deepcopy(network).double().train()
    start = [value.clone() for value in copy.state_dict().values()]
    seed_all(0)
    output = copy(images)
    yield [*start, output.detach()]
    (output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)).sum().backward()
    gradients = [parameter.grad for parameter in copy.parameters() if parameter.grad is not None]
    yield [*gradients, *copy.state_dict().values(), copy.eval()(images).detach()]


def close(one: Tensor, other: Tensor) -> bool:
    one, other = one.double(), other.double()
    return bool((one - other).abs().max() <= CLOSE * max(float(one.abs().max()), 1e-30))
