"""How is a folder served to the page, as a server with isolation headers or as any static host, and what was asked for?"""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


class Handler(SimpleHTTPRequestHandler):
    """Says nothing, and adds the headers that its server asks for."""

    server: "Server"

    def end_headers(self) -> None:
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    headers: dict[str, str] = {}  # noqa: RUF012


class PageServer:
    """Serves a folder while it is entered; `stop` before that end is a network that went away."""

    def __init__(self, folder: Path, isolated: bool = True) -> None:
        self.server = Server(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.server.headers = ISOLATION if isolated else {}
        self.url = f"http://localhost:{self.server.server_port}/"
        self.running = False

    def __enter__(self) -> "PageServer":
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.running = True
        return self

    def stop(self) -> None:
        if self.running:
            self.server.shutdown()
            self.server.server_close()
        self.running = False

    def __exit__(self, *_: object) -> None:
        self.stop()
