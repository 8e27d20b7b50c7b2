"""From a folder of images to a small, fast, verified vision network. Importing registers RapidNet in timm."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rapidnet.models import create_model as create_model
    from rapidnet.models import reparameterize as reparameterize

__all__ = ["create_model", "reparameterize"]
__version__ = "0.1.0"

# A command imports the networks only when it runs, so that --help answers at once; an environment without torch
# (prediction with an exported network) has nothing to register.
_is_command = Path(sys.argv[0]).stem == "rapidnet" or sys.orig_argv[1:3] == ["-m", "rapidnet"]
if not _is_command and find_spec("timm") is not None:
    import rapidnet.models  # noqa: F401


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'rapidnet' has no attribute '{name}'")
    import rapidnet.models

    return getattr(rapidnet.models, name)
