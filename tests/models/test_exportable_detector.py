"""Is the exported graph the detector: the same boxes, with and without suppression within, in torch and in ONNX?"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from conftest import randomize
from models.dense import small_detector
from rapidnet.errors import UserError
from rapidnet.models.exportable_detector import ExportableDetector
from rapidnet.models.fold_any import fold_any
from rapidnet.models.reparameterize import is_folded
from rapidnet.runtimes.detections import select_detections

SIZE = (64, 96)
THRESHOLD = 0.9


@pytest.fixture(scope="module")
def detector() -> Any:
    """With weights large enough that boxes and scores differ from one another, and statistics to fold."""
    model: Any = small_detector("fcos", min_size=64, max_size=96, score_threshold=THRESHOLD, detections=30)
    randomize(model)
    with torch.no_grad():
        for layer in (model.head.cls_logits, model.head.bbox_reg, model.head.bbox_ctrness):
            layer.weight.mul_(10)
    return model.eval()


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return (torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(1)) * 255).round()


def export(module: nn.Module, pixels: Tensor) -> torch.export.ExportedProgram:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(module, (pixels,))


def expect(detector: Any, pixels: Tensor) -> dict[str, Tensor]:
    with torch.inference_mode():
        (answer,) = detector([pixels[0] / 255])
    assert 5 < len(answer["scores"]) < 30, "some, and fewer than are allowed"
    return answer


@torch.inference_mode()
def test_raw_answers_select_to_the_detectors(detector: Any, pixels: Tensor) -> None:
    answer, network = expect(detector, pixels), ExportableDetector(detector, SIZE).eval()
    boxes, scores = network(pixels)
    points = 8 * 12 + 4 * 6 + 2 * 3
    assert boxes.shape == (points, 4) and scores.shape == (points, 3)
    found = select_detections(boxes.numpy(), scores.numpy(), THRESHOLD, 0.6, detections=30)
    assert np.array_equal(found.labels, answer["labels"].numpy())
    assert np.allclose(found.boxes, answer["boxes"], atol=1e-4) and np.allclose(
        found.scores, answer["scores"], atol=1e-6
    )
    assert torch.equal(network(pixels.to(torch.uint8))[0], boxes), "bytes are the same pixels"
    # Exchanged colours are another image, and its answers differ.
    assert not np.allclose(network(pixels.flip(1))[1], scores, atol=1e-3)


@torch.inference_mode()
def test_suppression_within_gives_the_detectors(detector: Any, pixels: Tensor) -> None:
    answer, network = expect(detector, pixels), ExportableDetector(detector, SIZE, suppress=True).eval()
    boxes, scores, labels = network(pixels)
    count = len(answer["scores"])
    assert boxes.shape == (30, 4) and scores.shape == labels.shape == (30,) and labels.dtype == torch.int64
    assert torch.equal(labels[:count], answer["labels"]) and torch.allclose(boxes[:count], answer["boxes"], atol=1e-4)
    assert torch.allclose(scores[:count], answer["scores"]) and not scores[count:].any()


@pytest.mark.parametrize("suppress", [False, True])
def test_torch_export_keeps_the_answers(detector: Any, pixels: Tensor, suppress: bool) -> None:
    network = ExportableDetector(detector, SIZE, suppress).eval()
    other = pixels.flip(3)
    with torch.inference_mode():
        exported = export(network, pixels).module()(other)
        assert all(torch.equal(a, b) for a, b in zip(exported, network(other), strict=True))


@pytest.mark.parametrize("suppress", [False, True])
def test_onnx_runtime_gives_the_answers(detector: Any, pixels: Tensor, suppress: bool, tmp_path: Path) -> None:
    network = fold_any(ExportableDetector(detector, SIZE, suppress).eval())
    assert is_folded(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(export(network, pixels), (pixels,), dynamo=True, opset_version=20, verbose=False)
    assert program is not None
    program.save(str(tmp_path / "model.onnx"))
    operators = {node.op_type for node in program.model_proto.graph.node}
    assert ("NonMaxSuppression" in operators) == suppress and "BatchNormalization" not in operators
    if not suppress:
        assert operators <= {
            "Add", "Clip", "Concat", "Conv", "Gather", "Gelu", "Max", "Min", "Mul", "Relu", "Reshape", "Resize",
            "Sigmoid", "Slice", "Sqrt", "Squeeze", "Sub", "Transpose",
        }, operators  # fmt: skip
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    answers = session.run(None, {session.get_inputs()[0].name: pixels.numpy()})
    with torch.inference_mode():
        expected = ExportableDetector(detector, SIZE, suppress).eval()(pixels)
    count = int((expected[1] > 0).sum()) if suppress else len(expected[0])
    for got, want in zip(answers, expected, strict=True):
        assert np.allclose(got[:count], want[:count], rtol=1e-4, atol=1e-3)
    assert np.allclose(answers[1], expected[1], atol=1e-5), "what is left over has score 0"


@pytest.mark.parametrize(
    ("kind", "size", "training", "message"),
    [
        ("faster_rcnn", SIZE, False, "'fcos' can"),
        ("fcos", SIZE, True, "in training mode"),
        ("fcos", (64, 100), False, "image size 64x100 does not fit .* multiples of 32"),
        ("fcos", (0, 96), False, "multiples of 32"),
    ],
)
def test_what_cannot_be_exported_is_refused(kind: str, size: tuple[int, int], training: bool, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ExportableDetector(small_detector(kind).train(training), size)
