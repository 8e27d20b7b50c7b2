"""Does a run become a proven bundle, and does nothing wrong ever get a bundle's name?"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sabotage import sabotage

from conftest import write_images
from rapidnet.cli import main
from rapidnet.config import EvaluateConfig, ExportConfig, PredictConfig
from rapidnet.errors import UserError
from rapidnet.evaluation.evaluate import run_evaluate
from rapidnet.evaluation.predict import run_predict
from rapidnet.evaluation.trained import load_trained
from rapidnet.export import converters
from rapidnet.export.export import run_export
from rapidnet.images import load_image
from rapidnet.runtimes.bundle import open_bundle, read_card


@pytest.fixture(scope="module")
def bundle(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An fp32 ONNX bundle of a trained run; read it, do not write into it."""
    output = tmp_path_factory.mktemp("exported")
    assert run_export(ExportConfig(str(finished_run), output=str(output), results=str(output / "rows.jsonl"))) == 0
    return output / "rapidnet_ti-onnx-fp32"


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    shutil.copytree(bundle, tmp_path / "copy")
    return tmp_path / "copy"


def test_the_bundle_holds_all_that_is_promised(bundle: Path, finished_run: Path) -> None:
    card = read_card(bundle)
    assert {path.name for path in bundle.iterdir()} == {"card.json", "golden.npz", "labels.txt", "model.onnx"}
    assert (bundle / "labels.txt").read_text().splitlines() == card["classes"] == ["blue sky", "green", "red"]
    assert card["certificate"]["verdict"] == "passed"
    assert card["input"]["dtype"] == "uint8" and card["output"] == {"name": "probabilities", "shape": ["batch", 3]}
    assert card["provenance"]["training_data"]["root"].endswith("photos")
    assert len(card["provenance"]["checkpoint_sha256"]) == 64 and card["license"] == "unspecified"
    assert set(card["files"]) == {"golden.npz", "labels.txt", "model.onnx"}
    caught = {item["name"]: item["caught"] for item in card["certificate"]["negative_controls"]}
    assert len(caught) == 8 and all(caught.values())
    row = json.loads((bundle.parent / "rows.jsonl").read_text())
    assert row["verdict"] == "passed" and row["sqnr_db"] >= 100 and row["artifact"] == row["network"]
    assert row["environment"]["packages"]["torch"] == torch.__version__.split("+")[0] or row["environment"]


def test_a_bundle_answers_as_the_network(bundle: Path, finished_run: Path) -> None:
    trained = load_trained(finished_run)
    photos = sorted(Path(trained.metadata["data"]["root"]).glob("val/*/*.png"))
    opened = open_bundle(bundle)
    pixels = np.stack([opened.prepare(path) for path in photos])
    same = torch.stack([trained.preprocessing(load_image(path)) for path in photos])
    assert np.array_equal(pixels, same.numpy())
    with torch.inference_mode():
        expected = trained.model(trained.preprocessing.normalize(same)).softmax(1).numpy()
    assert np.abs(opened.predict(pixels) - expected).max() < 1e-6
    assert np.abs(opened.predict(pixels[:1]) - expected[:1]).max() < 1e-6


def test_predict_and_evaluate_take_a_bundle(
    bundle: Path, finished_run: Path, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    root = load_trained(finished_run).metadata["data"]["root"]
    answers = {}
    for run in (bundle, finished_run):
        assert run_predict(PredictConfig(str(run), f"{root}/val", json=True)) == 0
        answers[run] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["image"] for row in answers[bundle]] == [row["image"] for row in answers[finished_run]]
    for ours, theirs in zip(answers[bundle], answers[finished_run], strict=True):
        assert ours["predictions"][0]["class"] == theirs["predictions"][0]["class"]
        assert ours["predictions"][0]["probability"] == pytest.approx(theirs["predictions"][0]["probability"], abs=1e-5)
    rows = {}
    for run in (bundle, finished_run):
        assert run_evaluate(EvaluateConfig(str(run), json=True, output=str(tmp_path / run.name))) == 0
        rows[run] = json.loads(capsys.readouterr().out)
    assert rows[bundle]["confusion"] == rows[finished_run]["confusion"]
    assert rows[bundle]["nll"] == pytest.approx(rows[finished_run]["nll"], rel=1e-5)
    assert rows[bundle]["runtime"].startswith("onnxruntime")
    with pytest.raises(UserError, match="--fold has no effect"):
        run_evaluate(EvaluateConfig(str(bundle), fold=True))
    with pytest.raises(UserError, match="--weights has no effect"):
        run_predict(PredictConfig(str(bundle), f"{root}/val", weights="raw"))


def test_a_bundle_is_judged_without_torch(bundle: Path, tmp_path: Path) -> None:
    """Nothing that torch is part of may be imported; an unreadable image is counted as for a network."""
    root = tmp_path / "photos"
    shutil.copytree(read_card(bundle)["provenance"]["training_data"]["root"] + "/val", root)
    first = sorted(root.glob("*/*.png"))[0]
    first.write_bytes(b"no image")
    code = (
        "import sys; sys.argv[0] = 'rapidnet'; from rapidnet.cli import main; code = main(sys.argv[1:]); "
        "assert not {'torch', 'torchvision', 'torchmetrics', 'timm'} & set(sys.modules); sys.exit(code)"
    )
    arguments = ["evaluate", str(bundle), "--data", str(root), "--output", str(tmp_path / "out"), "--json"]
    quarantine = [*arguments, "--bad-samples", "quarantine"]
    done = subprocess.run([sys.executable, "-c", code, *quarantine], capture_output=True, text=True, check=True)
    row = json.loads(done.stdout)
    assert (row["images"], row["bad_samples"]) == (len(list(root.glob("*/*.png"))) - 1, 1)
    assert (tmp_path / "out" / "confusion.png").is_file()
    assert (tmp_path / "out" / "quarantine.txt").read_text() == f"{first}\n"
    refused = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert refused.returncode == 2 and str(first) in refused.stderr


def test_raw_artifacts_take_normalised_images_and_give_logits(finished_run: Path, bundle: Path, tmp_path: Path) -> None:
    assert run_export(ExportConfig(str(finished_run), output=str(tmp_path), raw=True)) == 0
    raw = open_bundle(tmp_path / "rapidnet_ti-onnx-fp32")
    assert raw.network.dtype == "float32" and raw.card["output"]["name"] == "logits"
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    assert np.abs(raw.predict(pixels) - open_bundle(bundle).predict(pixels)).max() < 1e-5


def test_bounded_dynamic_shapes(finished_run: Path, tmp_path: Path) -> None:
    config = ExportConfig(str(finished_run), output=str(tmp_path), max_batch=4, max_image_size=96)
    assert run_export(config) == 0
    opened = open_bundle(tmp_path / "rapidnet_ti-onnx-fp32")
    assert opened.network.batch == 0 and opened.card["input"]["size"] == [32, 96]
    model = load_trained(finished_run)
    for count, size in ((1, 32), (4, 64), (6, 96)):
        pixels = np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
        with torch.inference_mode():
            expected = model.model(model.preprocessing.normalize(torch.from_numpy(pixels))).softmax(1).numpy()
        assert np.abs(opened.predict(pixels) - expected).max() < 1e-5
    with pytest.raises(UserError, match="multiples of 32"):
        run_export(ExportConfig(str(finished_run), output=str(tmp_path), image_size=40, max_image_size=96))


@pytest.mark.parametrize("change", ["dilation", "batch normalisation"])
def test_a_sabotaged_converter_gets_no_bundle(
    change: str, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(change, monkeypatch)
    assert run_export(ExportConfig(str(finished_run), output=str(tmp_path), image_size=96)) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["rapidnet_ti-onnx-fp32.rejected"]
    report = json.loads((tmp_path / "rapidnet_ti-onnx-fp32.rejected").read_text())
    assert report["certificate"]["verdict"] == "failed"
    failed = [check["name"] for check in report["certificate"]["checks"] if not check["passed"]]
    assert any("SQNR" in name for name in failed)
    assert ("dilations as in the network" in failed) == (change == "dilation")


def test_an_earlier_bundle_survives_a_failed_export(
    copy: Path, finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = copy.rename(copy.with_name("rapidnet_ti-onnx-fp32"))
    before = (target / "card.json").read_bytes()
    sabotage("dilation", monkeypatch)
    assert run_export(ExportConfig(str(finished_run), output=str(target.parent))) == 4
    assert (target / "card.json").read_bytes() == before and read_card(target)
    monkeypatch.undo()
    assert run_export(ExportConfig(str(finished_run), output=str(target.parent))) == 0
    assert sorted(path.name for path in target.parent.iterdir()) == ["rapidnet_ti-onnx-fp32"]


def test_verify_repeats_the_proof_and_notices_tampering(copy: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["verify", str(copy), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "passed" and len(report["negative_controls"]) == 7
    original = (copy / "model.onnx").read_bytes()
    (copy / "model.onnx").write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    assert main(["verify", str(copy)]) == 2
    message = capsys.readouterr().err
    assert "model.onnx is not the file that was certified" in message and "SHA-256" in message
    (copy / "model.onnx").write_bytes(original)
    card = json.loads((copy / "card.json").read_text())
    card["license"] = "mine"
    (copy / "card.json").write_text(json.dumps(card))
    assert main(["verify", str(copy)]) == 2 and "card_sha256 does not match" in capsys.readouterr().err
    (copy / "card.json").write_text("{")
    assert main(["verify", str(copy)]) == 2 and "damaged" in capsys.readouterr().err
    (copy / "card.json").unlink()
    assert main(["verify", str(copy)]) == 2 and "is not a bundle" in capsys.readouterr().err


def test_verify_fails_where_the_runtime_computes_wrongly(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from rapidnet.runtimes import onnx as runtime
    from rapidnet.runtimes.network import Network

    real = runtime.open_onnx

    def open_wrong(path: Path, threads: int = 0) -> Network:
        network = real(path, threads)
        return Network(
            lambda x: {k: v + 1e-4 for k, v in network.run(x).items()}, network.batch, network.size, network.dtype
        )

    monkeypatch.setattr(runtime, "open_onnx", open_wrong)
    assert main(["verify", str(bundle)]) == 4
    assert "FAILED" in capsys.readouterr().out


def test_the_device_kit_checks_itself(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    import subprocess

    kit = tmp_path / "kit"
    assert main(["verify", str(bundle), "--device-kit", str(kit)]) == 0
    manifest = json.loads((kit / "manifest.json").read_text())
    inputs = np.fromfile(kit / "inputs.bin", dtype=np.uint8).reshape(manifest["input"]["shape"])
    measured = open_bundle(bundle).run(inputs)["probabilities"].astype("<f4")

    def check(values: np.ndarray) -> int:
        values.tofile(tmp_path / "measured.bin")
        return subprocess.run([sys.executable, kit / "check.py", tmp_path / "measured.bin"], check=False).returncode

    assert check(measured) == 0
    assert check(open_bundle(bundle).run(inputs[:, ::-1])["probabilities"].astype("<f4")) == 1
    assert check(measured[:3]) == 2
    assert main(["verify", str(bundle), "--device-kit", str(kit)]) == 2
    assert "is not empty" in capsys.readouterr().err


def test_what_cannot_be_exported_is_refused_first(
    finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(**options: object) -> None:
        run_export(ExportConfig(str(finished_run), output=str(tmp_path / "out"), **options))

    with pytest.raises(UserError, match=r"format 'onxx' is unknown \(did you mean 'onnx'"):
        export(format="onxx")
    with pytest.raises(UserError, match="without --precision int8"):
        export(calibration="x")
    with pytest.raises(UserError, match="ncnn in int8 cannot be exported"):
        export(format="onnx,ncnn", precision="int8")
    with pytest.raises(UserError, match="no convolution"):
        export(precision="int8", keep_float="stages.9.conv")
    monkeypatch.setattr(converters, "find_spec", lambda name: None if name == "onnxscript" else True)
    with pytest.raises(UserError, match=r"onnxscript, which is not installed; pip install 'rapidnet\[onnx\]'"):
        export()
    monkeypatch.undo()
    (tmp_path / "out" / "rapidnet_ti-onnx-fp32").mkdir(parents=True)
    with pytest.raises(UserError, match="is no bundle; move it away"):
        export()


def test_calibration_on_validation_images_is_refused(finished_run: Path, tmp_path: Path) -> None:
    root = Path(load_trained(finished_run).metadata["data"]["root"])

    def export(folder: Path) -> None:
        run_export(
            ExportConfig(str(finished_run), output=str(tmp_path / "out"), precision="int8", calibration=str(folder))
        )

    with pytest.raises(UserError, match="holds a validation image"):
        export(root / "val")
    # The same bytes under another name and beside good ones.
    mixed = write_images(tmp_path / "mixed", {"blue sky": 2, "green": 2, "red": 2}, seed=9)
    shutil.copyfile(root / "val" / "red" / "0.png", mixed / "red" / "holiday.png")
    with pytest.raises(UserError, match=r"holiday\.png"):
        export(mixed)
