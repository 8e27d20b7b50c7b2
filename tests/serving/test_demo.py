"""Does the demo take what is there, make what is missing, and show a phone the way?"""

import json
from pathlib import Path
from typing import Any

import pytest

from rapidnet.config import DemoConfig, ExportConfig, QuickstartConfig, ServeConfig
from rapidnet.errors import UserError
from rapidnet.export import export as export_module
from rapidnet.export.bundle import finish_bundle, temporary_bundle
from rapidnet.quickstart import run as quickstart_module
from rapidnet.runtimes.bundle import CARD_VERSION, compute_file_hash
from rapidnet.serving import demo as module
from rapidnet.serving.demo import announce, find_bundles, run_demo


class Exports:
    """Stands in for exporting: writes bundles with nothing but a card, or a report if the precision is to fail."""

    def __init__(self, failing: str = "") -> None:
        self.failing, self.asked = failing, list[str]()

    def __call__(self, config: ExportConfig) -> int:
        self.asked.append(config.precision)
        target = Path(config.output) / f"rapidnet_ti-{config.format}-{config.precision}"
        sha256 = compute_file_hash(Path(config.source) / "best.safetensors")
        card: dict[str, Any] = {"card_version": CARD_VERSION, "classes": ["a"], "provenance": {}}
        card["provenance"]["checkpoint_sha256"] = sha256
        if config.precision == self.failing:
            target.parent.mkdir(exist_ok=True, parents=True)
            target.with_name(target.name + ".rejected").write_text(json.dumps(card))
            return 4
        with temporary_bundle(target) as folder:
            finish_bundle(folder, target, card)
        return 0


def write_run(folder: Path, text: str = "weights") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "best.safetensors").write_text(text)
    return folder


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Exports:
    stand_in = Exports()
    monkeypatch.setattr(export_module, "run_export", stand_in)
    monkeypatch.setattr("rapidnet.evaluation.dense_predictor.is_dense", lambda run: "dense" in run)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    return stand_in


def test_a_run_is_exported_once_and_again_when_it_has_changed(exports: Exports, tmp_path: Path) -> None:
    run = write_run(tmp_path / "mine")
    first = find_bundles(DemoConfig([str(run)]))
    assert [path.name for path in first] == ["rapidnet_ti-onnx-fp32", "rapidnet_ti-onnx-int8"]
    assert first[0].parent == tmp_path / "mine_exported"
    assert find_bundles(DemoConfig([str(run)])) == first and exports.asked == ["fp32", "int8"]
    write_run(run, "other weights")
    assert find_bundles(DemoConfig([str(run)])) == first and exports.asked == ["fp32", "int8"] * 2
    (first[1] / "labels.txt").write_text("changed")
    find_bundles(DemoConfig([str(run)]))
    assert exports.asked == ["fp32", "int8", "fp32", "int8", "int8"], "a damaged bundle is made anew"
    # Bundles are taken as they are; a detector has no int8.
    assert find_bundles(DemoConfig([str(first[0])])) == first[:1]
    exports.asked.clear()
    assert len(find_bundles(DemoConfig([str(write_run(tmp_path / "dense"))]))) == 1 and exports.asked == ["fp32"]


def test_litert_is_taken_where_it_can_be_made(
    exports: Exports, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: name == "litert_torch")
    found = find_bundles(DemoConfig([str(write_run(tmp_path / "mine"))]))
    assert [path.name for path in found] == [
        "rapidnet_ti-onnx-fp32", "rapidnet_ti-litert-fp32", "rapidnet_ti-onnx-int8", "rapidnet_ti-litert-int8"
    ]  # fmt: skip


def test_what_fails_its_checks_is_left_out_or_ends_the_demo(
    exports: Exports, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = write_run(tmp_path / "mine")
    exports.failing = "int8"
    for _ in range(2):
        assert len(find_bundles(DemoConfig([str(run)]))) == 1
        assert "failed its checks" in capsys.readouterr().out
    assert exports.asked == ["fp32", "int8"], "a rejected one is not tried again"
    exports.failing = "fp32"
    with pytest.raises(UserError, match="failed its checks"):
        find_bundles(DemoConfig([str(write_run(tmp_path / "other"))]))
    with pytest.raises(UserError, match="not all bundles"):
        find_bundles(DemoConfig([str(run), str(tmp_path)]))
    with pytest.raises(UserError, match="absent"):
        find_bundles(DemoConfig([str(tmp_path / "absent")]))


def test_without_anything_the_quickstart_is_trained_once(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[QuickstartConfig] = []

    def train(config: QuickstartConfig) -> int:
        asked.append(config)
        write_run(Path(config.output) / "run")
        return 0

    monkeypatch.setattr(quickstart_module, "run_quickstart", train)
    for _ in range(2):
        assert find_bundles(DemoConfig([]))[0] == Path("runs/quickstart/run_exported/rapidnet_ti-onnx-fp32")
    assert [(config.task, config.output) for config in asked] == [("classify", "runs/quickstart")]
    find_bundles(DemoConfig([], task="detect"))
    assert asked[-1].output == "runs/quickstart_detect"
    monkeypatch.setattr(quickstart_module, "run_quickstart", lambda config: 130)
    with pytest.raises(UserError, match="did not finish"):
        find_bundles(DemoConfig([], task="semantic"))


def test_the_server_is_reached_from_the_network(
    exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    served: list[ServeConfig] = []

    def serve(config: ServeConfig, token: str, tell: Any, stream: Any) -> int:
        served.append(config)
        tell(f"http://{config.host}:8000")
        return 0

    monkeypatch.setattr(module, "serve", serve)
    monkeypatch.setattr(module, "find_own_address", lambda: "192.168.1.5")
    monkeypatch.setattr(module, "is_built", lambda: False)
    assert run_demo(DemoConfig([str(write_run(tmp_path / "mine"))])) == 0
    assert served[0].host == "0.0.0.0" and len(served[0].bundles) == 2
    said = capsys.readouterr().out
    assert "http://192.168.1.5:8000/" in said and "withholds the live camera" in said and "make page" in said
    codes = [line for line in said.splitlines() if set(line) & set("▀▄█")]
    assert len(codes) >= 12
    announce("https://127.0.0.1:8000", "127.0.0.1", [])
    said = capsys.readouterr().out
    assert "https://127.0.0.1:8000" in said and "withholds" not in said and not set(said) & set("▀▄█")


def test_https_is_trusted_by_whoever_knows_the_authority_and_for_its_addresses_alone(
    exports: Exports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ssl

    import trustme

    monkeypatch.setattr(module, "find_own_address", lambda: "192.168.1.5")
    authority = trustme.CA()
    monkeypatch.setattr(trustme, "CA", lambda **given: authority)
    outcomes: dict[str, str] = {}

    def serve(config: ServeConfig, token: str, tell: Any, stream: Any) -> int:
        accept = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        accept.load_cert_chain(config.tls_certificate, config.tls_key)
        assert Path(config.tls_key).stat().st_mode & 0o077 == 0
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        for name, context in {
            "192.168.1.5": trust, "localhost": trust, "192.168.1.6": trust,
            "127.0.0.1": ssl.create_default_context(),
        }.items():  # fmt: skip
            outcomes[name] = shake_hands(accept, context, name)
        return 0

    monkeypatch.setattr(module, "serve", serve)
    assert run_demo(DemoConfig([str(write_run(tmp_path / "mine"))], https=True)) == 0
    assert outcomes["192.168.1.5"] == outcomes["localhost"] == ""
    assert "192.168.1.6" in outcomes["192.168.1.6"], "another address is not covered"
    assert "unable to get local issuer" in outcomes["127.0.0.1"], "a browser that knows nothing of it warns"
    with pytest.raises(UserError, match="one of the two"):
        DemoConfig([], https=True, tls_certificate="a", tls_key="b")


def shake_hands(accept: Any, connect: Any, name: str) -> str:
    """Why a client does not trust the server; empty if it does."""
    import ssl

    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = connect.wrap_bio(to_client, to_server, server_hostname=name)
    server = accept.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                return str(error)
    return ""


def test_the_code_says_the_address(capsys: pytest.CaptureFixture) -> None:
    import segno

    module.print_code("http://192.168.1.5:8000/")
    shown = capsys.readouterr().out
    module.print_code("http://192.168.1.6:8000/")
    assert capsys.readouterr().out != shown, "another address is another code"
    code = segno.make("http://192.168.1.5:8000/", error="l", micro=False)
    width = len(code.matrix[0]) + 4
    lines = [line for line in shown.splitlines() if set(line) & set("▀▄█")]
    # Two rows of the code in a line.
    assert len(lines) in (width // 2, width // 2 + 1)


def test_own_address_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreachable:
        def __init__(self, *given: Any) -> None:
            raise OSError("network is unreachable")

    assert not module.find_own_address().startswith("127.")
    monkeypatch.setattr(module.socket, "socket", Unreachable)
    assert module.find_own_address() == ""
