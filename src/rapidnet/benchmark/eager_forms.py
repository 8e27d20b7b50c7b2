"""In which forms can a trained classifier be run by plain torch, and how is it brought into one?"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor

from rapidnet.evaluation.trained import Trained
from rapidnet.models import reparameterize


@dataclass(frozen=True)
class Form:
    """What is done to a trained network: folded or not, channels last in memory or not, its number format."""

    fold: bool = False
    channels_last: bool = False
    dtype: torch.dtype = torch.float32


AS_TRAINED = "as trained"
FORMS = {
    AS_TRAINED: Form(),
    "folded": Form(fold=True),
    "channels last": Form(channels_last=True),
    "folded, channels last": Form(fold=True, channels_last=True),
    "folded, channels last, bf16": Form(fold=True, channels_last=True, dtype=torch.bfloat16),
    "folded, channels last, fp16": Form(fold=True, channels_last=True, dtype=torch.float16),
}
REFERENCE = Form(dtype=torch.float64)
"""What the others are held against: not folded, in float64."""


def open_form(trained: Trained, form: Form) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """How images are prepared, uint8 [B, 3, S, S] -> normalised, and how the network answers: that -> logits [B, C].

    Both in the form's numbers. The network is folded in the precision of its weights and then converted, as an export
    does it; `trained` is left alone.
    """
    layout = torch.channels_last if form.channels_last else torch.contiguous_format
    network = reparameterize(trained.model) if form.fold else deepcopy(trained.model)
    network = network.to(form.dtype).to(memory_format=layout).eval()

    def prepare(images: Tensor) -> Tensor:
        wide = form.dtype if form.dtype == torch.float64 else torch.float32
        normal = trained.preprocessing.normalize(images).to(wide)
        return normal.to(form.dtype).contiguous(memory_format=layout)

    def answer(inputs: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = network(inputs)
        return logits

    return prepare, answer
