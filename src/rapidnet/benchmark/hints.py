"""What can be done about a kind of operator that takes much of a network's time?"""

import re

ACTIVATION = "an activation computed by itself: [int8, or ]a network trained with hard-swish or ReLU saves most of it"
LAYOUT = "a change of layout: keep operators that the runtime cannot fuse out of the middle of the network"
FORMAT = "a change of number format: of the pixels at the input; elsewhere a layer in between is computed in float"
# What a kind's name matches, whatever the case -> what can be done about it; the first that fits. The names are the
# runtimes' own: ONNX Runtime's and OpenVINO's, XNNPACK's, LiteRT's kernels, ncnn's, torch's and Core ML's. What is in
# brackets holds for networks that are not int8 yet.
HINTS = {
    r"softmax": "over many classes; take raw logits with --raw",
    r"gelu": ACTIVATION,
    r"subgraph": "elementwise operators compiled into one, activations mostly: [int8 or ]a cheaper activation",
    r"qlinearmul": "the product in a GELU of bytes: a network trained with ReLU saves it",
    r"qlinear(sigmoid|leaky)|^(clip|max|min)$": "a part of a GELU of bytes: a network trained with ReLU saves it",
    r"sigmoid|swish|silu|relu|clamp|logistic|tanh|erf": "an activation computed by itself: ReLU is merged into layers",
    r"reorder|transpose|permute": LAYOUT,
    r"cpp_fused.*sub": "pixels become numbers and are normalised: with --raw the app does it",
    r"cpp_fused_(add_)?convolution": "weights and images laid out anew for the convolution after it, in every run",
    r"convert|quantize|cast|to_copy|dim_order": FORMAT,
    r"slow_conv|thnn_conv": "torch's plain convolution instead of oneDNN's: more threads, or onnx or openvino",
    r"gemm|conv|fully|matmul|innerproduct|linear$": "arithmetic: [int8, ]a smaller image or a smaller variant",
    r"sub|mul": "elementwise: at the input the pixels' normalisation, which --raw leaves to the app; elsewhere a scale",
    r"add|binaryop|eltwise": "branches added up: memory more than arithmetic, so [int8 or ]a smaller image",
    r"mean|pool|reduce": "the average over the last stage: memory more than arithmetic, so [int8 or ]a smaller image",
    r"reshape|squeeze|view|split|memorydata|copy|pad": "memory moved, nothing computed: small beside any real network",
    r"cpp_fused": "elementwise operators compiled into one: memory more than arithmetic, so a smaller image",
}


def find_hint(kind: str, precision: str = "fp32") -> str:
    """What can be done about a kind of operator; '' if nothing is known."""
    hint = next((hint for pattern, hint in HINTS.items() if re.search(pattern, kind, re.IGNORECASE)), "")
    return re.sub(r"\[(.*?)\]", "" if precision == "int8" else r"\1", hint)
