"""How do pictures with objects or pixel classes reach the loop in batches? In the order and by the keys that
`loading` draws."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from rapidnet.data.bad_samples import BadSample
from rapidnet.data.dense_geometry import pad_sample
from rapidnet.data.dense_samples import DenseSample, DenseSource, Targets
from rapidnet.data.dense_truth import BadRecordError
from rapidnet.data.index_masks import BadMaskError
from rapidnet.data.loading import Key
from rapidnet.data.transforms import open_stream
from rapidnet.images import BadImageError

DenseTransform = Callable[[Tensor, Targets, random.Random], DenseSample]
"""What happens to a picture and its targets together; all that is random is drawn from the generator."""
Item = tuple[Key, DenseSample | BadSample]


class DenseDataset(Dataset[DenseSample | BadSample]):
    """The pictures of a source through one transform; one that cannot be used comes as a `BadSample`."""

    def __init__(self, source: DenseSource, transform: DenseTransform, seed: int) -> None:
        self.source, self.transform, self.seed, self.classes = source, transform, seed, source.classes

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: Key) -> DenseSample | BadSample:
        epoch, index = key[:2]
        try:
            image, targets = self.source.load(index, epoch)
            return self.transform(image, targets, open_stream(self.seed, *key))
        except (BadImageError, BadMaskError, BadRecordError) as error:
            return BadSample(self.source.name(index), str(error))


@dataclass
class ObjectBatch:
    """Pictures of different sizes: images, uint8 [3, H, W] each, and their targets; bad ones, all keys.

    `good_keys` are those of `images`, in their order.
    """

    images: list[Tensor]
    targets: list[Targets]
    bad: list[BadSample]
    keys: list[Key]
    good_keys: list[Key]


@dataclass
class SegmentationBatch:
    """Pictures padded to one size; bad, keys and good_keys as in `ObjectBatch`.

    images: uint8 [B, 3, H, W] (channels-last memory). masks: uint8 [B, H, W], 255 where no class is known and in the
    padding; None in evaluation, where the mask in `targets` keeps the size of its file. sizes: (height, width) of each
    picture without its padding, which is at the right and the bottom.
    """

    images: Tensor
    masks: Tensor | None
    sizes: list[tuple[int, int]]
    targets: list[Targets]
    bad: list[BadSample]
    keys: list[Key]
    good_keys: list[Key]


def collate_objects(items: list[Item]) -> ObjectBatch:
    """A list of the usable pictures and of their targets."""
    good = [(key, item) for key, item in items if not isinstance(item, BadSample)]
    return ObjectBatch(
        [image for _, (image, _) in good],
        [targets for _, (_, targets) in good],
        [item for _, item in items if isinstance(item, BadSample)],
        [key for key, _ in items],
        [key for key, _ in good],
    )


class CollateSegmentation:
    """Pads the usable pictures to the largest among them and stacks them.

    Args:
        multiple: heights and widths become multiples of it; a network's largest stride.
        fill: the colour of the padding, 0 to 255; the mean that is subtracted makes it zero.
        stack_masks: pad and stack the masks, too; they must have their picture's size.
    """

    def __init__(self, multiple: int = 32, fill: Sequence[int] = (0, 0, 0), stack_masks: bool = True) -> None:
        self.multiple, self.fill, self.stack_masks = multiple, tuple(fill), stack_masks

    def __call__(self, items: list[Item]) -> SegmentationBatch:
        batch = collate_objects(items)
        sizes = [(image.shape[1], image.shape[2]) for image in batch.images]
        height, width = (
            -(-max((size[side] for size in sizes), default=1) // self.multiple) * self.multiple for side in (0, 1)
        )
        images = torch.empty(len(sizes), 3, height, width, dtype=torch.uint8, memory_format=torch.channels_last)
        masks = torch.empty(len(sizes), height, width, dtype=torch.uint8) if self.stack_masks else None
        for row, (image, targets) in enumerate(zip(batch.images, batch.targets, strict=True)):
            images[row], padded = pad_sample(image, targets if self.stack_masks else {}, height, width, self.fill)
            if masks is not None:
                masks[row] = padded["semantic"]
        return SegmentationBatch(images, masks, sizes, batch.targets, batch.bad, batch.keys, batch.good_keys)
