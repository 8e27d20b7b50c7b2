"""What does the eager network answer to the golden inputs, and what would a wrong one? All in float64, unfolded."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from rapidnet.data.transforms import Preprocessing
from rapidnet.export.capture import HEADS, Deployed
from rapidnet.export.golden import Golden, build_inputs
from rapidnet.export.source import Source
from rapidnet.runtimes.network import Array


def build_golden(source: Source, photographs: Array, targets: Array, raw: bool) -> Golden:
    """Golden inputs from photographs uint8 [N, 3, S, S], with the answers of the network and of wrong ones.

    The network answers as it was trained: not folded, not captured, in float64.
    """
    pixels, kinds = build_inputs(photographs)
    trained = source.trained
    preprocessing = replace(trained.preprocessing, image_size=photographs.shape[2])
    head = HEADS[trained.task]

    def answer(network: nn.Module, used: Preprocessing) -> Array:
        return run_reference(Deployed(deepcopy(network), used, head), pixels, raw)

    wrong = {
        "missing normalisation": answer(trained.model, replace(preprocessing, mean=(0, 0, 0), std=(1, 1, 1))),
        "wrong standard deviation": answer(
            trained.model, replace(preprocessing, std=(0.5, 0.5, 0.5) if preprocessing.std[0] != 0.5 else (0.25,) * 3)
        ),
        "random weights": answer(randomise(trained.model), preprocessing),
    }
    absent = {}
    if source.other is not None:
        wrong["averaged and raw weights exchanged"] = answer(source.other, preprocessing)
    else:
        absent["averaged and raw weights exchanged"] = "the checkpoint holds one set of weights"
    known = np.full(len(pixels), -1)
    if targets.ndim == 1:
        known[: len(targets)] = targets
    return Golden(pixels, kinds, known, answer(trained.model, preprocessing), wrong, absent)


def run_reference(deployed: Deployed, pixels: Array, raw: bool) -> Array:
    """float64 [N, num_classes]: what `deployed` answers to pixels, as logits if `raw`.

    A mistake in the normalisation counts for raw artifacts too: it is then the caller's, with the same numbers.
    """
    deployed = deployed.double().eval()
    outputs = []
    with torch.inference_mode():
        for batch in torch.from_numpy(pixels).split(16):
            normalised = (batch.double() - deployed.mean) * deployed.scale
            logits: Tensor = deployed.network(normalised)
            outputs.append(logits if raw else deployed.activate(logits))
    return torch.cat(outputs).numpy()


def randomise(network: nn.Module, seed: int = 0) -> nn.Module:
    """A copy with every weight drawn anew from the spread it has, as if training had never happened.

    Drawn with the trained tensors' own mean and deviation, so that the answers stay within range and the checks
    have to tell two plausible networks apart.
    """
    copy = deepcopy(network)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in copy.parameters():
            if parameter.dim() > 1:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.copy_(parameter.mean() + parameter.std() * noise)
    return copy
