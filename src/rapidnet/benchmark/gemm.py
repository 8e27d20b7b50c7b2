"""How fast can this machine multiply float32 matrices? In each library that is there; the fastest counts."""

from collections.abc import Callable
from typing import Any

import numpy as np

from rapidnet.runtimes.network import Array

GEMM_SIDE = 768
"""Rows and columns: large enough for the peak."""
PROBES = 10
Product = tuple[Callable[[], Any], str]


def open_gemm(threads: int) -> Product:
    """(a call that multiplies two matrices once, the library and its version)."""
    from rapidnet.benchmark.worker import time_runs

    left, right = np.random.default_rng(0).random((2, GEMM_SIDE, GEMM_SIDE), dtype=np.float32)
    found = [find(left, right, threads) for find in (use_numpy, use_onnxruntime, use_openvino)]
    products = [product for product in found if product is not None]
    return min(products, key=lambda product: min(time_runs(product[0], PROBES, warm=2)))


def use_numpy(left: Array, right: Array, threads: int) -> Product:
    # Its threads follow from the environment the process was started with.
    out = np.empty_like(left)
    return lambda: np.matmul(left, right, out=out), f"numpy {np.__version__}"


def use_onnxruntime(left: Array, right: Array, threads: int) -> Product | None:
    try:
        import onnx
        import onnxruntime
    except ImportError:
        return None
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(name, kind, list(left.shape)) for name in ("x", "y")]
    weight = onnx.numpy_helper.from_array(right, "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "gemm", ends[:1], ends[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": left}), f"onnxruntime {onnxruntime.__version__}"


def use_openvino(left: Array, right: Array, threads: int) -> Product | None:
    from rapidnet.runtimes.openvino import telemetry_declined

    try:
        with telemetry_declined():
            import openvino
            from openvino import opset13
    except ImportError:
        return None
    given = opset13.parameter(left.shape, np.float32)
    model = openvino.Model([opset13.matmul(given, opset13.constant(right), False, False)], [given])
    config = {"INFERENCE_PRECISION_HINT": "f32"} | ({"INFERENCE_NUM_THREADS": threads} if threads else {})
    request = openvino.Core().compile_model(model, "CPU", config).create_infer_request()
    return lambda: request.infer({0: left}, share_inputs=True), f"openvino {openvino.__version__.split('-')[0]}"
