"""How does a captured network become an OpenVINO model, `model.xml` with `model.bin` beside it?"""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rapidnet.errors import UserError
from rapidnet.export.capture import Captured, InputSpec
from rapidnet.export.conversion import Conversion, Precision
from rapidnet.runtimes.openvino import telemetry_declined


def refuse_openvino(spec: InputSpec, precision: Precision) -> str:
    """Why no model of this kind can be made; '' if it can. Every precision takes varying batches and sizes."""
    return ""


def convert_openvino(conversion: Conversion, path: Path) -> dict[str, Any]:
    """Write `path` and the weights beside it; see `Converter`.

    Raises:
        UserError: the extra is not installed, int8 without calibration images, or an unknown name in keep_float.
    """
    try:
        with telemetry_declined():
            import openvino
    except ImportError:
        raise UserError("exporting to openvino needs more packages; pip install 'rapidnet[openvino]'") from None
    card: dict[str, Any] = {"openvino": openvino.__version__.split("-")[0]}
    with in_silence():
        model = build_openvino(conversion.captured)
        if conversion.precision == "int8":
            from rapidnet.export.openvino_int8 import quantize_openvino

            model, done = quantize_openvino(model, conversion)
            card |= done
        elif conversion.precision == "fp16":
            card |= {"float16": "weights; a runtime computes in what it is asked to"}
        number_names(model)
        openvino.save_model(model, str(path), compress_to_fp16=conversion.precision == "fp16")
    return card


def build_openvino(captured: Captured) -> Any:
    """The float32 openvino.Model, its input and output named and bounded."""
    import openvino

    spec = captured.spec
    model = openvino.convert_model(captured.program)
    # The converter forgets the bounds of what may vary.
    batch = openvino.Dimension(spec.batch or 1, spec.max_batch)
    side = openvino.Dimension(spec.image_size, spec.max_image_size)
    across = openvino.Dimension(spec.width) if spec.width else side
    model.reshape(openvino.PartialShape([batch, openvino.Dimension(3), side, across]))
    model.inputs[0].get_tensor().set_names({"pixels"})
    for output, name in zip(model.outputs, captured.outputs, strict=True):
        output.get_tensor().set_names({name})
    return model


def number_names(model: Any) -> None:
    """Rename what was named by a counter of the whole process, so that equal models make equal files."""
    model.set_friendly_name("rapidnet")
    for i, operator in enumerate(model.get_ordered_ops()):
        kind = operator.get_type_name()
        if re.fullmatch(rf"{kind}_\d+", operator.get_friendly_name()):
            operator.set_friendly_name(f"{kind}_{i}")


@contextmanager
def in_silence() -> Iterator[None]:
    """No telemetry, no warnings and no chatter from what runs within; everything is put back behind it."""
    loggers = {name: logging.getLogger(name) for name in ("nncf", "torch.utils.cpp_extension")}
    levels = {name: logger.level for name, logger in loggers.items()}
    with warnings.catch_warnings(), telemetry_declined():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers.values():
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for name, logger in loggers.items():
                logger.setLevel(levels[name])
