"""Does an ONNX file give the network's answers, in every precision, and is it made of what it should be?"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from tiny import (
    KEPT,
    STATIC,
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
from rapidnet.export.onnx import convert_onnx, refuse_onnx
from rapidnet.export.onnx_gelu import CODES, RECIPES, choose_gelu, gelu, measure_steps
from rapidnet.export.onnx_int8 import Writer
from rapidnet.export.onnx_ranges import choose_range
from rapidnet.runtimes.onnx import inspect_onnx, open_onnx

LEAST = {"fp32": 100, "fp16": 45, "int8": 20}
"""dB; random weights are harsh on eight bits, trained ones are not."""


@pytest.fixture(scope="module")
def varying() -> Captured:
    return capture_tiny(VARYING)


def write(captured: Captured, precision: str, path: Path, kept: frozenset[str] = frozenset()) -> dict:
    calibration = draw_inputs(captured.spec, 16) if precision == "int8" else None
    return convert_onnx(Conversion(captured, precision, calibration, kept), path)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", LEAST)
def test_answers_of_varying_shapes(varying: Captured, precision: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write(varying, precision, path)
    network = open_onnx(path, threads=1)
    assert (network.batch, network.size, network.dtype) == (0, 0, "uint8")
    for batch, size in ((1, 64), (3, 96), (8, 128)):
        inputs = draw_inputs(VARYING, batch, size, seed=1)
        given = network.run(inputs)[varying.output]
        exact = answer_exactly(varying, inputs)
        assert given.dtype == np.float32 and given.shape == (batch, 10)
        assert measure_sqnr(exact, given) >= LEAST[precision]
    # Eight bits hide one dilation of this small network: there the file itself has to tell.
    if precision != "int8":
        wrong = measure_sqnr(answer_exactly(change_dilation(varying), inputs), given)
        assert wrong < measure_sqnr(answer_exactly(varying, inputs), given) - 20
    assert not refuse_onnx(VARYING, precision)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", LEAST)
def test_logits_of_normalised_input(precision: str, tmp_path: Path) -> None:
    spec = InputSpec(64, 64, raw=True)
    captured = capture_tiny(spec)
    write(captured, precision, tmp_path / "model.onnx")
    network, inputs = open_onnx(tmp_path / "model.onnx", threads=1), draw_inputs(spec, 1, seed=1)
    assert (network.batch, network.size, network.dtype) == (1, 64, "float32")
    assert measure_sqnr(answer_exactly(captured, inputs), network.run(inputs)["logits"]) >= LEAST[precision]


def test_what_the_files_hold(varying: Captured, tmp_path: Path) -> None:
    found = {}
    for precision in LEAST:
        write(varying, precision, tmp_path / f"{precision}.onnx")
        found[precision] = inspect_onnx(tmp_path / f"{precision}.onnx")
        assert found[precision].dilations == [[2, 2], [3, 3]]
        # Notes of the exporter would carry the paths of this machine.
        assert str(Path(__file__).parents[2]).encode() not in (tmp_path / f"{precision}.onnx").read_bytes()
    assert found["fp32"].convolutions == {"float32": 27}
    assert found["fp16"].convolutions == {"float16": 27}
    assert found["fp16"].weight_bytes["float32"] == 24
    assert found["int8"].convolutions == {"int8": 27}


def test_int8_is_repeatable_and_keeps_what_it_is_told(varying: Captured, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(varying, "int8", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert write(varying, "int8", tmp_path / "kept", KEPT)["kept_float"] == sorted(KEPT)
    assert inspect_onnx(tmp_path / "kept").convolutions == {"int8": 25, "float32": 2}
    with pytest.raises(UserError, match=r"'stem\.7', which is no convolution"):
        write(varying, "int8", tmp_path / "x", frozenset({"stem.7"}))
    with pytest.raises(UserError, match="calibration images"):
        convert_onnx(Conversion(varying, "int8"), tmp_path / "x")


def test_int8_of_other_activations(tmp_path: Path) -> None:
    captured = capture_tiny(STATIC, "relu")
    assert write(captured, "int8", tmp_path / "model.onnx")["gelu_forms"] == {}
    inputs = draw_inputs(STATIC, 1, seed=1)
    given = open_onnx(tmp_path / "model.onnx", threads=1).run(inputs)[captured.output]
    assert measure_sqnr(answer_exactly(captured, inputs), given) >= LEAST["int8"]


def draw_values(high: float) -> np.ndarray:
    """Values of x that reach `high` evenly, so that no range is tightened."""
    normal = np.random.default_rng(0).normal(size=2000)
    return np.concatenate([normal, np.linspace(-high, high, 2000)]).astype(np.float32)


@pytest.mark.parametrize("high", [2.5, 4.0, 5.0, 7.0, 8.0, 12.0, 18.0])
def test_gelu_of_all_256_inputs_through_the_runtime(high: float) -> None:
    values = draw_values(high)
    choice = choose_gelu(values, gelu(values))
    assert choice is not None
    # The coarser the steps, the cheaper the form.
    assert choice.kind == ("sigmoid" if high < 6 else "product" if high < 10 else "parabola")
    form, given, made = choice.form, choice.given, choice.made
    assert measure_steps(form, given, made) <= 1
    writer = Writer.__new__(Writer)
    writer.onnx, writer.constants, writer.nodes = onnx, {}, []
    node = helper.make_node("Gelu", ["x"], ["y"], name="gelu")
    writer.write_gelu(node, form)
    ends = [helper.make_tensor_value_info(name, TensorProto.UINT8, [256]) for name in ("x_codes", "y_codes")]
    graph = helper.make_graph(writer.nodes, "gelu", ends[:1], ends[1:], list(writer.constants.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (answers,) = session.run(None, {"x_codes": CODES})
    exact = made.write(gelu(given.read(CODES)))
    assert np.abs(answers.astype(int) - exact.astype(int)).max() <= 1
    # What saturates is answered as well as the rest.
    far = made.read(answers[:1])[0]
    for below in np.linspace(-20, float(given.read(CODES[:1])[0]), 100):
        assert abs(far - gelu(np.array(below))) <= 1.5 * made.scale


def test_no_form_is_taken_that_is_off_by_two_steps() -> None:
    values = draw_values(4.0)
    assert choose_gelu(values, gelu(values), ("parabola", "product")) is None
    assert set(RECIPES) == {"parabola", "product", "sigmoid"}


def test_ranges_are_tightened_only_where_that_helps() -> None:
    values = np.append(np.random.default_rng(0).normal(size=100000), 8.0)
    low, high = choose_range(values)
    assert -4.5 < low < -3 and 4 <= high < 7.5
    assert choose_range(values, floor=-2.6)[0] == -2.6
    assert choose_range(np.array([0.0, 1.0])) == (0.0, 1.0)
    assert choose_range(np.zeros(3)) == (0.0, 1.0)


def test_attention_is_no_layer_with_weights(tmp_path: Path) -> None:
    make, single = helper.make_node, TensorProto.FLOAT
    weight = onnx.numpy_helper.from_array(np.ones((4, 4), np.float32), "weight")
    nodes = [
        make("Transpose", ["weight"], ["turned"]), make("MatMul", ["x", "turned"], ["keys"]),
        make("Add", ["weight", "keys"], ["shifted"]), make("MatMul", ["x", "shifted"], ["scores"]),
        make("MatMul", ["scores", "keys"], ["y"]),
    ]  # fmt: skip
    ends = [helper.make_tensor_value_info(name, single, [4, 4]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "attention", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    # A weight that is only turned around stays one; what features were added to does not.
    assert inspect_onnx(tmp_path / "model.onnx").convolutions == {"float32": 1}
