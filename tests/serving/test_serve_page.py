"""Does the server hand out the page and the bundles, with the right headers, and no other file?"""

import hashlib
import socket
from pathlib import Path

import pytest
from servers import Server, make_classifier, serve, share

from rapidnet.errors import UserError
from rapidnet.runtimes.bundle import read_card
from rapidnet.serving import page as module
from rapidnet.serving.page import NOT_BUILT, list_bundles, list_page

ISOLATED = {
    "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin", "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}  # fmt: skip


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return share(tmp_path_factory, "classifier", make_classifier)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page as the build leaves it."""
    folder = tmp_path / "page"
    (folder / "assets").mkdir(parents=True)
    for name in ("index.html", "service-worker.js", "app.webmanifest", "assets/main-1a2b.js", "assets/ort-3c4d.wasm",
                 "assets/ort.mjs", "icon.svg", "strange.xyz"):  # fmt: skip
        (folder / name).write_text(f"this is {name}")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    monkeypatch.setattr(module, "PAGE", folder)
    monkeypatch.setattr(module.list_page, "__defaults__", (folder,))
    return folder


def ask(server: Server, request: str) -> bytes:
    """The answer to bytes that no client library would send."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(request.encode() + b"\r\nhost: x\r\nconnection: close\r\n\r\n")
        found = b""
        while piece := connection.recv(65536):
            found += piece
    return found


def test_the_page_comes_with_its_headers(classifier: Path, built: Path) -> None:
    with serve(classifier) as server, server.client() as client:
        kinds = {
            "/": "text/html; charset=utf-8", "/index.html": "text/html; charset=utf-8",
            "/service-worker.js": "text/javascript; charset=utf-8", "/app.webmanifest": "application/manifest+json",
            "/assets/main-1a2b.js": "text/javascript; charset=utf-8", "/assets/ort-3c4d.wasm": "application/wasm",
            "/assets/ort.mjs": "text/javascript; charset=utf-8", "/icon.svg": "image/svg+xml",
            "/strange.xyz": "application/octet-stream",
        }  # fmt: skip
        for path, kind in kinds.items():
            response = client.get(path)
            assert response.status_code == 200 and response.headers["content-type"] == kind, path
            assert {key: response.headers[key] for key in ISOLATED} == ISOLATED
            policy = response.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "connect-src 'self'" in policy and "unsafe-inline" not in policy
            forever = path.startswith("/assets/")
            assert ("immutable" in response.headers["cache-control"]) == forever
            assert forever or response.headers["cache-control"] == "no-cache"
        assert client.get("/").text == "this is index.html"
        # An API's answer may be read by nobody else's page either.
        assert client.get("/healthz").headers["cross-origin-resource-policy"] == "same-origin"


def test_what_is_unchanged_is_not_sent_again(classifier: Path, built: Path) -> None:
    with serve(classifier) as server, server.client() as client:
        first = client.get("/assets/ort-3c4d.wasm")
        again = client.get("/assets/ort-3c4d.wasm", headers={"if-none-match": f'W/{first.headers["etag"]}, "x"'})
        assert again.status_code == 304 and not again.content and again.headers["etag"] == first.headers["etag"]
        other = client.get("/assets/ort-3c4d.wasm", headers={"if-none-match": '"another"'})
        assert other.status_code == 200
        head = client.head("/assets/ort-3c4d.wasm")
        assert not head.content and head.headers["content-length"] == str(len(first.content))
        assert client.post("/index.html").status_code == 405
        (built / "index.html").write_text("another page")
        response = client.get("/index.html")
        assert response.status_code == 404 and "start it again" in response.json()["error"]["message"]
        (built / "icon.svg").unlink()
        assert client.get("/icon.svg").status_code == 404


def test_no_other_file_can_be_had(classifier: Path, built: Path) -> None:
    with serve(classifier) as server:
        name = classifier.name
        for path in (
            "/../secret.txt", "/assets/../../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/link.txt",
            "//secret.txt", "/assets/%2e%2e%2f%2e%2e%2fsecret.txt", "/..\\secret.txt", "/secret.txt%00.js",
            f"/bundles/{name}/../../secret.txt", f"/bundles/{name}", f"/bundles/{name}/", "/bundles/", "/assets/",
            f"/bundles/{name}/%2e%2e/{name}/card.json", "/bundles/../index.html", "/etc/passwd", "file:///etc/passwd",
            "http://localhost/etc/passwd", "/index.html/", "/INDEX.HTML", "/./index.html",
        ):  # fmt: skip
            answer = ask(server, f"GET {path} HTTP/1.1")
            assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), (path, answer)
            assert b'"error"' in answer and b"secret\r" not in answer and b"root:" not in answer
        assert ask(server, "GET /index.html HTTP/1.1").startswith(b"HTTP/1.1 200")


def test_bundles_are_offered_file_by_file(classifier: Path) -> None:
    with serve(classifier) as server, server.client() as client:
        (row,) = client.get("/bundles/index.json").json()["bundles"]
        assert row == {
            "name": classifier.name, "path": f"bundles/{classifier.name}/", "task": "classification",
            "format": "onnx", "precision": "fp32", "model": "rapidnet_ti",
        }  # fmt: skip
        card = client.get(f"/{row['path']}card.json").json()
        assert card == read_card(classifier)
        for file, sha256 in card["files"].items():
            response = client.get(f"/{row['path']}{file}")
            assert hashlib.sha256(response.content).hexdigest() == sha256 and sha256 in response.headers["etag"]
        (classifier / "notes.txt").write_text("mine")
        try:
            assert client.get(f"/{row['path']}notes.txt").status_code == 404
        finally:
            (classifier / "notes.txt").unlink()


def test_a_card_cannot_offer_files_outside_its_bundle(classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "card.json").write_text("{}")
    card = read_card(classifier)
    with pytest.raises(UserError, match="outside the bundle"):
        list_bundles([(folder, card | {"files": {"../secret.txt": "0"}})])
    (folder / "link").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(UserError, match="outside the bundle"):
        list_bundles([(folder, card | {"files": {"link": "0"}})])


def test_without_a_page_one_says_how_to_build_it(tmp_path: Path) -> None:
    files = list_page(tmp_path)
    assert list(files) == ["/"] and files["/"].text.decode() == NOT_BUILT
    assert "make page" in NOT_BUILT and "<script" not in NOT_BUILT and "style" not in NOT_BUILT
