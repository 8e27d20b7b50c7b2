"""Does every format, in every precision it offers, become a proven bundle, and is every mistake noticed by it?"""

import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sabotage import sabotage

from conftest import tiny_config, write_images
from rapidnet.cli import main
from rapidnet.config import ExportConfig
from rapidnet.errors import UserError
from rapidnet.export.capture import InputSpec
from rapidnet.export.converters import CONVERTERS, refuse
from rapidnet.export.export import run_export
from rapidnet.runtimes.bundle import open_bundle, read_card
from rapidnet.runtimes.formats import FORMATS
from rapidnet.training.train import run_train

SIZE = 96
"""Of the inputs, in pixels: the last stage is then three pixels wide, so that dilations matter."""
NOT_OFFERED = {("ncnn", "int8"), ("torch", "int8")}
CONTROLS = 8
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with averaged weights on photographs of three easy classes."""
    root = tmp_path_factory.mktemp("formats")
    write_images(root / "photos" / "train", {"blue": 8, "green": 8, "red": 8})
    write_images(root / "photos" / "val", {"blue": 3, "green": 3, "red": 3}, seed=1)
    config = tiny_config(root / "photos", root / "run", epochs=4, image_size=SIZE)
    assert run_train(config, Console(quiet=True)) == 0
    return root / "run"


def test_every_format_has_a_converter_and_a_runtime() -> None:
    assert set(FORMATS) == set(CONVERTERS)


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        pytest.param(name, precision, marks=[] if precision == "fp32" else slow)
        for name in FORMATS
        for precision in ("fp32", "fp16", "int8")
        if (name, precision) not in NOT_OFFERED
    ],
)
def test_a_proven_bundle(name: str, precision: str, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    assert run_export(ExportConfig(str(run), format=name, precision=precision, output=str(tmp_path))) == 0
    said = capfd.readouterr()
    bundle = tmp_path / f"rapidnet_ti-{name}-{precision}"
    card = read_card(bundle)
    controls = {item["name"]: item["caught"] for item in card["certificate"]["negative_controls"]}
    assert len(controls) == CONTROLS and all(controls.values()), controls
    # Large depthwise kernels may be in pieces that skip columns.
    assert [rates for rates in card["structure"]["dilations"] if rates[0] > 1] == [[2, 2], [3, 3]]
    assert "Traceback" not in said.err
    # Noise beside photographs, and a batch that a fixed shape has to be fed in portions.
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, SIZE, SIZE), dtype=np.uint8)
    opened = open_bundle(bundle, threads=1)
    answers = opened.predict(pixels)
    assert answers.shape == (3, 3) and np.allclose(answers.sum(1), 1, atol=2e-2)
    assert np.allclose(opened.predict(pixels[1:2]), answers[1:2], atol=1e-6)
    assert main(["verify", str(bundle), "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["verdict"] == "passed"


@pytest.mark.parametrize("name", list(FORMATS))
@pytest.mark.parametrize(
    "change", [pytest.param("dilation", marks=slow), pytest.param("batch normalisation", marks=slow)]
)
def test_a_sabotaged_converter_is_caught_by_every_backend(
    name: str, change: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(change, monkeypatch)
    assert run_export(ExportConfig(str(run), format=name, output=str(tmp_path))) == 4
    report = json.loads((tmp_path / f"rapidnet_ti-{name}-fp32.rejected").read_text())
    failed = [check["name"] for check in report["certificate"]["checks"] if not check["passed"]]
    assert any("SQNR" in text for text in failed), failed
    assert ("dilations as in the network" in failed) == (change == "dilation")


@pytest.mark.parametrize(("name", "precision"), sorted(NOT_OFFERED))
def test_what_is_not_offered_is_refused_with_the_reason(name: str, precision: str) -> None:
    with pytest.raises(UserError, match=f"{name} in {precision} cannot be exported: .*"):
        refuse(name, InputSpec(32, 32), precision)


@pytest.mark.parametrize("name", ["coreml", "litert"])
def test_shapes_that_cannot_vary_are_refused(name: str) -> None:
    for spec in (InputSpec(32, 64), InputSpec(32, 32, max_batch=2)):
        with pytest.raises(UserError, match="leave out --max-batch and --max-image-size"):
            refuse(name, spec, "fp32")
    fixed = InputSpec(32, 32, max_batch=2, fixed_batch=True)
    if name == "litert":
        refuse(name, fixed, "fp32")
        return
    with pytest.raises(UserError, match="its image inputs have a fixed shape"):
        refuse(name, fixed, "fp32")


@pytest.mark.parametrize("name", ["ncnn", pytest.param("torch", marks=slow)])
def test_shapes_vary_where_they_are_said_to(name: str, run: Path, tmp_path: Path) -> None:
    config = ExportConfig(str(run), format=name, output=str(tmp_path), max_batch=3, max_image_size=160)
    assert run_export(config) == 0
    opened = open_bundle(tmp_path / f"rapidnet_ti-{name}-fp32")
    reference = tmp_path / "onnx"
    assert run_export(ExportConfig(str(run), output=str(reference), max_batch=3, max_image_size=160)) == 0
    other = open_bundle(reference / "rapidnet_ti-onnx-fp32")
    for count, size in ((1, 96), (3, 128), (2, 160)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
        assert np.abs(opened.predict(pixels) - other.predict(pixels)).max() < 1e-5
