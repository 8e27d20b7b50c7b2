"""How does a float32 ONNX network become an int8 one, in QDQ form, its GELUs included?

Weights are int8, symmetric, one scale per output channel; activations uint8, one scale and zero point per tensor,
chosen on calibration images; biases int32. The answers and the global mean stay in float. Equal inputs
give equal files.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.export.conversion import Conversion
from rapidnet.export.onnx_gelu import Form, Step, choose_gelu
from rapidnet.export.onnx_ranges import choose_range, observe
from rapidnet.runtimes.network import Array

COMPUTED = ("Conv", "Gelu", "Relu", "Clip", "HardSwish", "Sigmoid", "HardSigmoid", "Mul", "Add", "ReduceMean")
"""Operators whose outputs are eight-bit tensors."""
FUSED = {"Relu", "Clip"}
"""Those that belong to the convolution before them: only what comes out of them is ever written."""


def quantize_onnx(model: Any, conversion: Conversion) -> dict[str, Any]:
    """Turn a float32 ModelProto into int8, in place; what was done, for the card.

    Raises:
        UserError: no calibration images, or keep_float names a module that has no convolution.
    """
    if conversion.calibration is None or not len(conversion.calibration):
        raise UserError("int8 needs calibration images; give training images to choose the ranges with")
    kept = find_kept([node for node in model.graph.node if node.op_type == "Conv"], conversion.keep_float)
    writer = Writer(model, conversion.portions(), kept)
    writer.rewrite()
    gelus = Counter(kind for kind, _ in writer.forms.values())
    exact = sum(node.op_type == "Gelu" for node in writer.nodes)
    return {
        "weights": "int8, symmetric, per output channel", "activations": "uint8, per tensor",
        "calibration_images": len(conversion.calibration), "kept_float": sorted(conversion.keep_float),
        "gelu_forms": dict(gelus) | ({"float": exact} if exact else {}),
        "gelu_error": "at most one step of the output, for all 256 inputs" if gelus else "none",
    }  # fmt: skip


def find_kept(convolutions: list[Any], keep_float: frozenset[str]) -> set[str]:
    """Names of the Conv nodes that belong to the modules `keep_float`."""
    # A convolution's weight carries the name of its module.
    modules = {node.input[1].removeprefix("network.").removesuffix(".weight"): node.name for node in convolutions}
    for name in sorted(keep_float):
        if name not in modules:
            raise UserError(f"keep_float names '{name}', which is no convolution of the folded network")
    return {modules[name] for name in keep_float}


class Writer:
    """A rewriting under way: the nodes made so far and the scale of every tensor that is quantised."""

    def __init__(self, model: Any, calibration: Sequence[Array], kept: set[str]) -> None:
        import onnx

        self.onnx, self.graph, self.kept = onnx, model.graph, kept
        self.constants = {item.name: item for item in self.graph.initializer}
        self.nodes: list[Any] = []
        self.readers: Counter[str] = Counter()
        self.forms: dict[str, tuple[str, Form]] = {}
        self.steps = self.choose_steps(model, calibration)

    def choose_steps(self, model: Any, calibration: Sequence[Array]) -> dict[str, Step]:
        """The scale of every tensor to be quantised, by its name in the float network."""
        readers: dict[str, list[str]] = {}
        for node in self.graph.node:
            for name in node.input:
                readers.setdefault(name, []).append(node.op_type)
        first = next(node for node in self.graph.node if node.op_type == "Conv")
        made = [node for node in self.graph.node if node.op_type in COMPUTED and node.name not in self.kept]
        # What only the answers are made from keeps its precision: equal bytes would be equal classes.
        names = [first.input[0]]
        names += [node.output[0] for node in made if set(readers.get(node.output[0], [])) & {*COMPUTED} - FUSED]
        values = observe(model, names, calibration)
        steps = {name: Step.covering(*choose_range(values[name])) for name in names}
        for node in self.graph.node:
            given, name = node.input[0] if node.input else "", node.output[0]
            if node.op_type == "Gelu" and given in steps and name in steps and readers[given] == ["Gelu"]:
                choice = choose_gelu(values[given], values[name])
                if choice is not None:
                    self.forms[node.name] = choice.kind, choice.form
                    steps[given], steps[name] = choice.given, choice.made
        return steps

    def rewrite(self) -> None:
        start = next(i for i, node in enumerate(self.graph.node) if node.op_type == "Conv")
        for i, node in enumerate(list(self.graph.node)):
            if i == start:
                self.quantize(node.input[0], self.steps[node.input[0]])
            if node.name in self.forms:
                self.write_gelu(node, self.forms[node.name][1])
                continue
            inputs = [self.read(name) if name in self.steps else name for name in node.input]
            if node.op_type == "Conv" and node.name not in self.kept:
                inputs = self.write_weights(node, inputs)
            del node.input[:]
            node.input.extend(inputs)
            self.nodes.append(node)
            if i >= start and node.op_type in COMPUTED and node.output[0] in self.steps:
                self.quantize(node.output[0], self.steps[node.output[0]])
        self.finish()

    def write_gelu(self, node: Any, form: Form) -> None:
        """A product of two readings of the same bytes, see `onnx_gelu`."""
        name, codes = node.output[0], f"{node.input[0]}_codes"
        first = codes
        if form.least:
            first = self.add(
                "Max", [codes, self.constant(f"{name}_least", np.uint8(form.least))], f"{name}_first_codes"
            )
        if form.steep is None:
            bounds = [self.constant(f"{name}_bound{i}", np.uint8(bound)) for i, bound in enumerate(form.bounds)]
            second = self.add("Clip", [codes, *bounds], f"{name}_second_codes")
        else:
            gate = self.add("Sigmoid", [self.dequantize(codes, form.steep, f"{name}_steep")], f"{name}_gate")
            second = self.quantize(gate, form.gate)
        factors = [self.dequantize(first, form.first, f"{name}_first")]
        factors.append(self.dequantize(second, form.second, f"{name}_second"))
        self.quantize(self.add("Mul", factors, name), form.write)

    def write_weights(self, node: Any, inputs: list[str]) -> list[str]:
        """int8 weights and an int32 bias in place of a convolution's float ones; its new inputs."""
        weight = self.onnx.numpy_helper.to_array(self.constants[node.input[1]])
        bias = self.onnx.numpy_helper.to_array(self.constants[node.input[2]]) if len(node.input) > 2 else None
        given = self.steps[node.input[0]].scale if node.input[0] in self.steps else np.float32(1)
        scale = np.abs(weight).reshape(len(weight), -1).max(1) / 127
        if bias is not None:
            # The bias is counted in steps of the product; a channel of tiny weights would overflow its 32 bits.
            scale = np.maximum(scale, np.abs(bias) / (given * 2.0**30))
        scale = np.maximum(scale, np.finfo(np.float32).tiny).astype(np.float32)
        wide = scale.reshape(-1, *[1] * (weight.ndim - 1))
        codes = np.clip(np.rint(weight / wide), -127, 127).astype(np.int8)
        outputs = [inputs[0], self.dequantize_constant(node.input[1], codes, scale)]
        if bias is not None:
            counted = np.rint(bias / (scale * given).astype(np.float32)).astype(np.int32)
            outputs.append(self.dequantize_constant(node.input[2], counted, (scale * given).astype(np.float32)))
        return outputs

    def dequantize_constant(self, name: str, codes: Array, scale: Array) -> str:
        inputs = [self.constant(f"{name}_codes", codes), self.constant(f"{name}_scale", scale)]
        inputs.append(self.constant(f"{name}_zero", np.zeros(len(scale), codes.dtype)))
        return self.add("DequantizeLinear", inputs, f"{name}_read", axis=0)

    def quantize(self, name: str, step: Step) -> str:
        """Write the float tensor `name` as bytes, `<name>_codes`."""
        return self.add("QuantizeLinear", [name, *self.add_step(step, f"{name}_write")], f"{name}_codes")

    def read(self, name: str) -> str:
        """The float tensor `name` as its bytes tell it: a reader of its own, as runtimes want for fusing."""
        self.readers[name] += 1
        return self.dequantize(f"{name}_codes", self.steps[name], f"{name}_read{self.readers[name]}")

    def dequantize(self, codes: str, step: Step, output: str) -> str:
        return self.add("DequantizeLinear", [codes, *self.add_step(step, output)], output)

    def add_step(self, step: Step, name: str) -> list[str]:
        zero = self.constant(f"{name}_zero", np.uint8(step.zero))
        return [self.constant(f"{name}_scale", np.float32(step.scale)), zero]

    def constant(self, name: str, values: Any) -> str:
        self.constants[name] = self.onnx.numpy_helper.from_array(np.asarray(values), name)
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], name=f"make_{output}", **attributes))
        return output

    def finish(self) -> None:
        """Put the new nodes in place, with the constants they use and no others."""
        used = Counter(name for node in self.nodes for name in node.input)
        del self.graph.node[:], self.graph.initializer[:], self.graph.value_info[:]
        self.graph.node.extend(self.nodes)
        self.graph.initializer.extend(item for name, item in self.constants.items() if name in used)
