"""How does a network compute in half precision, but for what half has no room for?"""

from copy import deepcopy
from typing import Any, TypeVar

from torch import Tensor, nn

from rapidnet.models.exportable_detector import PointAnswers

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def halve_network(network: ModuleT) -> ModuleT:
    """A copy with half weights; the pixels that a detector's boxes are counted in stay as they are."""
    halved = deepcopy(network).half()
    for own, original in zip(halved.modules(), network.modules(), strict=True):
        if isinstance(own, PointAnswers):
            for name, values in original.named_buffers(recurse=False):
                setattr(own, name, values.clone())
    return halved


def answer_in_float(answer: Any) -> Any:
    """One output, or several, as float32."""
    return answer.float() if isinstance(answer, Tensor) else tuple(part.float() for part in answer)
