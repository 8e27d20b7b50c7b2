"""How are a picture, its boxes and its masks flipped, resized, cropped and padded together?"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode, functional

from rapidnet.data.dense_records import IGNORE
from rapidnet.data.dense_samples import DenseSample, Targets, select_objects

Operation = Callable[[Tensor], Tensor]


def flip_sample(image: Tensor, targets: Targets) -> DenseSample:
    """Left and right exchanged."""
    return _apply(functional.horizontal_flip, image, targets)


def resize_sample(image: Tensor, targets: Targets, height: int, width: int) -> DenseSample:
    """Antialiased bilinear for the picture, the nearest pixel for masks; objects that vanish are left out."""
    smooth = partial(functional.resize, size=[height, width], interpolation=InterpolationMode.BILINEAR, antialias=True)
    # Plain "nearest" rounds down, which moves a mask by up to half a pixel against its picture.
    nearest = partial(functional.resize, size=[height, width], interpolation=InterpolationMode.NEAREST_EXACT)
    return _drop_vanished(*_apply(smooth, image, targets, nearest))


def crop_sample(image: Tensor, targets: Targets, top: int, left: int, height: int, width: int) -> DenseSample:
    """A window inside the picture; boxes and masks are clipped, objects of which nothing is left are left out."""
    window = partial(functional.crop, top=top, left=left, height=height, width=width)
    return _drop_vanished(*_apply(window, image, targets))


def pad_sample(
    image: Tensor, targets: Targets, height: int, width: int, fill: Sequence[int] = (0, 0, 0)
) -> DenseSample:
    """Padded at the right and the bottom to height x width, with a colour; pixels without a class are ignored."""
    below, beside = height - image.shape[1], width - image.shape[2]
    if not below and not beside:
        return image, targets
    padding = [0, 0, beside, below]
    padded = targets.copy()
    if "masks" in targets:
        padded["masks"] = functional.pad(targets["masks"], padding, fill=0)
    if "semantic" in targets:
        padded["semantic"] = functional.pad(targets["semantic"][None], padding, fill=IGNORE)[0]
    return functional.pad(image, padding, fill=list(fill)), padded


def _apply(operation: Operation, image: Tensor, targets: Targets, for_masks: Operation | None = None) -> DenseSample:
    """The same operation by torchvision's rules for pictures and boxes; masks are pictures of one channel each."""
    canvas = (image.shape[1], image.shape[2])
    for_masks = for_masks or operation
    changed = targets.copy()
    if "boxes" in targets:
        boxes = tv_tensors.BoundingBoxes(targets["boxes"], format="XYXY", canvas_size=canvas)
        changed["boxes"] = operation(boxes).as_subclass(Tensor)
    if "masks" in targets:
        # Bytes are resized as they are; of each bool, four bytes would be made.
        changed["masks"] = for_masks(targets["masks"].view(torch.uint8)).view(torch.bool)
    if "semantic" in targets:
        changed["semantic"] = for_masks(targets["semantic"][None])[0]
    return operation(image), changed


def _drop_vanished(image: Tensor, targets: Targets) -> DenseSample:
    if "boxes" not in targets:
        return image, targets
    left, top, right, bottom = targets["boxes"].unbind(1)
    keep = (right > left) & (bottom > top)
    if "masks" in targets:
        keep &= targets["masks"].flatten(1).any(1)
    return image, targets if bool(keep.all()) else select_objects(targets, keep)
