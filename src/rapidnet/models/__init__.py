"""The networks. Importing this package registers them in timm."""

from rapidnet.models.factory import create_model, load_weights, read_checkpoint
from rapidnet.models.rapidnet import RapidNet
from rapidnet.models.reparameterize import is_folded, reparameterize

__all__ = ["RapidNet", "create_model", "is_folded", "load_weights", "read_checkpoint", "reparameterize"]
