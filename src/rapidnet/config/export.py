"""What can be asked when a network is exported, its proof repeated, or the runtimes looked over?"""

from dataclasses import dataclass
from typing import Literal

from rapidnet.config.choices import Weights, check
from rapidnet.errors import UserError, nearest

FORMATS = ("onnx", "openvino", "executorch", "coreml", "litert", "ncnn", "torch")


@dataclass
class ExportConfig:
    """Turn a trained network into artifacts for phones, browsers and edge CPUs, each with a certificate."""

    source: str
    """A run folder, a checkpoint file, or the name of a network with pretrained weights."""
    format: str = "onnx"
    """Formats, separated by commas: onnx, openvino, executorch, coreml, litert, ncnn, torch; or all."""
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """Number format: float, half precision, or integers with scales found on training images."""
    output: str = "exported"
    """The folder that receives one bundle (a folder) for each format."""
    part: Literal["whole", "features"] = "whole"
    """Of a detector or segmenter, the whole network or the levels of its feature pyramid alone."""
    raw: bool = False
    """Take normalised float32 images and give logits, instead of uint8 pixels and probabilities."""
    image_size: int = 0
    """Height and width of the input, in pixels; 0 takes the size the network validated with."""
    max_image_size: int = 0
    """Let the size vary up to this (multiples of 32); 0 keeps it fixed."""
    max_batch: int = 1
    """Let the images per call vary from 1 to this; 1 keeps it fixed."""
    fixed_batch: bool = False
    """Fix the images per call at max_batch, which suits runtimes that lay out their memory when they open a file."""
    weights: Weights = "best"
    """The averaged weights (if there are any), the raw ones, or those of the two that validated better."""
    model: str = ""
    """The network of a checkpoint that does not say it, such as the authors': rapidnet_ti."""
    data: str = ""
    """Labelled images to prove the accuracy on; empty takes the validation images of the training run."""
    labels: str = ""
    """A CSV of labels, for --data and a run whose images carry several."""
    check_images: int = 500
    """How many of them (the same for every artifact); 0 takes all."""
    calibration: str = ""
    """Training images for int8; empty takes the training images of the run. Validation images are refused."""
    calibration_images: int = 256
    """How many of them."""
    keep_float: str = "auto"
    """For int8, layers left in float: names separated by commas, none, or auto (the worst, until accuracy holds)."""
    license: str = "unspecified"
    """The licence of the weights, for the card."""
    results: str = ""
    """A JSON-lines file to append a row for each artifact to."""

    def __post_init__(self) -> None:
        self.formats = parse_formats(self.format)
        check(self.max_batch >= 1, f"max_batch is {self.max_batch}; it must be at least 1")
        check(not self.fixed_batch or self.max_batch > 1, "fixed_batch has no effect without --max-batch; leave it out")
        check(self.check_images >= 0, f"check_images is {self.check_images}; it must not be negative")
        check(self.calibration_images >= 1, f"calibration_images is {self.calibration_images}; give at least 1")
        quantised = self.precision == "int8"
        check(quantised or not self.calibration, "calibration has no effect without --precision int8; leave it out")
        check(quantised or self.keep_float == "auto", "keep_float has no effect without --precision int8; leave it out")


@dataclass
class VerifyConfig:
    """Repeat the proof of an exported bundle on this machine, offline."""

    bundle: str
    """A bundle folder that rapidnet export wrote."""
    device_kit: str = ""
    """Also write golden inputs, outputs and a runner page and script into this folder, to check on a device."""
    threads: int = 0
    """Threads of the runtime; 0 leaves it to the runtime."""
    arithmetic: Literal["", "bf16"] = ""
    """What OpenVINO may compute a float32 artifact in; empty holds it to float32."""
    compute_unit: Literal["", "all", "cpu", "cpu_gpu", "cpu_ne"] = ""
    """Where Core ML may compute, on a Mac; empty leaves it all."""
    json: bool = False
    """Print one JSON line instead of tables."""


@dataclass
class DoctorConfig:
    """Say which runtimes are installed, which versions were tested, and what to install for the rest."""

    json: bool = False
    """Print one JSON line instead of a table."""


def parse_formats(text: str) -> tuple[str, ...]:
    """The formats named in `text`, in its order, each once.

    Raises:
        UserError: an unknown one, or none.
    """
    names = list(FORMATS) if text == "all" else [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in FORMATS:
            raise UserError(f"format '{name}' is unknown{nearest(name, list(FORMATS))}; give {', '.join(FORMATS)}")
    check(bool(names), "format is empty; name at least one, such as onnx")
    return tuple(dict.fromkeys(names))
