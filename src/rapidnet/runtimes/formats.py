"""Which formats are there, what runs each of them, and which of its operators are known to be right?"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rapidnet.errors import UserError
from rapidnet.runtimes.network import Network, Structure


@dataclass(frozen=True)
class Format:
    """One format of artifacts.

    artifact: the file's (or folder's) name in a bundle; module: where `open_*` and `inspect_*` are, by their suffix.
    extra: what pip installs for it; runs_with, converts_with: the packages it needs.
    operators: what may occur in an artifact, by the format's own names; anything else fails the certificate.
    arithmetics: number formats other than the artifact's own that the runtime can be asked to compute in.
    units: the processors that the runtime can be told to keep to.
    """

    artifact: str
    module: str
    suffix: str
    extra: str
    runs_with: tuple[str, ...]
    converts_with: tuple[str, ...]
    operators: frozenset[str]
    arithmetics: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def open(self, path: str | Path, threads: int = 0, arithmetic: str = "", unit: str = "") -> Network:
        """Open an artifact in its own runtime; raises UserError.

        arithmetic: bf16 lets float32 networks be computed in bfloat16, where the runtime offers that.
        unit: all, cpu, cpu_gpu or cpu_ne (Neural Engine) says where Core ML may compute.
        """
        if arithmetic and arithmetic not in self.arithmetics:
            raise UserError(f"{self.suffix} artifacts cannot be computed in {arithmetic}; OpenVINO's can")
        if unit and unit not in self.units:
            raise UserError(f"{self.suffix} artifacts take no compute unit; Core ML's do")
        given = {"arithmetic": arithmetic, "unit": unit}
        network: Network = self._find("open")(path, threads, **{key: value for key, value in given.items() if value})
        return network

    def inspect(self, path: str | Path) -> Structure:
        """Read what an artifact is made of; raises UserError."""
        structure: Structure = self._find("inspect")(path)
        return structure

    def _find(self, verb: str) -> Callable[..., Any]:
        return getattr(import_module(self.module), f"{verb}_{self.suffix}")


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FORMATS: dict[str, Format] = {
    "onnx": Format(
        "model.onnx", "rapidnet.runtimes.onnx", "onnx", "onnx", ("onnxruntime",), ("onnx", "onnxscript"),
        words(
            "Add And Cast Clip Concat ConstantOfShape Conv ConvTranspose DequantizeLinear Div Equal Exp Floor Gather "
            "GatherND Gelu Gemm Greater GreaterOrEqual HardSigmoid HardSwish Less Log MatMul Max MaxPool Min Mod "
            "Mul NonMaxSuppression QuantizeLinear ReduceMean Relu Reshape Resize RoiAlign Shape Sigmoid Slice Softmax "
            "Sqrt Squeeze Sub TopK Transpose Unsqueeze Where"
        ),
    ),
    "openvino": Format(
        "model.xml", "rapidnet.runtimes.openvino", "openvino", "openvino", ("openvino",), ("nncf",),
        words(
            "Add Broadcast Clamp Concat Convert Convolution FakeQuantize Gather Gelu GroupConvolution HSwish "
            "Interpolate MatMul MaxPool Maximum Minimum Multiply Parameter ReLU ReduceMean Reshape Result ShapeOf "
            "Sigmoid Slice SoftMax Sqrt Subtract Swish Transpose"
        ),
        ("bf16",),
    ),
    "executorch": Format(
        "model.pte", "rapidnet.runtimes.executorch", "executorch", "executorch", ("executorch", "torch"), ("torchao",),
        words(
            "XNNAdd XNNBatchMatrixMultiply XNNClamp XNNConcatenate2 XNNConcatenate3 XNNConv2d XNNConvert "
            "XNNDepthwiseConv2d XNNGelu XNNGlobalAvgPooling2d XNNMaximum XNNMinimum XNNMultiply XNNSigmoid "
            "XNNSoftmax XNNSquareRoot XNNStaticReshape XNNStaticResizeBilinear2D XNNStaticSlice "
            "XNNStaticTranspose XNNSubtract aten::expand_copy.out aten::max_pool2d_with_indices.out "
            "aten::sym_size.int aten::upsample_nearest2d.vec_out "
            "dim_order_ops::_to_dim_order_copy.out executorch_prim::et_view.default"
        ),
    ),
    "coreml": Format(
        "model.mlpackage", "rapidnet.runtimes.coreml", "coreml", "coreml", ("coremltools",), (),
        words(
            "add cast clip concat constexpr_affine_dequantize conv gelu matmul max_pool maximum minimum mul "
            "reduce_mean relu reshape sigmoid silu slice_by_index softmax sqrt squeeze sub transpose "
            "upsample_bilinear upsample_nearest_neighbor"
        ),
        units=("all", "cpu", "cpu_gpu", "cpu_ne"),
    ),
    "litert": Format(
        "model.tflite", "rapidnet.runtimes.litert", "litert", "litert", ("ai-edge-litert",),
        ("litert-torch", "ai-edge-quantizer"),
        words(
            "ADD BATCH_MATMUL CAST CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEQUANTIZE FULLY_CONNECTED GELU HARD_SWISH "
            "LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PAD QUANTIZE RELU RESHAPE RESIZE_BILINEAR "
            "RESIZE_NEAREST_NEIGHBOR SLICE SOFTMAX SQRT SUB TRANSPOSE"
        ),
    ),
    "ncnn": Format(
        "model.ncnn.param", "rapidnet.runtimes.ncnn", "ncnn", "ncnn", ("ncnn",), ("pnnx",),
        words("BinaryOp Clip Concat Convolution ConvolutionDepthWise Crop GELU HardSwish InnerProduct Input Interp "
              "MatMul MemoryData Permute Pooling ReLU Reshape Sigmoid Slice Softmax Split Swish UnaryOp"),
    ),
    "torch": Format(
        "model.pt2", "rapidnet.runtimes.aot_inductor", "torch", "", ("torch",), (),
        words("bmm_out convolution empty_strided fused_kernel"),
    ),
}  # fmt: skip

# The versions that requirements.lock installs and CI runs.
TESTED = {
    "ai-edge-litert": "2.3.0",
    "ai-edge-quantizer": "0.10.0",
    "coremltools": "9.0",
    "executorch": "1.5.1",
    "litert-torch": "0.10.0",
    "ncnn": "1.0.20261020",
    "nncf": "3.4.0",
    "onnx": "1.23.2",
    "onnxruntime": "1.32.0",
    "onnxscript": "0.7.2",
    "openvino": "2026.4.1",
    "pnnx": "20261020",
    "torch": "2.14.1",
    "torchao": "0.18.0",
}
