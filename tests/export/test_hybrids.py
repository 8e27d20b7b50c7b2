"""Does a network with attention or a graph in its last stage train, come back, and leave in every format?"""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from rich.console import Console
from tiny import answer_exactly, draw_inputs, measure_sqnr

from conftest import TINY, randomize, tiny_config, write_images
from rapidnet.config import EvaluateConfig, ExportConfig
from rapidnet.data.transforms import Preprocessing
from rapidnet.errors import UserError
from rapidnet.evaluation.evaluate import run_evaluate
from rapidnet.evaluation.trained import load_trained
from rapidnet.export.capture import Captured, InputSpec, capture
from rapidnet.export.conversion import Conversion
from rapidnet.export.converters import adapt, convert
from rapidnet.export.executorch import convert_executorch
from rapidnet.export.export import run_export
from rapidnet.models import create_model
from rapidnet.models.mixers import AttentionMixer, GraphMixer
from rapidnet.runtimes.bundle import read_card
from rapidnet.runtimes.formats import FORMATS
from rapidnet.training.train import run_train

SLOW = ("executorch", "litert")
SMALL = TINY | {"mldc_depths": [0, 0, 1, 1]}
MIXED = [None, None, "attention", "graph"]


def test_from_training_to_a_proven_bundle(tmp_path: Path) -> None:
    for part, count in (("train", 8), ("val", 3)):
        write_images(tmp_path / "photos" / part, {"blue sky": count, "green": count, "red": count})
    options = SMALL | {"mixer_layer": MIXED}
    config = tiny_config(tmp_path / "photos", tmp_path / "run", model_options=options, image_size=96, epochs=4)
    assert run_train(config, Console(quiet=True)) == 0
    trained = load_trained(tmp_path / "run")
    assert trained.metadata["model_options"]["mixer_layer"] == MIXED
    kinds = [type(module) for module in trained.model.modules()]
    assert kinds.count(AttentionMixer) == kinds.count(GraphMixer) == 1  # type: ignore[comparison-overlap]
    hub = json.loads((tmp_path / "run" / "hub" / "config.json").read_text())
    assert hub["model_args"]["mixer_layer"] == MIXED
    assert run_evaluate(EvaluateConfig(str(tmp_path / "run"), output=str(tmp_path / "evaluated"))) == 0
    assert run_export(ExportConfig(str(tmp_path / "run"), output=str(tmp_path / "exported"))) == 0
    assert read_card(tmp_path / "exported" / "rapidnet_ti-onnx-fp32")["certificate"]["verdict"] == "passed"


def capture_hybrid(mixers: list[str | None], spec: InputSpec) -> Captured:
    options = SMALL | {"channels": [8, 8, 64, 16], "mixer_layer": mixers, "layer_scale_init": 1.0}
    model = randomize(create_model("rapidnet_ti", num_classes=10, **options))
    return capture(model, Preprocessing.from_model(model, spec.image_size), "classification", spec)


# Where nothing runs a Core ML program itself, the interpreter does.
@pytest.mark.parametrize(
    "runtime", ["openvino", "ncnn", "coreml", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_other_formats_compute_the_same(runtime: str, tmp_path: Path) -> None:
    spec = InputSpec(96, 96)
    captured = capture_hybrid(MIXED, spec)
    made = convert(runtime, adapt(runtime, Conversion(captured, "fp32")), tmp_path)
    images = draw_inputs(spec, 1, 96, seed=3)
    given = FORMATS[runtime].open(made.artifact, 1).run(images)["probabilities"]
    assert measure_sqnr(answer_exactly(captured, images), given) > 100
    assert measure_sqnr(answer_exactly(capture_hybrid([*MIXED[:3], None], spec), images), given) < 40


def test_executorch_refuses_attention_over_a_batch_that_varies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rapidnet.export.executorch.lower", lambda program, notes: b"a program")
    for mixers, refused in ((MIXED, True), ([None, None, None, "graph"], False)):
        conversion = Conversion(capture_hybrid(mixers, InputSpec(64, 64, max_batch=2)), "fp32")
        with pytest.raises(UserError, match="fixed-batch") if refused else nullcontext():
            convert_executorch(conversion, tmp_path / "model.pte")
    assert (tmp_path / "model.pte").read_bytes() == b"a program"
