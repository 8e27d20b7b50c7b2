"""Does the built page, in a browser, answer as Python does, from any source, and tell right numbers from wrong ones?"""

import json
from pathlib import Path

import numpy as np
import pytest
from page import find_chromium
from page_driver import PHONE, Opened, as_array
from page_server import PageServer
from pictures_to_drop import write_bad, write_others, write_photographs
from playwright.sync_api import Browser

from rapidnet.runtimes.bundle import open_bundle

pytest_plugins = ("page_fixtures",)
Bundles = dict[str, Path]
FCOS, SEMANTIC = (f"rapidnet_ti-{head}-onnx" for head in ("fcos", "semantic_fpn"))


def test_classes_are_python_s(browser: Browser, server: PageServer, bundles: Bundles, tmp_path: Path) -> None:
    bundle = open_bundle(bundles["classes"])
    largest = 0.0
    with Opened(browser, server.url) as opened:
        opened.wait_ready()
        assert "2 threads" in opened.page.inner_text("#backends")
        for path in write_photographs(tmp_path):
            found = opened.ask(path)
            expected = bundle.predict(bundle.prepare(path)[None])[0]
            given = as_array(found["answer"]["probabilities"], -1)
            assert (given.argsort()[::-1][:5] == expected.argsort(kind="stable")[::-1][:5]).all(), path.name
            largest = max(largest, float(np.abs(given - expected).max()))
            shown = opened.page.locator(".bars .name").all_inner_texts()
            assert shown == [bundle.classes[i] for i in expected.argsort(kind="stable")[::-1][:5]], path.name
        for name, path in write_others(tmp_path).items():
            given = as_array(opened.ask(path)["answer"]["probabilities"], -1)
            assert np.abs(given - bundle.predict(bundle.prepare(path)[None])[0]).max() < 0.02, name
        opened.page.check("#precisions input >> nth=1", force=True)
        opened.wait_until("document.getElementById('facts').title.endsWith('int8')")
        opened.wait_ready()
        eight = open_bundle(bundles["int8"])
        path = write_photographs(tmp_path)[1]
        given = as_array(opened.ask(path)["answer"]["probabilities"], -1)
        assert np.abs(given - eight.predict(eight.prepare(path)[None])[0]).max() < 0.05
    print(f"largest difference of a probability: {largest:.2e}")
    assert largest < 0.02


def test_litert_answers_as_python_does_and_is_verified(
    browser: Browser, server: PageServer, bundles: Bundles, tmp_path: Path
) -> None:
    bundle = open_bundle(bundles["litert"])
    path = write_photographs(tmp_path)[1]
    expected = bundle.predict(bundle.prepare(path)[None])[0]
    with Opened(browser, server.url) as opened:
        opened.wait_ready()
        opened.choose_family("rapidnet_ti-litert")
        assert "2 threads" in opened.page.inner_text("#backends")
        given = as_array(opened.ask(path)["answer"]["probabilities"], -1)
        assert np.abs(given - expected).max() < 0.02 and np.abs(given[::-1] - expected).max() > 0.02
        assert opened.verify() == ["Passed", "Passed"]


def test_the_comparison_notices_a_wrong_picture(bundles: Bundles, tmp_path: Path) -> None:
    bundle = open_bundle(bundles["classes"])
    pixels = np.stack([bundle.prepare(path) for path in write_photographs(tmp_path)])
    assert np.abs(bundle.predict(pixels) - bundle.predict(pixels[:, ::-1])).max() > 0.02


def test_objects_and_pixels_are_python_s(
    browser: Browser, server: PageServer, bundles: Bundles, tmp_path: Path
) -> None:
    path, tall = write_photographs(tmp_path)[1], write_photographs(tmp_path)[3]
    with Opened(browser, server.url) as opened:
        opened.wait_ready()
        opened.choose_family(FCOS)
        opened.ask(path)
        opened.page.fill("#threshold", "0.05")
        for picture in (path, tall):
            found, expected = opened.ask(picture)["answer"], open_bundle(bundles["fcos"]).answer(picture)
            assert found["labels"] == expected["labels"].tolist() and len(found["labels"]) > 3
            assert np.abs(as_array(found["scores"], -1) - expected["scores"]).max() < 1e-3
            assert np.abs(as_array(found["boxes"], -1, 4) - expected["boxes"]).max() < 0.1
        assert opened.page.locator(".found li").count() > 3
        opened.page.screenshot(path=tmp_path / "boxes.png")

        opened.choose_family(SEMANTIC)
        found = opened.ask(path)["answer"]
        own = open_bundle(bundles["semantic_fpn"]).answer(path)["semantic"]
        given = as_array(found["semantic"], *own.shape)
        assert (given == own).mean() > 0.995 and (np.roll(given, 3, 1) == own).mean() < 0.995


def test_every_source_and_every_bad_file(browser: Browser, server: PageServer, tmp_path: Path) -> None:
    picture = write_photographs(tmp_path)[0]
    with Opened(browser, server.url, viewport=PHONE, has_touch=True, is_mobile=True) as opened:
        opened.wait_ready()
        answers = [opened.ask(picture, how)["answer"] for how in ("drop", "paste", "choose")]
        assert answers[0] == answers[1] == answers[2]
        for path, sentence in write_bad(tmp_path).values():
            opened.give(path)
            assert sentence in opened.wait_problem(path.name)
        # And it lives on.
        assert opened.ask(picture)["answer"] == answers[0]
        assert not opened.page.is_visible("#problem")
        opened.page.click("#samples li:last-child button")
        opened.wait_until("answers.length > 4")
        marked = "document.querySelectorAll('#samples [aria-pressed=true]').length"
        assert opened.page.evaluate(marked) == 1
        opened.ask(picture)
        assert opened.page.evaluate(marked) == 0, "the picture on the stage is no sample any more"
        opened.page.click("#camera")
        opened.wait_until("answers.length > 8")
        assert "pictures/s" in opened.page.inner_text("#rate")
        opened.page.screenshot(path=tmp_path / "phone.png")
        opened.page.click("#camera")
        assert opened.page.is_hidden("#video")
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_verify_and_bench(browser: Browser, server: PageServer, tmp_path: Path) -> None:
    with Opened(browser, server.url) as opened:
        opened.wait_ready()
        opened.page.click("#bench")
        opened.wait_problem("Verify on this device first")
        assert opened.verify() == ["Passed", "Passed"]
        notices = opened.page.inner_text(".certificate")
        assert "blue and red exchanged" in notices and "noticed" in notices and "SQNR" in notices
        opened.page.click("#bench")
        opened.page.wait_for_selector("#timings table", timeout=60_000)
        assert "indicative" in opened.page.inner_text("#timings")
        with opened.page.expect_download() as download:
            opened.page.click("#timings button")
        saved = tmp_path / "bench.json"
        download.value.save_as(saved)
    report = json.loads(saved.read_text())
    assert report["verified"] and len(report["blocks_ms"]) >= 20 and report["bundle"]["precision"] == "fp32"
    from rapidnet.benchmark.imported import import_file

    (row,) = import_file(saved)
    assert row["runtime"].startswith("onnxruntime-web") and row["latency_ms_p90"] > 0


def test_wrong_numbers_fail(browser: Browser, server: PageServer, changed: Path) -> None:
    import onnx

    from rapidnet.runtimes.bundle import compute_card_hash, compute_file_hash

    artifact = changed / "model.onnx"
    files = [changed / name for name in ("card.json", "golden.npz", "labels.txt", "model.onnx")]
    model = onnx.load(artifact)
    weight = next(item for item in model.graph.initializer if len(item.dims) == 4)
    values = onnx.numpy_helper.to_array(weight) * 1.01
    weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), weight.name))
    onnx.save(model, artifact)
    with Opened(browser, server.url) as opened:
        opened.wait_ready()
        opened.page.set_input_files("#files", files)
        opened.wait_problem("model.onnx is not the file that was certified")
        card = json.loads((changed / "card.json").read_text())
        card["files"]["model.onnx"] = compute_file_hash(artifact)
        (changed / "card.json").write_text(json.dumps(card))
        opened.page.set_input_files("#files", files)
        opened.wait_problem("was changed after")
        (changed / "card.json").write_text(json.dumps(card | {"card_sha256": compute_card_hash(card)}))
        opened.page.set_input_files("#files", files)
        opened.wait_problem("certified numbers")
        assert set(opened.verify()) == {"Failed"}


@pytest.mark.slow
def test_webgpu_in_software(browser: Browser, server: PageServer) -> None:
    """SwiftShader stands for a graphics processor: nothing of its speed, but its numbers and the way to them."""
    executable, environment = find_chromium()
    arguments = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
    own = browser.browser_type.launch(executable_path=executable, args=arguments, env=environment or None)
    with Opened(own, server.url) as opened:
        opened.wait_ready()
        assert "WebGPU, in software" in opened.page.inner_text("#backends")
        opened.page.check("#backends input[value='WebGPU, in software']")
        chosen = "#backends label:has-text('WebGPU') small:has-text('in use')"
        opened.page.wait_for_selector(chosen, timeout=180_000)
        assert opened.verify()[0] == "Passed"
        assert "WebGPU" in opened.page.locator(".certificate summary").first.inner_text()
    own.close()
