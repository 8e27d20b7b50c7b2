"""How is coremltools reached, without what it says of missing parts, and a package opened in Core ML on a Mac?"""

import io
import logging
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

from rapidnet.errors import UserError

# What a user may ask for -> its name in coremltools.ComputeUnit.
UNITS = {"all": "ALL", "cpu": "CPU_ONLY", "cpu_gpu": "CPU_AND_GPU", "cpu_ne": "CPU_AND_NE"}


def import_coremltools(path: str | Path) -> Any:
    """coremltools, without what it says of missing parts on systems that have no Core ML; raises UserError."""
    before, silence = logging.root.manager.disable, io.StringIO()
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(silence), redirect_stderr(silence):
            return import_module("coremltools")
    except ImportError:
        raise UserError(f"reading {path} needs coremltools; install it with pip install 'rapidnet[coreml]'") from None
    finally:
        logging.disable(before)


def load_natively(path: str | Path, unit: str) -> Any:
    """The package in Core ML, on the compute units asked for, a key of `UNITS`; not run anywhere but on a Mac."""
    coremltools = import_coremltools(path)
    return coremltools.models.MLModel(str(path), compute_units=getattr(coremltools.ComputeUnit, UNITS[unit]))
