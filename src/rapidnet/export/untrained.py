"""How does a network without trained weights become a bundle, for its speed to be measured as users would meet it?

Weights are drawn by a fixed seed and BatchNorm statistics are measured on the built-in photographs, so that activations
lie where a trained network's do: the scales of int8, and with them the form of a GELU, follow from them. The bundle
passes the checks of any other, but those that need labels.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.layers import LayerScale2d
from torch import nn

from rapidnet.config.export import ExportConfig
from rapidnet.data.builtin import BuiltinScenes, load_photographs
from rapidnet.data.transforms import Preprocessing
from rapidnet.evaluation.trained import Trained
from rapidnet.export.capture import Captured, InputSpec, capture
from rapidnet.export.checks import TOLERANCES as CHECKED
from rapidnet.export.checks import check_tensors
from rapidnet.export.converters import refuse
from rapidnet.export.export import GOLDEN_IMAGES, Job
from rapidnet.export.golden import Golden
from rapidnet.export.references import build_golden
from rapidnet.export.source import Source
from rapidnet.models import create_model
from rapidnet.models.rapidnet import RapidNet
from rapidnet.runtimes.network import Array

CALIBRATION_IMAGES = 32
LAYER_SCALE = 0.1
"""About what training makes of it."""
GOLDEN_BATCH = 16
# The promised 80 dB: networks of others are nearer to what float32 can hold than ours. The first of a thousand equal
# answers means nothing.
TOLERANCES: dict[str, dict[str, Any]] = {
    "fp32": {"sqnr_db": 80, "max_rel": 1e-4, "agreement": 0},
    "fp16": {"agreement": 0},
    "bf16": {"agreement": 0},
    "int8": {"agreement": 0, "sqnr_db": 10, "controls": False},
}
ORIGIN = "built-in photographs, without labels"


def prepare_untrained(name: str, config: ExportConfig) -> Job:
    """Everything up to the first conversion, as `prepare` does for trained networks.

    Raises:
        UserError: a network timm does not know; what a format cannot do.
    """
    source, golden, scenes = answer_itself(name, config.image_size, config.raw)
    model = source.trained.model
    preprocessing: Any = source.trained.preprocessing
    size = preprocessing.image_size
    spec = InputSpec(size, config.max_image_size or size, config.max_batch, config.raw, config.fixed_batch)
    for format_name in config.formats:
        refuse(format_name, spec, config.precision)
    captured = capture(model, preprocessing, "classification", spec)
    quantised = config.precision == "int8"
    origins = {"checked_on": ORIGIN} | ({"calibrated_on": ORIGIN} if quantised else {})
    return Job(
        config, source, captured, golden, origins, None, scenes if quantised else None, [],
        tolerances=choose_tolerances(captured, golden), foreign=not isinstance(model, RapidNet),
    )  # fmt: skip


@lru_cache(maxsize=1)
def answer_itself(name: str, image_size: int, raw: bool) -> tuple[Source, Golden, Array]:
    """The network, its golden answers and uint8 scenes [N, 3, S, S]: what all its artifacts of one size share."""
    model = create_untrained(name)
    size = image_size or int(model.pretrained_cfg["input_size"][-1])  # type: ignore[index]
    preprocessing = Preprocessing.from_model(model, size)
    scenes = read_scenes(size)
    settle(model, preprocessing, scenes)
    classes = [f"class {index}" for index in range(int(model.num_classes))]  # type: ignore[arg-type]
    metadata = {"model": name, "task": "classification", "data": {}}
    trained = Trained(model, classes, preprocessing, Path(name), metadata, "raw")
    source = Source(trained, None, {"checkpoint": "none", "weights": "random, for speed only", "model": name})
    return source, build_golden(source, read_photographs(preprocessing), np.empty(0), raw), scenes


def choose_tolerances(captured: Captured, golden: Golden) -> dict[str, dict[str, Any]]:
    """`TOLERANCES`, with noise and extremes only reported if float32 itself cannot hold them.

    Without training nothing keeps a network's answers to noise within bounds: products of features (StarNet,
    EfficientNet) make logits of millions, whose softmax turns on the last bit, in eager torch as everywhere.
    """
    with torch.inference_mode():
        module, batches = captured.module, torch.from_numpy(golden.pixels).split(GOLDEN_BATCH)
        answers = [module.network((batch.float() - module.mean) * module.scale) for batch in batches]
    output = torch.cat([answer if module.raw else module.activate(answer) for answer in answers]).double().numpy()
    promised = replace(CHECKED["fp32"], **TOLERANCES["fp32"])
    checks = check_tensors(output, golden, golden.reference, promised)
    held = all(check.passed for check in checks if check.name.startswith(("random", "extreme")))
    return {precision: own | ({} if held else {"real_only": True}) for precision, own in TOLERANCES.items()}


def create_untrained(name: str) -> nn.Module:
    """Weights as they start, by a fixed seed, but for layer scales: a hundred-thousandth has no scale in int8."""
    torch.manual_seed(0)
    model = create_model(name).eval()
    for layer in model.modules():
        if isinstance(layer, LayerScale2d):
            nn.init.constant_(layer.gamma, LAYER_SCALE)
    return model


def settle(model: nn.Module, preprocessing: Preprocessing, pixels: Array) -> None:
    """Measure every BatchNorm's mean and variance over uint8 [N, 3, S, S]."""
    norms = [layer for layer in model.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        # A plain average over all batches.
        norm.momentum = None
        norm.train()
    with torch.inference_mode():
        for batch in torch.from_numpy(pixels).split(16):
            model(preprocessing.normalize(batch))
    model.eval()


def read_scenes(size: int) -> Array:
    scenes = BuiltinScenes("train", CALIBRATION_IMAGES, size)
    return np.stack([np.asarray(scenes[(0, index)][0]) for index in range(CALIBRATION_IMAGES)])


def read_photographs(preprocessing: Preprocessing) -> Array:
    crops: Sequence[Array] = [preprocessing(image).numpy() for image in load_photographs("val")]
    return np.stack(crops)[:GOLDEN_IMAGES]
