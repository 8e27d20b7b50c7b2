"""How do a captured network's convolutions come to compute in int8, as XNNPACK wants them?"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

from rapidnet.export.capture import export_program
from rapidnet.export.conversion import Conversion

SCHEME = "int8: weights symmetric per channel, activations asymmetric per tensor, scales from histograms (PT2E)"

ADD, CONV, GELU = torch.ops.aten.add.Tensor, torch.ops.aten.conv2d.default, torch.ops.aten.gelu.default


def quantize(conversion: Conversion) -> ExportedProgram:
    """The captured program with int8 arithmetic written into it; equal calibration images make equal programs."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    captured = conversion.captured
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        observed = prepare_pt2e(captured.program.module(), build_quantizer(conversion.keep_float))
        # Where the batch varies, so may the portions; elsewhere images go one by one.
        for portion in conversion.portions(captured.spec.max_batch):
            observed(torch.from_numpy(portion))
        quantized = convert_pt2e(observed)
    return export_program(quantized, captured.example, captured.spec)


def build_quantizer(keep_float: frozenset[str]) -> Any:
    """Says which values are int8: around each convolution of the network, each residual sum and each GELU.

    A convolution of `keep_float` keeps float weights and a float input and output.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import propagate_annotation
    from torchao.quantization.pt2e.quantizer import QuantizationAnnotation

    config = get_symmetric_quantization_config(is_per_channel=True)

    class RapidNetQuantizer(XNNPACKQuantizer):
        """XNNPACK's own rules, and the GELU, which they leave in float."""

        def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
            super().annotate(model)
            for node in model.graph.nodes:
                source = node.args[0] if node.target == GELU else None
                if source is not None and "quantization_annotation" in source.meta:
                    node.meta["quantization_annotation"] = QuantizationAnnotation(
                        {source: config.input_activation}, config.output_activation, _annotated=True
                    )
            propagate_annotation(model)
            return model

    return RapidNetQuantizer().set_global(config).set_filter_function(build_filter(keep_float))


def build_filter(keep_float: frozenset[str]) -> Callable[[fx.Node], bool]:
    """Whether a node may be int8: not what lies around the network, and no layer of `keep_float`."""

    def may_be_int8(node: fx.Node) -> bool:
        if node.op != "call_function":
            return True  # a weight goes with its layer
        name = find_layer(node)
        return name is not None and not (node.target == CONV and name in keep_float)

    return may_be_int8


def find_layer(node: fx.Node) -> str | None:
    """Name within the network of the module that a node comes from; None for what lies around the network."""
    paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    names = [path.split("network.", 1)[1] for path in paths if "network." in path]
    return names[-1] if names else None
