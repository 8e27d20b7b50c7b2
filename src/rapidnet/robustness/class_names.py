"""Which of a network's classes are the class folders of another data set?"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rapidnet.data.folder import Split, align_classes
from rapidnet.errors import UserError

IMAGENET_CLASSES = 1000


def match_classes(split: Split, classes: Sequence[str], where: Path) -> Split:
    """Give a split the network's class numbers, by name, or by order where both are all of ImageNet.

    ImageNet's networks number its classes in the order of their WordNet ids, which name the folders.

    Raises:
        UserError: a folder that is none of the classes, by name.
    """
    unknown = [name for name in split.classes if name not in classes]
    if not unknown:
        return align_classes(split, list(classes))
    if len(split.classes) == len(classes) == IMAGENET_CLASSES:
        return replace(split, classes=list(classes))
    raise UserError(
        f"{where} holds {len(unknown)} class folders that the network does not know, such as '{unknown[0]}'; "
        f"it knows {', '.join(classes[:3])}{', ...' if len(classes) > 3 else ''}"
    )
