"""Does an OpenVINO model give the network's answers, in every precision, and is it made of what it should be?"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino
import pytest
from openvino import opset13 as ops
from tiny import (
    KEPT,
    VARYING,
    answer_exactly,
    capture_tiny,
    change_dilation,
    draw_inputs,
    measure_sqnr,
)  # fmt: skip

from rapidnet.errors import UserError
from rapidnet.export.capture import Captured, InputSpec
from rapidnet.export.conversion import Conversion
from rapidnet.export.onnx_gelu import gelu
from rapidnet.export.openvino import convert_openvino, refuse_openvino
from rapidnet.export.openvino_int8 import POLYNOMIALS, Polynomial, build_gelu, rewrite_gelus
from rapidnet.runtimes.openvino import inspect_openvino, open_openvino

LEAST = {"fp32": 100, "fp16": 45, "int8": 20}
"""dB; random weights are harsh on eight bits, trained ones are not."""


@pytest.fixture(scope="module")
def varying() -> Captured:
    return capture_tiny(VARYING)


def write(captured: Captured, precision: str, path: Path, kept: frozenset[str] = frozenset()) -> dict:
    calibration = draw_inputs(captured.spec, 16) if precision == "int8" else None
    return convert_openvino(Conversion(captured, precision, calibration, kept), path)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", LEAST)
def test_answers_of_varying_shapes(varying: Captured, precision: str, tmp_path: Path) -> None:
    path = tmp_path / "model.xml"
    write(varying, precision, path)
    network = open_openvino(path, threads=1)
    assert (network.batch, network.size, network.dtype) == (0, 0, "uint8")
    assert network.runtime.endswith("CPU, f32")
    for batch, size in ((1, 64), (3, 96), (8, 128)):
        inputs = draw_inputs(VARYING, batch, size, seed=1)
        given = network.run(inputs)[varying.output]
        assert given.dtype == np.float32 and given.shape == (batch, 10)
        assert measure_sqnr(answer_exactly(varying, inputs), given) >= LEAST[precision]
    # Eight bits hide one dilation of this small network: there the file itself has to tell.
    if precision != "int8":
        wrong = measure_sqnr(answer_exactly(change_dilation(varying), inputs), given)
        assert wrong < measure_sqnr(answer_exactly(varying, inputs), given) - 20
    again = network.run(inputs[:, :, ::-1].copy())[varying.output]
    assert not np.array_equal(again, given) and np.array_equal(network.run(inputs)[varying.output], given)
    with pytest.raises(RuntimeError):
        network.run(draw_inputs(VARYING, 9))
    assert not refuse_openvino(VARYING, precision)  # type: ignore[arg-type]


def test_logits_of_normalised_input(tmp_path: Path) -> None:
    spec = InputSpec(64, 64, raw=True)
    captured = capture_tiny(spec)
    write(captured, "int8", tmp_path / "model.xml")
    network, inputs = open_openvino(tmp_path / "model.xml", threads=1), draw_inputs(spec, 1, seed=1)
    assert (network.batch, network.size, network.dtype) == (1, 64, "float32")
    assert measure_sqnr(answer_exactly(captured, inputs), network.run(inputs)["logits"]) >= LEAST["int8"]


def test_what_the_files_hold(varying: Captured, tmp_path: Path) -> None:
    expected = {"fp32": ("float32", "f32"), "fp16": ("float16", "f16"), "int8": ("int8", "u8")}
    for precision, (stored, run) in expected.items():
        write(varying, precision, tmp_path / f"{precision}.xml")
        structure = inspect_openvino(tmp_path / f"{precision}.xml")
        assert structure.convolutions == {stored: 27} and structure.delegated == {run: 27}
        assert structure.dilations == [[2, 2], [3, 3]]
        assert max(structure.weight_bytes, key=lambda name: structure.weight_bytes[name]) == stored
        assert str(Path(__file__).parents[2]) not in (tmp_path / f"{precision}.xml").read_text()


def test_int8_is_repeatable_and_keeps_what_it_is_told(varying: Captured, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(varying, "int8", tmp_path / f"{name}.xml")
    for kind in (".xml", ".bin"):
        assert (tmp_path / "a").with_suffix(kind).read_bytes() == (tmp_path / "b").with_suffix(kind).read_bytes()
    write(varying, "int8", tmp_path / "kept.xml", KEPT)
    structure = inspect_openvino(tmp_path / "kept.xml")
    assert structure.convolutions == {"int8": 25, "float32": 2} and structure.delegated == {"u8": 25, "f32": 2}
    with pytest.raises(UserError, match=r"'stem\.7', which is no convolution"):
        write(varying, "int8", tmp_path / "x.xml", frozenset({"stem.7"}))
    with pytest.raises(UserError, match="calibration images"):
        convert_openvino(Conversion(varying, "int8"), tmp_path / "x.xml")


def answer(model: openvino.Model, values: np.ndarray) -> np.ndarray:
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(values)[0]


@pytest.mark.parametrize("polynomial", POLYNOMIALS, ids=lambda polynomial: f"{len(polynomial.coefficients)} terms")
def test_gelu_through_the_runtime(polynomial: Polynomial) -> None:
    values = np.linspace(-40, 40, 200001, dtype=np.float32)
    x = ops.parameter([len(values)], np.float32)
    answers = answer(openvino.Model([build_gelu(polynomial, x, "gelu")], [x]), values)
    assert 0.9 * polynomial.error <= np.abs(answers - gelu(values)).max() <= polynomial.error


@pytest.mark.parametrize(
    ("high", "form"), [(0.7, "exact"), (0.8, 4), (1.7, 4), (2.0, 3), (7.5, 3), (8.0, 2), (20.0, 2)]
)
def test_quantised_gelu_of_all_256_inputs(high: float, form: str | int) -> None:
    given = np.linspace(-3, high, 256, dtype=np.float32)
    x = ops.parameter([256], np.float32)
    low, top = np.float32(-0.17), np.float32(high)
    made = ops.fake_quantize(ops.gelu(x, "erf"), low, top, low, top, 256)
    model = openvino.Model([made], [x])
    exact = answer(model, given)
    assert rewrite_gelus(model) == {form if form == "exact" else f"polynomial of {form} terms": 1}
    steps = np.abs(answer(model, given) - exact) / (top - low) * 255
    assert steps.max() <= 1.001


def test_mistakes_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        open_openvino(tmp_path / "model.xml")
    (tmp_path / "model.xml").write_text("<net")
    with pytest.raises(UserError, match="cannot be read"):
        inspect_openvino(tmp_path / "model.xml")
    (tmp_path / "model.bin").touch()
    with pytest.raises(UserError, match="cannot be opened"):
        open_openvino(tmp_path / "model.xml")


def test_the_runtime_needs_no_torch(varying: Captured, tmp_path: Path) -> None:
    write(varying, "fp32", tmp_path / "model.xml")
    code = (
        "import sys; sys.modules['torch'] = sys.modules['timm'] = None; "
        "from rapidnet.runtimes.openvino import *; open_openvino(sys.argv[1], 1); inspect_openvino(sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model.xml")], check=True)


def test_nothing_is_sent(varying: Captured, tmp_path: Path) -> None:
    """Importing openvino alone sends an event and leaves a client's number in the home folder, if it is let."""
    write(varying, "fp32", tmp_path / "model.xml")
    code = (
        "import sys; from openvino_telemetry.utils.sender import TelemetrySender as sender; "
        "sender.send = lambda *_, **__: sys.exit('sent'); "
        "from rapidnet.runtimes.openvino import open_openvino; open_openvino(sys.argv[1], 1)"
    )
    home = {"HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "model.xml")], check=True, env=home)
    assert not (tmp_path / "intel").exists()
