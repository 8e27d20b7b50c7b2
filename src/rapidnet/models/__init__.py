"""The networks. Importing this package registers them in timm."""

from rapidnet.models.detection import create_detector
from rapidnet.models.factory import create_model, load_weights, read_checkpoint
from rapidnet.models.rapidnet import RapidNet
from rapidnet.models.reparameterize import is_folded, reparameterize
from rapidnet.models.segmentation import create_segmenter

__all__ = [
    "RapidNet", "create_detector", "create_model", "create_segmenter", "is_folded", "load_weights", "read_checkpoint",
    "reparameterize",
]  # fmt: skip
