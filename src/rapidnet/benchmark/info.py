"""How big is this network, by name, run or checkpoint, as trained and as deployed?"""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from rapidnet.config import InfoConfig
from rapidnet.environment import append_row, describe_environment
from rapidnet.errors import UserError
from rapidnet.evaluation.trained import load_trained
from rapidnet.models import create_model, reparameterize
from rapidnet.models.complexity import describe, render


def run_info(config: InfoConfig) -> int:
    """The info command."""
    model, title, facts = open_network(config)
    size = config.image_size or facts["image_size"]
    input_size = (int(facts["in_chans"]), size, size)
    before, after = describe(model, input_size), describe(reparameterize(model), input_size)
    row = {"model": title, **facts, "trained": before, "folded": after}
    if config.results:
        append_row(config.results, {"study": "complexity", **row, "environment": describe_environment()})
    if config.json:
        print(json.dumps(row))
        return 0
    console = Console()
    console.print(f"[bold]{title}[/bold], {facts['num_classes']} classes")
    console.print(render(before, after))
    return 0


def open_network(config: InfoConfig) -> tuple[nn.Module, str, dict[str, Any]]:
    """The network in eval mode, how to call it, and its image_size, in_chans and num_classes.

    Raises:
        UserError: neither a network timm knows nor a run or checkpoint.
    """
    if Path(config.model).exists():
        trained = load_trained(config.model)
        facts = {"image_size": trained.preprocessing.image_size, "in_chans": 3, "num_classes": len(trained.classes)}
        return trained.model, f"{trained.metadata['model']} from {trained.path}", facts
    if "/" in config.model or config.model.endswith((".safetensors", ".pth")):
        raise UserError(f"there is no run or checkpoint at {config.model}; give a path that exists or a network's name")
    model = create_model(config.model, num_classes=config.num_classes).eval()
    channels, size, _ = model.pretrained_cfg["input_size"]  # type: ignore[index]
    return model, config.model, {"image_size": size, "in_chans": channels, "num_classes": config.num_classes}
