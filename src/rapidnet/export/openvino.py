"""How does a captured network become an OpenVINO model, `model.xml` with `model.bin` beside it?"""

import warnings
from pathlib import Path
from typing import Any

from rapidnet.errors import UserError
from rapidnet.export.capture import Captured, InputSpec
from rapidnet.export.conversion import Conversion, Precision


def refuse_openvino(spec: InputSpec, precision: Precision) -> str:
    """Why no model of this kind can be made; '' if it can. Every precision takes varying batches and sizes."""
    return ""


def convert_openvino(conversion: Conversion, path: Path) -> dict[str, Any]:
    """Write `path` and the weights beside it; see `Converter`.

    Raises:
        UserError: the extra is not installed, int8 without calibration images, or an unknown name in keep_float.
    """
    try:
        import openvino
    except ImportError:
        raise UserError("exporting to openvino needs more packages; pip install 'rapidnet[openvino]'") from None
    model = build_openvino(conversion.captured)
    card: dict[str, Any] = {"openvino": openvino.__version__}
    openvino.save_model(model, str(path), compress_to_fp16=conversion.precision == "fp16")
    return card


def build_openvino(captured: Captured) -> Any:
    """The float32 openvino.Model, its input and output named and bounded."""
    import openvino

    spec = captured.spec
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = openvino.convert_model(captured.program)
    # The converter forgets the bounds of what may vary.
    batch = openvino.Dimension(1, spec.max_batch)
    side = openvino.Dimension(spec.image_size, spec.max_image_size)
    model.reshape(openvino.PartialShape([batch, openvino.Dimension(3), side, side]))
    model.inputs[0].get_tensor().set_names({"pixels"})
    model.outputs[0].get_tensor().set_names({captured.output})
    return model
