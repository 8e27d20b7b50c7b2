"""Does a file made for a fixed number of images per call take that many, and give the network's answers?"""

from pathlib import Path

import numpy as np
import pytest
from tiny import answer_exactly, capture_tiny, draw_inputs, measure_sqnr

from rapidnet.config import ExportConfig
from rapidnet.errors import UserError
from rapidnet.export.capture import Captured, InputSpec
from rapidnet.export.conversion import Conversion
from rapidnet.export.converters import adapt, convert
from rapidnet.runtimes.formats import FORMATS

FIXED = InputSpec(64, 64, max_batch=3, fixed_batch=True)
LEAST = {"fp32": 100, "int8": 20}
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def captured() -> Captured:
    return capture_tiny(FIXED)


def test_a_spec_says_what_is_fixed() -> None:
    assert FIXED.static and FIXED.batch == 3 and len(FIXED.build_example()) == 3
    varying = InputSpec(64, 64, max_batch=3)
    assert not varying.static and varying.batch == 0
    assert InputSpec(64, 64).static and InputSpec(64, 64).batch == 1
    with pytest.raises(UserError, match="fixed_batch has no effect without --max-batch"):
        ExportConfig("run", fixed_batch=True)


def test_calibration_images_come_in_portions_that_fit(captured: Captured) -> None:
    pixels = draw_inputs(FIXED, 4)
    first, second = Conversion(captured, "int8", pixels).portions()
    assert np.array_equal(first, pixels[:3]) and np.array_equal(second, pixels[[3, 0, 1]])
    one_by_one = Conversion(capture_tiny(), "int8", pixels).portions()
    assert len(one_by_one) == 4 and np.array_equal(np.concatenate(one_by_one), pixels)


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        pytest.param("onnx", "fp32", marks=slow), ("onnx", "int8"), ("openvino", "fp32"),
        pytest.param("openvino", "int8", marks=slow),
        pytest.param("executorch", "fp32", marks=slow), pytest.param("executorch", "int8", marks=slow),
        pytest.param("litert", "fp32", marks=slow), pytest.param("litert", "int8", marks=slow),
        pytest.param("torch", "fp32", marks=slow), pytest.param("ncnn", "fp32", marks=slow),
    ],
)  # fmt: skip
def test_answers_of_a_fixed_batch(name: str, precision: str, captured: Captured, tmp_path: Path) -> None:
    calibration = draw_inputs(FIXED, 16) if precision == "int8" else None
    conversion = Conversion(captured, precision, calibration)  # type: ignore[arg-type]
    network = FORMATS[name].open(convert(name, adapt(name, conversion), tmp_path).artifact, 1)
    # ncnn computes images one by one, whatever it is given.
    assert network.batch == (0 if name == "ncnn" else 3)
    inputs = draw_inputs(FIXED, 3, seed=1)
    given, exact = network.run(inputs)[captured.output], answer_exactly(captured, inputs)
    assert given.shape == (3, 10) and measure_sqnr(exact, given) >= LEAST[precision]
    # Each answer is its own image's.
    assert measure_sqnr(exact, given[::-1]) < measure_sqnr(exact, given) - 8
