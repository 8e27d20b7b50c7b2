"""Is a network without training exported like any other, and held to its own numbers?"""

from pathlib import Path

import pytest
from sabotage import sabotage

from conftest import export_untrained
from rapidnet.config import ExportConfig
from rapidnet.errors import UserError
from rapidnet.export.export import export_format
from rapidnet.export.untrained import prepare_untrained
from rapidnet.export.verify import verify
from rapidnet.runtimes.bundle import read_card


def test_a_peer_in_int8(tmp_path: Path) -> None:
    card = read_card(export_untrained("mobilenetv2_050", tmp_path, precision="int8"))
    assert card["provenance"]["weights"] == "random, for speed only"
    # The classifier and the ReLU6 are in int8 as well: a peer is exported as well as ours.
    assert card["structure"]["convolutions"] == {"int8": 53}
    assert "Gemm" not in card["structure"]["operators"]
    assert card["complexity"]["params_m"] == pytest.approx(1.95, abs=0.05)


def test_the_same_weights_every_time(tmp_path: Path) -> None:
    first, second = (export_untrained("rapidnet_ti", tmp_path / name) for name in "ab")
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


def test_a_wrong_dilation_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage("dilation", monkeypatch)
    config = ExportConfig("rapidnet_ti", "onnx", "fp32", str(tmp_path), image_size=64)
    _, card = export_format("onnx", prepare_untrained("rapidnet_ti", config))
    assert card["certificate"]["verdict"] == "failed"
