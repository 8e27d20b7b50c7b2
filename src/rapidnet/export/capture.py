"""How does a trained network become one graph from pixels to answers, which every converter starts from?"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from rapidnet.errors import UserError
from rapidnet.models.fold_any import fold_any

STRIDE = 32
"""The network's total stride: a size that may vary has to stay a multiple of it."""


def keep_whole(network: nn.Module) -> nn.Module:
    return network


@dataclass(frozen=True)
class Head:
    """What an artifact answers: `output` its name, `activation` from what the network gives to that.

    others: the names of further outputs; where there are any, or no activation, answers are the network's own.
    build: from a trained network to what is captured of it, a module that takes normalised images.
    compared: those of the outputs that are held against the network's value by value; empty means all.
    """

    output: str
    activation: Literal["softmax", "sigmoid", ""]
    others: tuple[str, ...] = ()
    build: Callable[[nn.Module], nn.Module] = keep_whole
    compared: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output, *self.others)


# Task, as a classifier's metadata names it -> what its artifact answers; for the others see `dense_heads`.
HEADS = {
    "classification": Head("probabilities", "softmax"),
    "multilabel": Head("probabilities", "sigmoid"),
}


@dataclass(frozen=True)
class InputSpec:
    """What an artifact takes: [B, 3, S, S], B up to `max_batch` and S from `image_size` to `max_image_size`.

    Equal bounds make a static shape; with `fixed_batch`, B is always `max_batch`. `raw`: float32, normalised outside,
    and logits come back; else uint8 RGB pixels. `width`: in pixels, where it is not the height `image_size`.
    """

    image_size: int
    max_image_size: int
    max_batch: int = 1
    raw: bool = False
    fixed_batch: bool = False
    width: int = 0

    def __post_init__(self) -> None:
        if self.max_image_size != self.image_size and (self.image_size % STRIDE or self.max_image_size % STRIDE):
            raise UserError(
                f"image sizes {self.image_size} to {self.max_image_size} cannot vary: "
                f"give multiples of {STRIDE}, the network's stride"
            )

    @property
    def batch(self) -> int:
        """Images in every call; 0 where they vary."""
        return self.max_batch if self.fixed_batch or self.max_batch == 1 else 0

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the largest input, in pixels."""
        return self.max_image_size, self.width or self.max_image_size

    @property
    def static(self) -> bool:
        return bool(self.batch) and self.max_image_size == self.image_size

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.raw else torch.uint8

    def build_example(self) -> Tensor:
        """An input to capture with: two images where the batch varies, since one would be taken as fixed.

        Of the largest size, since features of a single pixel would be taken as fixed too.
        """
        shape = (self.batch or 2, 3, *self.shape)
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        return pixels.to(self.dtype)


class Normalisation(Protocol):
    """What is known of how an image is normalised: per channel, of pixels in [0, 1]."""

    @property
    def mean(self) -> tuple[float, float, float]: ...

    @property
    def std(self) -> tuple[float, float, float]: ...


Answer = Tensor | tuple[Tensor, ...]
"""One output, or several in the order of their names."""


class Deployed(nn.Module):
    """A folded network with its preprocessing before it and its activation behind it.

    uint8 RGB [B, 3, H, W] -> probabilities [B, num_classes]; with `raw`, normalised float32 -> logits. What finds
    objects or classes of pixels answers as its head says, raw or not.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, preprocessing: Normalisation, head: Head, raw: bool = False) -> None:
        super().__init__()
        self.network, self.raw, self.activation = network, raw, head.activation
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("scale", 1 / (torch.tensor(preprocessing.std).view(1, 3, 1, 1) * 255))

    def forward(self, pixels: Tensor) -> Answer:
        if self.raw:
            answer: Answer = self.network(pixels)
            return answer
        return self.activate(self.network((pixels.to(self.mean.dtype) - self.mean) * self.scale))

    def activate(self, logits: Any) -> Any:
        """Logits [B, num_classes] -> probabilities; answers without an activation stay as they are."""
        if not self.activation:
            return logits
        return logits.softmax(1) if self.activation == "softmax" else logits.sigmoid()


@dataclass(frozen=True)
class Captured:
    """One network, ready for every converter.

    program: the graph, captured once by torch.export; module: what it was captured from, folded, in eval mode and
    contiguous memory, for converters that want to run or change it; example: an input; spec: what inputs may be;
    output: the name of the first output; others: of those behind it.
    """

    program: ExportedProgram
    module: Deployed
    example: Tensor
    spec: InputSpec
    output: str
    others: tuple[str, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.output, *self.others)


def capture(
    network: nn.Module, preprocessing: Normalisation, task: str, spec: InputSpec, head: Head | None = None
) -> Captured:
    """Fold a network in eval mode and capture it; the network itself is left alone.

    head: what it answers, if that is not what `HEADS` says of its task.

    Raises:
        UserError: a task that has no artifact yet.
    """
    if head is None and task not in HEADS:
        raise UserError(f"task '{task}' cannot be exported; {', '.join(HEADS)} can")
    head = head or HEADS[task]
    module = Deployed(fold_any(head.build(network).eval()), preprocessing, head, spec.raw)
    module = module.float().cpu().to(memory_format=torch.contiguous_format).eval()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    example = spec.build_example()
    program = export_program(module, example, spec)
    first = "logits" if spec.raw and head.activation else head.output
    return Captured(program, module, example, spec, first, head.others)


def export_program(module: nn.Module, example: Tensor, spec: InputSpec) -> ExportedProgram:
    """torch.export with the bounds of `spec`."""
    shapes: dict[int, Dim] = {}
    if not spec.batch:
        shapes[0] = Dim("batch", min=1, max=spec.max_batch)
    if spec.max_image_size > spec.image_size:
        steps = Dim("steps", min=spec.image_size // STRIDE, max=spec.max_image_size // STRIDE)
        shapes |= {2: STRIDE * steps, 3: STRIDE * steps}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        return torch.export.export(module, (example,), dynamic_shapes=(shapes,) if shapes else None)
