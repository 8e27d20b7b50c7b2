"""Does an ExecuTorch file compute what the network computes, and is it what it says it is?"""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from conftest import TINY, randomize
from rapidnet.data.transforms import Preprocessing
from rapidnet.errors import UserError
from rapidnet.export.capture import Captured, InputSpec, capture
from rapidnet.export.checks import TOLERANCES, check_structure, compute_sqnr
from rapidnet.export.conversion import Conversion, Precision, expect_structure
from rapidnet.export.executorch import convert_executorch, refuse_executorch
from rapidnet.models import create_model
from rapidnet.runtimes.executorch import inspect_executorch, open_executorch
from rapidnet.runtimes.formats import FORMATS
from rapidnet.runtimes.network import Array

SIZE = 64
FLOAT_LAYER = "stages.3.2.ffn.fc1.conv"


def make_pixels(batch: int, size: int = SIZE, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (batch, 3, size, size), dtype=np.uint8)


def build_captured(spec: InputSpec) -> Captured:
    model = randomize(create_model("rapidnet_ti", num_classes=7, **TINY))
    return capture(model, Preprocessing.from_model(model, spec.image_size), "classification", spec)


def answer(module: nn.Module, pixels: Array) -> Array:
    """What the network itself says, in float64."""
    with torch.no_grad():
        values: Array = deepcopy(module).double()(torch.from_numpy(pixels)).numpy()
    return values


def build_conversion(captured: Captured, precision: Precision) -> Conversion:
    if precision == "int8":
        return Conversion(captured, "int8", make_pixels(4, seed=1), frozenset({FLOAT_LAYER}))
    return Conversion(captured, precision)


@pytest.fixture(scope="module")
def captured() -> Captured:
    return build_captured(InputSpec(SIZE, SIZE))


@pytest.fixture(scope="module")
def files(captured: Captured, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("executorch")
    paths = {precision: folder / f"{precision}.pte" for precision in TOLERANCES}
    for precision in ("fp32", "fp16", "int8"):
        convert_executorch(build_conversion(captured, precision), paths[precision])
    return paths


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_file_computes_the_network(precision: str, captured: Captured, files: dict[str, Path]) -> None:
    network = open_executorch(files[precision], threads=1)
    assert (network.batch, network.size, network.dtype) == (1, SIZE, "uint8")
    pixels = make_pixels(1)
    first = network.run(pixels)["probabilities"].copy()
    assert compute_sqnr(answer(captured.module, pixels), first) >= TOLERANCES[precision].sqnr_db
    # Another image in between must change nothing that was handed out before.
    network.run(make_pixels(1, seed=2))
    np.testing.assert_array_equal(network.run(pixels)["probabilities"], first)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_file_is_what_it_says(precision: str, captured: Captured, files: dict[str, Path]) -> None:
    structure = inspect_executorch(files[precision])
    expected = expect_structure(build_conversion(captured, precision))
    checks = check_structure(structure, precision, FORMATS["executorch"].operators, expected)
    assert [check.name for check in checks if not check.passed] == []
    assert structure.dilations == [[2, 2], [3, 3]]
    assert structure.operators["XNNGelu"] == 14, "every GELU inside the delegate"
    assert structure.delegated["outside"] == sum(n for name, n in structure.operators.items() if "::" in name) <= 3


def test_int8_keeps_the_chosen_layer_float_and_its_activations_int8(files: dict[str, Path]) -> None:
    structure = inspect_executorch(files["int8"])
    assert structure.convolutions == {"int8": 26, "float32": 1}
    # Into int8 at the start, around the one float layer, and out of it at the end: no other conversion.
    assert structure.operators["XNNConvert"] <= 5


def test_half_file_is_half_the_size(files: dict[str, Path]) -> None:
    whole, half = (sum(inspect_executorch(files[name]).weight_bytes.values()) for name in ("fp32", "fp16"))
    assert half == whole // 2


@pytest.mark.slow
def test_int8_is_deterministic(captured: Captured, files: dict[str, Path], tmp_path: Path) -> None:
    convert_executorch(build_conversion(captured, "int8"), tmp_path / "again.pte")
    assert (tmp_path / "again.pte").read_bytes() == files["int8"].read_bytes()


def test_one_wrong_dilation_shows(captured: Captured, files: dict[str, Path]) -> None:
    wrong = deepcopy(captured.module)
    layer = next(
        layer for layer in wrong.network.modules() if isinstance(layer, nn.Conv2d) and layer.dilation != (1, 1)
    )
    layer.dilation, layer.padding = (1, 1), (1, 1)
    pixels = make_pixels(1)
    output = open_executorch(files["fp32"]).run(pixels)["probabilities"]
    assert compute_sqnr(answer(wrong, pixels), output) < compute_sqnr(answer(captured.module, pixels), output) - 40


def test_batch_and_size_vary_within_their_bounds(tmp_path: Path) -> None:
    captured = build_captured(InputSpec(SIZE, 96, max_batch=2))
    convert_executorch(Conversion(captured, "fp32"), tmp_path / "model.pte")
    network = open_executorch(tmp_path / "model.pte")
    assert (network.batch, network.size) == (0, 0)
    for batch, size in ((1, SIZE), (2, 96)):
        pixels = make_pixels(batch, size)
        assert compute_sqnr(answer(captured.module, pixels), network.run(pixels)["probabilities"]) >= 112
    with pytest.raises(UserError, match="refuses an input"):
        network.run(make_pixels(3, 96))


def test_what_cannot_be_read_or_run_is_said(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        open_executorch(tmp_path / "none.pte")
    (tmp_path / "damaged.pte").write_bytes(files["fp32"].read_bytes()[:1000])
    for read in (open_executorch, inspect_executorch):
        with pytest.raises(UserError, match="export it again"):
            read(tmp_path / "damaged.pte")
    with pytest.raises(UserError, match="refuses an input"):
        open_executorch(files["fp32"]).run(make_pixels(1, 32))
    assert refuse_executorch(InputSpec(SIZE, SIZE), "int8") == ""
