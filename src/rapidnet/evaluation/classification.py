"""How are labelled images run through a classifier, be it an eager network or an exported one?"""

from collections.abc import Callable, Iterable

from torch import Tensor

from rapidnet.data.loading import BadSampleLog, Batch
from rapidnet.evaluation.metrics import ClassificationMeter

Predict = Callable[[Tensor], Tensor]
"""Maps uint8 images [B, 3, S, S] to probabilities [B, num_classes]."""


def measure(
    predict: Predict,
    loader: Iterable[Batch],
    meter: ClassificationMeter,
    bad_samples: BadSampleLog,
    on_batch: Callable[[int], None] = lambda images: None,
) -> None:
    """Fill `meter`; `on_batch` hears how many images each batch asked for."""
    for batch in loader:
        bad_samples.record(batch.bad)
        if len(batch.targets):
            meter.update(predict(batch.images).cpu().numpy(), batch.targets.numpy())
        on_batch(len(batch.keys))
