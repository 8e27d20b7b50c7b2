"""Does a detector's or segmenter's run become a proven bundle that answers as the network? Are mistakes noticed?"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from dense_runs import SIDE, write_run
from PIL import Image

import rapidnet.export.export as command
from rapidnet.cli import main
from rapidnet.config import ExportConfig
from rapidnet.errors import UserError
from rapidnet.evaluation.trained_dense import load_trained_dense
from rapidnet.export.capture import export_program
from rapidnet.export.dense_samples import answer_eagerly, choose_size, describe_preprocessing
from rapidnet.export.export import run_export
from rapidnet.runtimes.__main__ import main as describe_pictures
from rapidnet.runtimes.bundle import open_bundle, read_card

OPTIONS: dict[str, dict[str, Any]] = {"fcos": {"score_threshold": 0.7}, "semantic_fpn": {}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("dense")
    return {head: write_run(folder / head, head, **options) for head, options in OPTIONS.items()}


@pytest.fixture(scope="module")
def exported(runs: dict[str, Path]) -> dict[str, Path]:
    """ONNX bundles by head; read them, do not write into them."""
    bundles = {}
    for head, run in runs.items():
        output = run / "exported"
        assert run_export(ExportConfig(str(run), output=str(output), results=str(run / "rows.jsonl"))) == 0
        bundles[head] = output / f"rapidnet_ti-{head}-onnx-fp32"
    return bundles


def draw_picture(height: int = 48, width: int = 80) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("head", "outputs"),
    [("fcos", {"boxes": [1, 84, 4], "scores": [1, 84, 10]}), ("semantic_fpn", {"logits": [1, 11, SIDE, SIDE]})],
)
def test_the_card_says_how_to_answer(
    head: str, outputs: dict, exported: dict[str, Path], runs: dict[str, Path]
) -> None:
    card = read_card(exported[head])
    assert {output["name"]: output["shape"] for output in card["outputs"]} == outputs
    assert (card["head"], card["input"]["height"], card["input"]["width"]) == (head, SIDE, SIDE)
    assert (
        len(card["classes"])
        == len(card["category_ids"])
        == outputs[next(reversed(outputs))][2 if head == "fcos" else 1]
    )
    controls = {item["name"]: item["caught"] for item in card["certificate"]["negative_controls"]}
    assert controls.pop("averaged and raw weights exchanged") is None and len(controls) == 7
    assert all(controls.values()), controls
    figures = card["certificate"]["task"]
    assert figures["images"] == 12 and figures["agreement"] == 100 and figures["artifact"] == figures["network"]
    if head == "fcos":
        assert card["answers"]["score_threshold"] == 0.7 and figures["boxes"][0] > 12
    row = json.loads((runs[head] / "rows.jsonl").read_text())
    assert (row["study"], row["head"], row["part"], row["verdict"]) == ("export", head, "whole", "passed")
    assert row["sqnr_db"] > 112 and row["agreement"] == 100


@pytest.mark.parametrize("head", OPTIONS)
def test_a_bundle_answers_in_the_pictures_own_pixels(
    head: str, exported: dict[str, Path], runs: dict[str, Path]
) -> None:
    bundle, trained = open_bundle(exported[head]), load_trained_dense(runs[head])
    picture = draw_picture()
    answer = bundle.answer(picture)
    (own,) = answer_eagerly(trained, [(picture, {})], bundle.card["preprocessing"])  # type: ignore[arg-type]
    assert answer.keys() == own.keys()
    if head == "fcos":
        assert len(answer["boxes"]) > 3 and np.array_equal(answer["labels"], own["labels"])
        assert np.allclose(answer["boxes"], own["boxes"], atol=1e-3)
        assert np.allclose(answer["scores"], own["scores"], atol=1e-5)
        # Nothing lies in the padding: of 64 x 64 pixels the picture fills 38 x 64.
        assert answer["boxes"][:, [0, 2]].max() <= 80.001 and answer["boxes"][:, [1, 3]].max() <= 48.001
    else:
        assert answer["semantic"].shape == (48, 80) and (answer["semantic"] == own["semantic"]).mean() > 0.999
        assert len(np.unique(answer["semantic"])) > 1
    # Another picture has another answer.
    other = bundle.answer(picture[..., ::-1].copy())
    assert any(other[name].shape != answer[name].shape or not np.array_equal(other[name], answer[name]) for name in own)


@pytest.mark.parametrize("head", OPTIONS)
def test_neither_answers_nor_verification_need_torch(head: str, exported: dict[str, Path], tmp_path: Path) -> None:
    Image.fromarray(draw_picture()).save(tmp_path / "picture.png")
    code = (
        "import sys; sys.argv[0] = 'rapidnet'; from rapidnet.cli import main; "
        "from rapidnet.runtimes.bundle import open_bundle; "
        "found = open_bundle(sys.argv[1]).answer(sys.argv[2]); code = main(['verify', sys.argv[1], '--json']); "
        "assert not {'torch', 'torchvision', 'timm'} & set(sys.modules); print(sorted(found)); sys.exit(code)"
    )
    arguments = [sys.executable, "-c", code, str(exported[head]), str(tmp_path / "picture.png")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    verdict, names = done.stdout.splitlines()
    assert json.loads(verdict)["verdict"] == "passed"
    assert names == str(["boxes", "labels", "scores"] if head == "fcos" else ["semantic"])


def damage(monkeypatch: pytest.MonkeyPatch, find: Callable[[Any], torch.Tensor]) -> None:
    """Make the converter work on a network in which one weight is a tenth too large."""
    from copy import deepcopy

    real = command.convert

    def convert(name: str, conversion: Any, folder: Path) -> Any:
        captured = conversion.captured
        module = deepcopy(captured.module)
        with torch.no_grad():
            find(module.network).mul_(1.1)
        program = export_program(module, captured.example, captured.spec)
        return real(name, replace(conversion, captured=replace(captured, module=module, program=program)), folder)

    monkeypatch.setattr(command, "convert", convert)


@pytest.mark.parametrize(
    ("head", "find", "failing"),
    [
        ("fcos", lambda network: network.head.cls_logits.weight, "scores"),
        ("fcos", lambda network: network.reach, "boxes"),
        ("semantic_fpn", lambda network: network.segmenter.classifier.bias, "logits"),
    ],
)
def test_a_damaged_network_gets_no_bundle(
    head: str, find: Callable, failing: str, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(monkeypatch, find)
    assert run_export(ExportConfig(str(runs[head]), output=str(tmp_path))) == 4
    (report,) = tmp_path.iterdir()
    assert report.name == f"rapidnet_ti-{head}-onnx-fp32.rejected"
    checks = json.loads(report.read_text())["certificate"]["checks"]
    failed = [check["name"] for check in checks if not check["passed"]]
    assert f"{failing}, real inputs: SQNR" in failed
    assert any(name.startswith("labelled images: same") for name in failed), failed
    # What is right is not blamed.
    assert not any(name.startswith("boxes") for name in failed) or failing == "boxes"


def test_the_pyramid_alone(runs: dict[str, Path], tmp_path: Path) -> None:
    assert run_export(ExportConfig(str(runs["fcos"]), output=str(tmp_path), part="features", raw=True)) == 0
    bundle = open_bundle(tmp_path / "rapidnet_ti-fcos-features-onnx-fp32")
    assert bundle.output_names == ["p3", "p4", "p5"] and bundle.network.dtype == "float32"
    pixels = draw_picture(SIDE, SIDE).transpose(2, 0, 1)[None]
    trained = load_trained_dense(runs["fcos"])
    with torch.inference_mode():
        levels: Any = trained.model.backbone(trained.preprocessing.normalize(torch.from_numpy(pixels.copy())))
    for found, level in zip(bundle.run(pixels).values(), levels.values(), strict=True):
        assert np.allclose(found, level, atol=1e-4 * float(level.abs().max()))
    with pytest.raises(UserError, match="answers with p3, p4, p5, not with objects"):
        bundle.answer(draw_picture())


def test_what_cannot_be_exported_is_refused(runs: dict[str, Path], finished_run: Path, tmp_path: Path) -> None:
    def export(run: Path = runs["fcos"], **options: Any) -> None:
        run_export(ExportConfig(str(run), output=str(tmp_path), **options))

    with pytest.raises(UserError, match="int8 is offered for classifiers only"):
        export(precision="int8")
    with pytest.raises(UserError, match="one image of a fixed size"):
        export(max_batch=2)
    with pytest.raises(UserError, match="image size 80x80 does not fit the network; give a multiple of 32"):
        export(image_size=80)
    masks = write_run(tmp_path.with_name("masks"), "mask_rcnn")
    for options in ({"format": "litert"}, {"precision": "fp16"}):
        with pytest.raises(UserError, match="mask_rcnn is exported whole as onnx in fp32 only"):
            export(masks, **options)
    with pytest.raises(UserError, match="--part features is for detectors and segmenters"):
        export(finished_run, part="features")
    assert not list(tmp_path.iterdir())


def test_the_size_follows_from_the_pictures(runs: dict[str, Path]) -> None:
    trained = load_trained_dense(runs["semantic_fpn"])
    pictures: Any = SimpleNamespace(sizes=[(60, 60), (30, 60), (31, 60)])
    trained.preprocessing = replace(trained.preprocessing, short_side=64, long_side=128)
    assert choose_size(trained, pictures, 0) == (64, 128)
    assert choose_size(trained, pictures, 96) == (96, 96)
    detector = load_trained_dense(runs["fcos"])
    detector.preprocessing = replace(detector.preprocessing, short_side=64, long_side=100)
    assert choose_size(detector, pictures, 0) == (128, 128)
    assert describe_preprocessing(detector, (128, 128), 0)["long_side"] == 100
    assert describe_preprocessing(detector, (96, 96), 96)["long_side"] == 96


@pytest.mark.parametrize("head", OPTIONS)
def test_pictures_are_described_on_the_command_line(
    head: str, exported: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    Image.fromarray(draw_picture()).save(tmp_path / "picture.png")
    assert describe_pictures([str(exported[head]), str(tmp_path / "picture.png")]) == 0
    row = json.loads(capsys.readouterr().out)
    answer = open_bundle(exported[head]).answer(tmp_path / "picture.png")
    if head == "fcos":
        assert [item["score"] for item in row["objects"]] == pytest.approx(answer["scores"].tolist(), abs=1e-5)
        assert np.allclose([item["box"] for item in row["objects"]], answer["boxes"], atol=0.01)
    else:
        assert sum(row["shares"].values()) == pytest.approx(1, abs=1e-4) and len(row["shares"]) > 1
    assert main(["verify", str(exported[head]), "--device-kit", str(tmp_path / "kit")]) == 2
    assert "--device-kit is for classifiers" in capsys.readouterr().err


def test_verify_notices_another_network(exported: dict[str, Path], capsys: pytest.CaptureFixture) -> None:
    from rapidnet.export import verify
    from rapidnet.runtimes.bundle import Bundle

    real = verify.open_bundle

    def open_wrong(*arguments: Any) -> Bundle:
        bundle = real(*arguments)
        run = bundle.network.run
        wrong = replace(bundle.network, run=lambda x: {k: v * (1 + 1e-4) for k, v in run(x).items()})
        return replace(bundle, network=wrong)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "open_bundle", open_wrong)
        assert main(["verify", str(exported["fcos"])]) == 4
    assert "FAILED" in capsys.readouterr().out
