"""pytest plugin: shows RapidNet to timm's own, unmodified tests/test_models.py (see run.py beside it)."""

from typing import Any

import timm
from timm.models import _registry

import rapidnet.models  # noqa: F401  registers the four variants

_list_models = _registry.list_models


def list_models(*args: Any, **kwargs: Any) -> list[str]:
    """timm's tests name the modules that have forward_intermediates in a list; ours belongs in it."""
    if isinstance(kwargs.get("module"), list):
        kwargs["module"] = [*kwargs["module"], "rapidnet"]
    return _list_models(*args, **kwargs)


timm.list_models = list_models
