"""Which files does the server hand out? The page and the bundles, by a list made at the start, never by a path."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapidnet.errors import UserError
from rapidnet.runtimes.bundle import CARD, compute_file_hash
from rapidnet.serving.guard import ROUTE, App, Receive, Scope, Send
from rapidnet.serving.refusals import RefusedError
from rapidnet.serving.uploads import find_header

PAGE = Path(__file__).parent / "page"
"""What `make page` builds of web/."""
TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8", ".wasm": "application/wasm", ".json": "application/json",
    ".webmanifest": "application/manifest+json", ".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg",
    ".webp": "image/webp", ".ico": "image/x-icon", ".txt": "text/plain; charset=utf-8", ".map": "application/json",
}  # fmt: skip
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""The page may load its own files and nothing else, so that no picture can leave the device."""
FOREVER, ASK = "public, max-age=31536000, immutable", "no-cache"
PIECE = 1 << 18
NOT_BUILT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>rapidnet serve</title></head>
<body><h1>rapidnet serve</h1>
<p>The server is running. Its page is not built: run <code>make page</code> in the repository and start it again.</p>
<p><a href="/v1/model">the network</a>, <a href="/openapi.json">the interface (OpenAPI)</a>,
<a href="/bundles/index.json">the bundles</a></p></body></html>
"""


@dataclass(frozen=True)
class Offered:
    """A file as it was at the start, or a text made then; `route` stands for it in log and metrics."""

    route: str
    etag: str
    size: int
    headers: list[tuple[bytes, bytes]]
    path: Path | None = None
    changed: int = 0
    text: bytes = b""


def offer_text(route: str, text: str, suffix: str) -> Offered:
    data = text.encode()
    etag = hashlib.sha256(data).hexdigest()
    return Offered(route, etag, len(data), describe(suffix, etag, ASK), text=data)


def offer_file(route: str, path: Path, etag: str, cache: str = ASK) -> Offered:
    facts = path.stat()
    return Offered(route, etag, facts.st_size, describe(path.suffix, etag, cache), path, facts.st_mtime_ns)


def describe(suffix: str, etag: str, cache: str) -> list[tuple[bytes, bytes]]:
    kind = TYPES.get(suffix, "application/octet-stream")
    found = {"content-type": kind, "etag": f'"{etag}"', "cache-control": cache, "content-security-policy": POLICY}
    return [(key.encode(), value.encode()) for key, value in found.items()]


def is_built() -> bool:
    return (PAGE / "index.html").is_file()


def list_page(folder: Path = PAGE) -> dict[str, Offered]:
    """URL path -> file of the page; a page that says how to build it where there is none."""
    if not (folder / "index.html").is_file():
        return {"/": offer_text("/", NOT_BUILT, ".html")}
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            url = f"/{path.relative_to(folder).as_posix()}"
            # Their names hold a hash of their content.
            cache = FOREVER if url.startswith("/assets/") else ASK
            files[url] = offer_file("/{page}", path, compute_file_hash(path), cache)
    return files | {"/": files["/index.html"]}


def list_bundles(bundles: Sequence[tuple[Path, dict[str, Any]]]) -> dict[str, Offered]:
    """URL path -> file of the bundles (folder, card), and their index.

    Raises:
        UserError: two of one name, or a card that lists a file outside its bundle.
    """
    files: dict[str, Offered] = {}
    rows: list[dict[str, str]] = []
    for folder, card in bundles:
        name = folder.resolve().name
        if name in [row["name"] for row in rows]:
            raise UserError(f"two bundles are called {name}; rename one of the folders")
        rows.append(describe_bundle(name, card))
        hashes = card["files"] | {CARD: compute_file_hash(folder / CARD)}
        for file, sha256 in hashes.items():
            path = folder / file
            if not path.resolve().is_relative_to(folder.resolve()):
                raise UserError(f"{folder / CARD} lists {file}, which is outside the bundle; export it again")
            files[f"/bundles/{name}/{file}"] = offer_file("/bundles/{name}/{file}", path, sha256)
    index = json.dumps({"bundles": rows})
    return files | {"/bundles/index.json": offer_text("/bundles/index.json", index, ".json")}


def describe_bundle(name: str, card: dict[str, Any]) -> dict[str, str]:
    """A bundle's row in bundles/index.json, which the page reads."""
    return {"name": name, "path": f"bundles/{name}/"} | {
        key: card[key] for key in ("task", "format", "precision", "model")
    }


class Files:
    """An ASGI application that answers the paths of its list, and leaves all others to the next."""

    def __init__(self, app: App, files: dict[str, Offered]) -> None:
        self.app, self.files = app, files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        offered = self.files.get(scope["path"])
        if offered is None:
            await self.app(scope, receive, send)
            return
        scope[ROUTE] = offered.route
        if scope["method"] not in ("GET", "HEAD"):
            raise RefusedError("method_not_allowed", "this is a file; use GET")
        wanted = find_header(scope["headers"], b"if-none-match").decode("latin-1")
        if offered.etag in wanted or wanted.strip() == "*":
            await send({"type": "http.response.start", "status": 304, "headers": offered.headers[1:]})
            await send({"type": "http.response.body"})
            return
        await send_file(offered, scope["method"] == "HEAD", send)


async def send_file(offered: Offered, head: bool, send: Send) -> None:
    """The file in pieces, read outside the event loop; raises RefusedError if it is another than at the start."""
    loop = asyncio.get_running_loop()
    file = None
    if offered.path is not None:
        facts = await loop.run_in_executor(None, find_facts, offered.path)
        if facts != (offered.size, offered.changed):
            raise RefusedError("not_found", "this file has changed since the server was started; start it again")
        file = await loop.run_in_executor(None, offered.path.open, "rb")
    try:
        length = (b"content-length", str(offered.size).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [*offered.headers, length]})
        left = 0 if head or file is None else offered.size
        while left > 0 and file is not None:
            piece = await loop.run_in_executor(None, file.read, min(PIECE, left))
            if not piece:
                raise OSError(f"{offered.path} became shorter while it was sent")
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"" if head else offered.text})
    finally:
        if file is not None:
            file.close()


def find_facts(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns
