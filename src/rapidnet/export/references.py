"""What does the eager network answer to the golden inputs, and what would a wrong one? All in float64, unfolded."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from rapidnet.export.capture import HEADS, Deployed, Head
from rapidnet.export.golden import Golden, build_inputs
from rapidnet.export.prove import CLASS_AXES
from rapidnet.export.source import Source
from rapidnet.runtimes.network import Array

NO_CLASSES = {"shuffled labels": "what is compared has no classes"}
GOLDEN_VALUES = 8192
"""Of a larger output, so many values of each answer are kept."""


def build_golden(
    source: Source, photographs: Array, targets: Array, raw: bool, head: Head | None = None, random: int = 8
) -> Golden:
    """Golden inputs from photographs uint8 [N, 3, H, W], with the answers of the network and of wrong ones.

    The network answers as it was trained: not folded, not captured, in float64. Of what `HEADS` does not know, `head`,
    a fixed draw of values is kept.
    """
    pixels, kinds = build_inputs(photographs, random)
    trained = source.trained
    preprocessing: Any = trained.preprocessing
    places = {} if head is None else draw_places(head, trained.model, photographs.shape[2:])
    chosen = head or HEADS[trained.task]

    def answer(network: nn.Module, used: Any) -> Array:
        kept = [place for place, name in enumerate(chosen.outputs) if name in places]
        deployed = Deployed(chosen.build(deepcopy(network).eval()), used, chosen)
        return run_reference(deployed, pixels, raw, dict(zip(kept, places.values(), strict=True)))

    wrong = {
        "missing normalisation": answer(trained.model, replace(preprocessing, mean=(0, 0, 0), std=(1, 1, 1))),
        "wrong standard deviation": answer(
            trained.model, replace(preprocessing, std=(0.5, 0.5, 0.5) if preprocessing.std[0] != 0.5 else (0.25,) * 3)
        ),
        "random weights": answer(randomise(trained.model), preprocessing),
    }
    absent = {} if CLASS_AXES.keys() & {*(chosen.compared or chosen.outputs)} else NO_CLASSES.copy()
    if source.other is not None:
        wrong["averaged and raw weights exchanged"] = answer(source.other, preprocessing)
    else:
        absent["averaged and raw weights exchanged"] = "the checkpoint holds one set of weights"
    known = np.full(len(pixels), -1)
    if targets.ndim == 1:
        known[: len(targets)] = targets
    return Golden(pixels, kinds, known, answer(trained.model, preprocessing), wrong, absent, places)


def draw_places(head: Head, network: nn.Module, size: tuple[int, ...]) -> dict[str, Array]:
    """By output, which values of an answer to one image are compared: all, or `GOLDEN_VALUES` by a fixed seed."""
    with torch.inference_mode():
        answers: Any = head.build(network).eval()(next(network.parameters()).new_zeros(1, 3, *size))
    answers = answers if isinstance(answers, tuple | list) else [answers]
    rng = np.random.default_rng(0)
    counts = {name: int(answer[0].numel()) for name, answer in zip(head.outputs, answers, strict=True)}
    counts = {name: count for name, count in counts.items() if name in (head.compared or head.outputs)}
    return {
        name: np.sort(rng.permutation(count)[:GOLDEN_VALUES]) if count > GOLDEN_VALUES else np.arange(count)
        for name, count in counts.items()
    }


def run_reference(deployed: Deployed, pixels: Array, raw: bool, places: dict[int, Array]) -> Array:
    """float64 [N, num_classes]: what `deployed` answers to pixels, as logits if `raw`; or rows of values at `places`
    of outputs by their number.

    A mistake in the normalisation counts for raw artifacts too: it is then the caller's, with the same numbers.
    """
    deployed = deployed.double().eval()
    outputs = []
    with torch.inference_mode():
        for batch in torch.from_numpy(pixels).split(1 if places else 16):
            normalised = (batch.double() - deployed.mean) * deployed.scale
            logits: Any = deployed.network(normalised)
            if places:
                answers = logits if isinstance(logits, tuple | list) else [logits]
                rows = [answers[output].flatten(1)[:, at] for output, at in places.items()]
                outputs.append(torch.cat(rows, 1))
            else:
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
