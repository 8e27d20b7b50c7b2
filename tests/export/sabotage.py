"""What does a converter that makes one mistake look like?"""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import rapidnet.export.export as command
from rapidnet.export import converters
from rapidnet.export.capture import export_program


def sabotage(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the converter work on a network with one mistake, as a wrong converter would."""
    real = converters.convert

    def convert(name: str, conversion: converters.Conversion, folder: Path) -> converters.Made:
        module = deepcopy(conversion.captured.module)
        if change == "dilation":
            layer = next(m for m in module.modules() if getattr(m, "dilation", (1, 1)) == (3, 3))
            layer.dilation, layer.padding = (2, 2), (2, 2)
        else:
            # The batch normalisation of one layer left out: its scale and shift are lost.
            layer = next(m for m in module.network.stages[1].modules() if isinstance(m, torch.nn.Conv2d))
            with torch.no_grad():
                layer.weight.mul_(1.1)
        captured = replace(
            conversion.captured,
            module=module,
            program=export_program(module, conversion.captured.example, conversion.captured.spec),
        )
        return real(name, replace(conversion, captured=captured), folder)

    monkeypatch.setattr(command, "convert", convert)
