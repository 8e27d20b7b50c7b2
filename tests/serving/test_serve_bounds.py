"""Is everything that is no picture, too much or not allowed refused with its status and one JSON error?"""

import contextlib
import io
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from servers import Server, encode, make_classifier, serve, share

from rapidnet.runtimes.bundle import Bundle
from rapidnet.serving.refusals import STATUSES, show_name

SECRET = "passport-of-jane.jpg"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return share(tmp_path_factory, "classifier", make_classifier)


@pytest.fixture(scope="module")
def server(classifier: Path) -> Iterator[Server]:
    limits: dict[str, Any] = {"max_body_mb": 1, "max_pixels": 1_000_000, "max_images": 3, "max_queue": 50}
    with serve(classifier, **limits) as server:
        yield server


def check_error(response: httpx.Response, code: str, field: str = "", file: str = "") -> str:
    """The message of the one JSON error that the response is."""
    assert response.status_code == STATUSES[code], response.text
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error"}
    error = response.json()["error"]
    assert (error["status"], error["code"]) == (response.status_code, code), error
    assert error.get("field", "") == field and error.get("file", "") == file, error
    assert error["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text and ".py" not in response.text
    return str(error["message"])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def draw_png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG that says it is so large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def draw_frames(kind: str) -> bytes:
    frames = [Image.new("RGB", (30, 20), color) for color in ("red", "blue", "green")]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def add_zip(data: bytes) -> bytes:
    """A picture that is a zip archive, too."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../evil.sh", "rm -rf /")
    return data + buffer.getvalue()


def damage_exif(data: bytes) -> bytes:
    """The resolution, a fraction, becomes a name, which Pillow cannot write again."""
    assert b"\x01\x1a\x00\x05" in data
    return data.replace(b"\x01\x1a\x00\x05", b"\x01\x0d\x00\x05")


def draw_jpeg(**options: Any) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72
    return encode(kind="JPEG", exif=exif, **options)


HTML = b"<!doctype html><script>fetch('http://evil')</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
JPEG = draw_jpeg()
REFUSED = {
    "html": (HTML, "not_an_image"), "svg": (SVG, "not_an_image"), "text": (b"hello", "not_an_image"),
    "zip": (add_zip(b""), "not_an_image"), "tiff": (encode(kind="TIFF"), "not_an_image"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image"),
    "huge": (draw_png(60_000, 60_000), "too_many_pixels"),
    "bomb": (draw_png(1001, 1000, bytes(3004 * 1000)), "too_many_pixels"),
    "line": (draw_png(90_000, 2, bytes(2 * 270_001)), "elongated_image"),
    "cut": (JPEG[: len(JPEG) // 2], "corrupt_image"), "cut png": (encode()[:-200], "corrupt_image"),
    "damaged": (draw_png(50, 50, b"few"), "corrupt_image"), "exif": (damage_exif(JPEG), "corrupt_image"),
    "scans": (JPEG[:-2] + b"\xff\xda\x00\x02" * 40 + JPEG[-2:], "too_many_scans"),
    "gif": (draw_frames("GIF"), "animated_image"), "apng": (draw_frames("PNG"), "animated_image"),
    "webp": (draw_frames("WEBP"), "animated_image"), "empty": (b"", "no_image"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_is_named(name: str, server: Server) -> None:
    data, code = REFUSED[name]
    field = "images" if code == "no_image" else ""
    check_error(server.post(data, "image/jpeg"), code, field, "the body")
    # Among good ones the file is named, by its place and its name.
    said = check_error(server.upload(("good.png", encode()), ("a.jpg", data)), code, field, "images[1] (a.jpg)")
    assert "images[1] (a.jpg)" in said


def test_unusual_pictures_are_answered(server: Server) -> None:
    grey = io.BytesIO()
    Image.fromarray(np.arange(4000, dtype=np.uint16).reshape(50, 80)).save(grey, "PNG")
    mpo = io.BytesIO()
    views = [Image.new("RGB", (40, 30), color) for color in ("red", "blue")]
    views[0].save(mpo, "MPO", save_all=True, append_images=views[1:])
    pictures = [encode(kind=kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF")]
    pictures += [grey.getvalue(), mpo.getvalue(), add_zip(encode()), encode(kind="JPEG", progressive=True),
                 encode((1, 1)), encode((1000, 1000))]  # fmt: skip
    for data in pictures:
        response = server.post(data)
        assert response.status_code == 200 and len(response.json()["results"]) == 1, response.text


def test_too_much_is_refused_before_it_is_read(server: Server) -> None:
    check_error(server.post(bytes(1_000_001)), "body_too_large")
    # Without a length, while it comes.
    sent = 0

    def drip() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(4000):
            sent += 65_536
            yield bytes(65_536)

    with server.client() as client:
        kind = {"content-type": "image/png"}
        # The server hangs up on a client that goes on sending all the same.
        with contextlib.suppress(httpx.WriteError):
            check_error(client.post("/v1/predict", content=drip(), headers=kind), "body_too_large")
    assert sent < 60_000_000
    files = [(f"{n}.png", encode()) for n in range(4)]
    check_error(server.upload(*files), "too_many_images", "images", "images[3]")
    assert server.upload(*files[:3]).status_code == 200
    assert server.running.service.budget.held == 0


def test_forms_that_are_none(server: Server) -> None:
    form, good = "multipart/form-data; boundary=x", encode()
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    for content, kind, code, field in [
        (b"--x--\r\n", form, "no_image", "images"),
        (b"rubbish", form, "bad_multipart", ""),
        (part + good, form, "bad_multipart", ""),
        (part + good + b"\r\n--x--", "multipart/form-data", "bad_multipart", "content-type"),
        (b"--x\r\n" + b"a" * 9000 + b": b\r\n\r\n", form, "bad_multipart", ""),
        (good, "application/json", "unsupported_media_type", "content-type"),
        (good, "text/html", "unsupported_media_type", "content-type"),
    ]:
        check_error(server.post(content, kind), code, field)
    check_error(server.upload(("a.png", good), name="pictures"), "unknown_field", "pictures")
    with server.client() as client:
        check_error(client.post("/v1/predict", content=good), "unsupported_media_type", "content-type")
        check_error(client.post("/v1/predict", data={"images": ""}), "unsupported_media_type", "content-type")


@pytest.mark.parametrize("value", ["0", "-1", "x", "1001", "nan", "", "5; drop"])
def test_a_wrong_parameter_is_named(value: str, server: Server) -> None:
    check_error(server.post(encode(), top=value), "invalid_parameter", "top")
    assert "did you mean 'top'" in check_error(server.post(encode(), tap=value), "invalid_parameter", "tap")


def test_names_are_echoed_short_and_printable_and_never_logged(server: Server) -> None:
    for name in ("a" * 500 + ".jpg", 'b\x1b[31m".jpg', SECRET, "../../etc/passwd"):
        response = server.upload((name, HTML))
        file = response.json()["error"]["file"]
        assert len(file) < 110 and file.isprintable(), file
    assert show_name("ab\ncd") == "ab?cd" and len(show_name("x" * 1000)) == 80
    server.upload((SECRET, encode()))
    written = server.stream.getvalue()
    for private in ("jane", "passwd", "filename", HTML.decode()[:15], "images["):
        assert private not in written
    rows = [row for row in server.read_log() if row["event"] == "request"]
    assert rows[-1] | {"id": "", "time": "", "ms": 0, "bytes_in": 0, "bytes_out": 0} == {
        "time": "", "event": "request", "id": "", "method": "POST", "route": "/v1/predict", "status": 200, "ms": 0,
        "bytes_out": 0, "bytes_in": 0, "images": 1, "batch": 1,
    }  # fmt: skip


def test_other_paths_and_methods(server: Server) -> None:
    with server.client() as client:
        for path in ("/nothing", "/v1", "/docs", "/v1/predict/", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd"):
            check_error(client.get(path), "not_found")
        response = client.get("/v1/predict")
        check_error(response, "method_not_allowed")
        assert response.headers["allow"] == "POST"
        check_error(client.delete("/healthz"), "method_not_allowed")
        check_error(client.request("BREW", "/readyz"), "method_not_allowed")
        assert client.get("/healthz").json() == {"status": "alive"}
        assert client.get("/readyz").json() == {"status": "ready"}
    assert 'method="OTHER"' in server.running.service.metrics.render().decode()


def test_a_token_is_asked_for_and_told_to_nobody(classifier: Path) -> None:
    token = "correct-horse-battery-staple"
    with serve(classifier, token=token) as server, server.client() as client:
        for path in ("/v1/model", "/metrics", "/bundles/index.json", "/v1/nothing"):
            response = client.get(path)
            check_error(response, "unauthorized", "authorization")
            assert response.headers["www-authenticate"] == "Bearer"
        for given in ("Bearer wrong", "Bearer", f"Basic {token}", token, f"Bearer {token}x", "Bearer " + "x" * 9000):
            check_error(client.get("/v1/model", headers={"authorization": given}), "unauthorized", "authorization")
        for path in ("/healthz", "/readyz", "/"):
            assert client.get(path).status_code == 200
        right = {"authorization": f"bearer {token}"}
        assert client.get("/v1/model", headers=right).status_code == 200
        assert client.get("/metrics", headers=right).status_code == 200
        content = {"content": encode(), "headers": right | {"content-type": "image/png"}}
        assert client.post("/v1/predict", **content).status_code == 200
        assert "token" in client.get("/openapi.json").json()["components"]["securitySchemes"]
    assert token not in server.stream.getvalue()


class Slow:
    """A network that takes its time, or fails at pictures whose first pixel is 255."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.free = seconds, threading.Event()

    def __call__(self, bundle: Bundle) -> Bundle:
        network = bundle.network

        def run(images: np.ndarray) -> dict[str, np.ndarray]:
            if images.any():
                self.free.wait(self.seconds)
            if (images[:, 0, 0, 0] == 255).any():
                raise RuntimeError("planted")
            return network.run(images)

        return replace(bundle, network=replace(network, run=run))


def send_many(server: Server, count: int) -> list[httpx.Response]:
    found: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: found.append(server.post(encode()))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_a_full_queue_says_when_to_come_again(classifier: Path) -> None:
    slow = Slow(0.25)
    with serve(classifier, change=slow, max_queue=3, max_images=3, max_batch=1) as server:
        first = threading.Thread(target=send_many, args=(server, 3))
        first.start()
        while server.running.service.inside < 3:
            time.sleep(0.01)
        response = server.post(encode())
        check_error(response, "queue_full")
        assert int(response.headers["retry-after"]) >= 1
        # What needs no network is answered.
        with server.client() as client:
            assert client.get("/healthz").status_code == 200
            assert "rapidnet_queue_pictures 3.0" in client.get("/metrics").text
        first.join()
        assert server.post(encode()).status_code == 200, "there is room again"
        assert server.upload(*[(str(n), encode()) for n in range(3)]).status_code == 200
        assert server.read_metric('rapidnet_refused_total{reason="queue_full"}') == 1


def test_answers_and_uploads_have_a_time_limit(classifier: Path) -> None:
    slow = Slow(5)
    with serve(classifier, change=slow, timeout_seconds=0.4, max_batch=1, readers=1) as server:
        started = time.perf_counter()
        response = server.post(encode())
        assert check_error(response, "timed_out") == "there was no answer within 0.4 seconds"
        assert time.perf_counter() - started < 2 and response.headers["retry-after"]

        def drip() -> Iterator[bytes]:
            for _ in range(8):
                yield b"x"
                time.sleep(0.1)

        with server.client() as client:
            kind = {"content-type": "image/png"}
            check_error(client.post("/v1/predict", content=drip(), headers=kind), "upload_timed_out")
        slow.free.set()
        assert server.running.service.inside == 0
        # Some were being decoded, some waited for that when their time was over; nobody waits for them.
        slow.free.clear()
        assert {response.status_code for response in send_many(server, 12)} == {429}
        slow.free.set()
        assert server.post(encode()).status_code == 200
        assert server.running.service.batcher.expected == 0


def test_all_uploads_together_have_a_bound(classifier: Path) -> None:
    with serve(classifier, max_body_mb=1, max_upload_mb=1.5, timeout_seconds=3) as server:
        go = threading.Event()

        def hold() -> Iterator[bytes]:
            yield bytes(900_000)
            go.wait(5)

        def upload() -> None:
            with server.client() as client:
                client.post("/v1/predict", content=hold(), headers={"content-type": "image/png"})

        thread = threading.Thread(target=upload)
        thread.start()
        while server.running.service.budget.held < 900_000:
            time.sleep(0.01)
        response = server.post(bytes(800_000))
        check_error(response, "uploads_full")
        assert response.headers["retry-after"] == "1"
        assert server.post(encode()).status_code == 200
        go.set()
        thread.join()
        assert server.running.service.budget.held == 0


def test_a_failure_is_logged_and_told_without_its_inside(classifier: Path) -> None:
    white = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(white, "PNG")
    slow = Slow(0)
    slow.free.set()
    with serve(classifier, change=slow) as server:
        response = server.upload((SECRET, white.getvalue()))
        assert check_error(response, "internal_error") == "the server failed; its log says why"
        assert "planted" not in response.text
        (failure,) = (row for row in server.read_log() if row["event"] == "failure")
        assert failure["id"] == response.headers["x-request-id"] and failure["message"] == "planted"
        assert any("batching.py" in place for place in failure["places"])
        assert "jane" not in server.stream.getvalue()
        assert server.read_metric("rapidnet_errors_total") == 1
        assert server.post(encode()).status_code == 200, "the worker lives"
        # Beside a good one in a batch only the bad one fails.
        assert server.upload(("a", encode()), ("b", white.getvalue())).status_code == 500
