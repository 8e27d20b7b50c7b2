"""From a folder of images to a small, fast, verified vision network. Importing registers RapidNet in timm."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rapidnet.models import create_detector as create_detector
    from rapidnet.models import create_model as create_model
    from rapidnet.models import create_segmenter as create_segmenter
    from rapidnet.models import reparameterize as reparameterize
    from rapidnet.runtimes.bundle import open_bundle as open_bundle

__all__ = ["create_detector", "create_model", "create_segmenter", "open_bundle", "reparameterize"]
__version__ = "0.1.0"

# A command imports the networks only when it runs, so that --help answers at once, and so do its worker processes;
# an environment without torch (prediction with an exported network) has nothing to register.
_module = sys.orig_argv[sys.orig_argv.index("-m") + 1 :][:1] if "-m" in sys.orig_argv else []
_programs = ("rapidnet", "rapidnet.runtimes", "rapidnet.benchmark.worker")
_is_command = (
    "RAPIDNET_WORKER" in os.environ or Path(sys.argv[0]).stem == "rapidnet" or bool(_module and _module[0] in _programs)
)
if not _is_command and find_spec("timm") is not None:
    import rapidnet.models  # noqa: F401


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'rapidnet' has no attribute '{name}'")
    if name == "open_bundle":
        import rapidnet.runtimes.bundle

        return rapidnet.runtimes.bundle.open_bundle
    import rapidnet.models

    return getattr(rapidnet.models, name)
