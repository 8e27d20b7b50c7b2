"""Is a network without training exported like any other, and held to its own numbers?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sabotage import sabotage
from tiny import answer_exactly, capture_tiny, draw_inputs

from conftest import export_untrained
from rapidnet.config import ExportConfig
from rapidnet.errors import UserError
from rapidnet.export.export import export_format
from rapidnet.export.golden import Golden, build_inputs
from rapidnet.export.untrained import answer_itself, choose_tolerances, prepare_untrained
from rapidnet.export.verify import verify
from rapidnet.runtimes.bundle import read_card


def test_a_peer_in_int8(tmp_path: Path) -> None:
    card = read_card(export_untrained("mobilenetv2_050", tmp_path, precision="int8"))
    assert card["provenance"]["weights"] == "random, for speed only"
    # The classifier and the ReLU6 are in int8 as well: a peer is exported as well as ours.
    assert card["structure"]["convolutions"] == {"int8": 53}
    assert "Gemm" not in card["structure"]["operators"]
    # Not ours: its operators are on no list.
    listed = next(check for check in card["certificate"]["checks"] if check["name"] == "operators on the allow-list")
    assert card["expected"]["foreign"] and listed["bound"].startswith("any")
    assert card["complexity"]["params_m"] == pytest.approx(1.95, abs=0.05)


def test_the_same_weights_every_time(tmp_path: Path) -> None:
    first = export_untrained("rapidnet_ti", tmp_path / "a")
    answer_itself.cache_clear()
    second = export_untrained("rapidnet_ti", tmp_path / "b")
    assert (first / "model.onnx").read_bytes() == (second / "model.onnx").read_bytes()


def test_bfloat16_is_checked_by_its_own_tolerance(tmp_path: Path, bundle: Path) -> None:
    path = export_untrained("rapidnet_ti", tmp_path, "openvino")
    if "avx512_bf16" not in Path("/proc/cpuinfo").read_text():
        with pytest.raises(UserError, match="this processor has no bf16"):
            verify(path, 1, "bf16")
        return
    certificate, runtime = verify(path, 1, "bf16")
    assert certificate["verdict"] == "passed" and runtime.endswith("bf16")
    figures = {check["name"]: check["figure"] for check in certificate["checks"]}
    exact = {check["name"]: check["figure"] for check in verify(path, 1)[0]["checks"]}
    assert 25 < figures["real inputs: SQNR"] <= exact["real inputs: SQNR"]
    with pytest.raises(UserError, match="onnx artifacts cannot be computed in bf16"):
        verify(bundle, 1, "bf16")


def test_noise_is_judged_where_float32_itself_can_hold_it() -> None:
    captured = capture_tiny()
    pixels, kinds = build_inputs(draw_inputs(captured.spec, 4), random=2)
    exact = answer_exactly(captured, pixels)
    golden = Golden(pixels, kinds, np.full(len(pixels), -1), exact)
    assert all("real_only" not in own for own in choose_tolerances(captured, golden).values())
    for kind, reported in (("random", True), ("extreme", True), ("real", False)):
        # Answers that float32 does not give: on photographs they are a failure, whatever the reason.
        wrong = np.where((kinds == kind)[:, None], exact * 1.01, exact)
        chosen = choose_tolerances(captured, replace(golden, reference=wrong))
        assert chosen["fp32"].get("real_only", False) == reported and chosen["fp32"]["sqnr_db"] == 80


def test_ours_is_judged_on_noise_and_by_the_list(bundle: Path) -> None:
    checks = {check["name"]: check for check in read_card(bundle)["certificate"]["checks"]}
    assert checks["random inputs: SQNR"]["bound"] == 80 and checks["operators on the allow-list"]["bound"] == "all"


def test_a_wrong_dilation_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage("dilation", monkeypatch)
    config = ExportConfig("rapidnet_ti", "onnx", "fp32", str(tmp_path), image_size=64)
    _, card = export_format("onnx", prepare_untrained("rapidnet_ti", config))
    assert card["certificate"]["verdict"] == "failed"
