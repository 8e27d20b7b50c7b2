"""Does every format hold a detector, a segmenter and a pyramid, in every precision it offers?"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from dense_runs import write_run
from tiny import measure_sqnr

from rapidnet.config import ExportConfig
from rapidnet.evaluation.trained_dense import load_trained_dense
from rapidnet.export.capture import InputSpec, capture
from rapidnet.export.conversion import Conversion
from rapidnet.export.converters import convert
from rapidnet.export.dense_heads import choose_head
from rapidnet.export.export import run_export
from rapidnet.runtimes.bundle import open_bundle, read_card
from rapidnet.runtimes.formats import FORMATS

slow = pytest.mark.slow
HEADS = {"fcos": {"score_threshold": 0.7}, "semantic_fpn": {}, "mask_rcnn": {}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("dense_formats")
    return {head: write_run(folder / head, head, **options) for head, options in HEADS.items()}


@slow
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("head", "precision"), [("fcos", "fp32"), ("semantic_fpn", "fp16")])
def test_a_proven_bundle(head: str, name: str, precision: str, runs: dict[str, Path], tmp_path: Path) -> None:
    config = ExportConfig(str(runs[head]), format=name, precision=precision, output=str(tmp_path), check_images=6)
    assert run_export(config) == 0
    bundle = tmp_path / f"rapidnet_ti-{head}-{name}-{precision}"
    controls = {item["name"]: item["caught"] for item in read_card(bundle)["certificate"]["negative_controls"]}
    assert all(caught is not False for caught in controls.values()) and len(controls) == 8
    picture = np.random.default_rng(3).integers(0, 256, (48, 80, 3), dtype=np.uint8)
    answer = open_bundle(bundle, threads=1).answer(picture)
    if head == "fcos":
        assert len(answer["boxes"]) == len(answer["scores"]) == len(answer["labels"]) > 0
    else:
        assert answer["semantic"].shape == (48, 80)


@slow
@pytest.mark.parametrize("name", FORMATS)
def test_the_pyramid_of_a_detector_that_one_format_holds_whole(
    name: str, runs: dict[str, Path], tmp_path: Path
) -> None:
    config = ExportConfig(str(runs["mask_rcnn"]), format=name, output=str(tmp_path), part="features", raw=True)
    assert run_export(config) == 0
    card = json.loads((tmp_path / f"rapidnet_ti-mask_rcnn-features-{name}-fp32" / "card.json").read_text())
    assert [output["name"] for output in card["outputs"]] == ["p2", "p3", "p4", "p5", "p6"]


@slow
def test_masks_in_one_graph(runs: dict[str, Path], tmp_path: Path) -> None:
    config = ExportConfig(str(runs["mask_rcnn"]), output=str(tmp_path), check_images=4)
    assert run_export(config) == 0
    bundle = open_bundle(tmp_path / "rapidnet_ti-mask_rcnn-onnx-fp32")
    figures = bundle.card["certificate"]["task"]
    assert figures["boxes"][0] > 100 and figures["agreement"] > 99.9 and figures["mask_overlap"] > 99.9
    assert bundle.output_names == ["boxes", "scores", "labels", "masks", "objectness"]
    answer = bundle.answer(np.random.default_rng(3).integers(0, 256, (48, 80, 3), dtype=np.uint8))
    assert answer["masks"].shape == (len(answer["boxes"]), 48, 80) and answer["masks"].any()
    assert answer["boxes"][:, [0, 2]].max() <= 80.001 and answer["boxes"][:, [1, 3]].max() <= 48.001


@slow
@pytest.mark.parametrize(
    ("head", "name"),
    [("fcos" if index % 2 else "semantic_fpn", name) for index, name in enumerate(FORMATS)],
)
def test_sizes_that_are_no_squares(head: str, name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    trained, spec = load_trained_dense(runs[head]), InputSpec(64, 64, width=96)
    captured = capture(
        trained.model, trained.preprocessing, trained.task, spec, choose_head(trained, "whole", (64, 96))
    )
    made = convert(name, Conversion(captured, "fp32"), tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 64, 96), dtype=np.uint8)
    found = FORMATS[name].open(made.artifact, threads=1).run(pixels)
    with torch.inference_mode():
        answers = captured.module.double()(torch.from_numpy(pixels))
    answers = answers if isinstance(answers, tuple) else (answers,)
    for output, answer in zip(captured.outputs, answers, strict=True):
        assert measure_sqnr(answer.numpy(), found[output]) > 112, output
