"""How are labelled images run through a classifier, be it an eager network or an exported one?"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.loading import Batch
from rapidnet.data.transforms import Preprocessing
from rapidnet.evaluation.measures import softmax
from rapidnet.evaluation.metrics import Meter

Predict = Callable[[Tensor], Tensor]
"""Maps uint8 images [B, 3, S, S] to probabilities [B, num_classes]."""


def build_predict(
    model: nn.Module,
    preprocessing: Preprocessing,
    channels_last: bool = True,
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
    activate: Callable[[Tensor], Tensor] = softmax,
) -> Predict:
    """Probabilities of a network in eval mode, on the device its weights are on; float32 unless `autocast` differs.

    `activate` makes them from logits, as the task's `Measure` says.
    """
    weight = next(model.parameters())

    def predict(images: Tensor) -> Tensor:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        inputs = preprocessing.normalize(images.to(weight.device)).to(weight.dtype).contiguous(memory_format=layout)
        with torch.inference_mode(), autocast():
            logits: Tensor = model(inputs)
        return activate(logits.float())

    return predict


def measure(
    predict: Predict,
    loader: Iterable[Batch],
    meter: Meter,
    bad_samples: BadSampleLog,
    on_batch: Callable[[int], None] = lambda images: None,
) -> None:
    """Fill `meter`; `on_batch` hears how many images each batch asked for."""
    for batch in loader:
        bad_samples.record(batch.bad)
        if len(batch.targets):
            meter.update(predict(batch.images).cpu().numpy(), batch.targets.numpy())
        on_batch(len(batch.keys))
