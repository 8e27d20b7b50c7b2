"""Of what does a run consist that differs from task to task?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rapidnet.data.bad_samples import BadSampleLog
from rapidnet.data.dense_loading import DenseDataset
from rapidnet.data.dense_preprocessing import DensePreprocessing
from rapidnet.data.loading import Key, SizedDataset
from rapidnet.data.transforms import Preprocessing


class Task(Protocol):
    """What is learnt from a batch: the loop asks for these, in this order.

    Images and targets are a tensor each, or a list with one entry a picture; Output is whatever `loss` understands.
    """

    @property
    def name(self) -> str:
        """A key of `MEASURES`."""

    @property
    def guide(self) -> Callable[[Tensor, list[Key]], Tensor] | None:
        """Whoever teaches; see `ClassificationTask`."""

    def read(self, batch: Any) -> tuple[Any, Any]:
        """A batch's images and targets."""

    def prepare(self, images: Any, keys: list[Key]) -> Any:
        """uint8 pixels -> network input."""

    def mix(self, images: Any, targets: Any) -> tuple[Any, Any]:
        """Images and targets of several pictures in one, or both as they are; may draw from every generator."""

    def forward(self, model: nn.Module, images: Any, targets: Any) -> Any:
        """The network's output; there may be no images."""

    def loss(self, output: Any, targets: Any, teacher: Tensor | None = None) -> Tensor:
        """The mean over the pictures."""

    def count_correct(self, output: Any, targets: Any) -> float:
        """How many pictures, or what part of them, the network has right; 0 where that cannot be told."""


@dataclass
class Parts:
    """Network, data and task; collate makes a batch of training pictures, collate_val one of validation's.

    bad_samples: what reading the annotations left out; None where there are none to read.
    """

    network: nn.Module
    preprocessing: Preprocessing | DensePreprocessing
    train_set: SizedDataset | DenseDataset
    val_set: SizedDataset | DenseDataset
    classes: list[str]
    bad_samples: BadSampleLog | None
    metadata: dict[str, Any]
    build_task: Callable[[torch.device], Task]
    collate: Callable[[list[Any]], Any]
    collate_val: Callable[[list[Any]], Any]
