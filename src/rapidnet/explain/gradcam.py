"""Which parts of a picture does a stage's activation and gradient point at? Grad-CAM, by pytorch-grad-cam.

Source: Selvaraju et al., Grad-CAM, ICCV 2017 (arXiv 1610.02391).
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rapidnet.errors import UserError
from rapidnet.models.complexity import find_stages
from rapidnet.runtimes.network import Array


def require_gradcam() -> None:
    """Raise UserError unless the package is there."""
    try:
        import pytorch_grad_cam  # noqa: F401
    except ImportError as error:
        raise UserError(
            "Grad-CAM needs another package; pip install 'rapidnet[explain]', or pass --maps occlusion"
        ) from error


def find_layer(model: nn.Module, stage: int) -> nn.Module:
    """The module of a stage, counted from 1; 0 is the last.

    Raises:
        UserError: no such stage.
    """
    names = find_stages(model)
    if not names:
        raise UserError("the network names no stages (timm's feature_info); pass --maps occlusion")
    if stage > len(names):
        raise UserError(f"stage is {stage}, and the network has {len(names)}; give at most that")
    return model.get_submodule(names[stage - 1])


def map_activation(
    model: nn.Module, normalize: Callable[[Tensor], Tensor], pixels: Array, targets: Sequence[int], stage: int,
    batch_size: int,
) -> Array:  # fmt: skip
    """Grad-CAM of each picture for its own class, each scaled to [0, 1]: float32 [N, S, S].

    Args:
        model: unfolded, in eval mode; its parameters are left without gradients.
        pixels: uint8 [N, 3, S, S]; targets: N class numbers.
    Raises:
        UserError: pytorch-grad-cam is missing, or there is no such stage.
    """
    require_gradcam()
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    device, maps = next(model.parameters()).device, []
    with GradCAM(model=model, target_layers=[find_layer(model, stage)]) as cam:
        for start in range(0, len(pixels), batch_size):
            images = torch.from_numpy(np.ascontiguousarray(pixels[start : start + batch_size])).to(device)
            wanted = [ClassifierOutputTarget(target) for target in targets[start : start + batch_size]]
            maps.append(cam(input_tensor=normalize(images).contiguous(), targets=wanted))
    model.zero_grad(set_to_none=True)
    return np.concatenate(maps)
