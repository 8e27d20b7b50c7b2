"""How is a folder served to the page, with isolation headers or as any static host does, and what was asked for?"""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ISOLATION = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}


class Handler(SimpleHTTPRequestHandler):
    """Notes what is asked for instead of printing it, and adds the headers that its server wants."""

    server: "Server"

    def end_headers(self) -> None:
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        super().end_headers()

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_request(self, *_: Any) -> None:
        self.server.asked.append(f"{self.command} {self.path}")

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path, headers: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.headers = headers
        self.asked: list[str] = []


class PageServer:
    """Serves a folder while it is entered; `stop` before that end is a network that went away."""

    def __init__(self, folder: Path, isolated: bool = True) -> None:
        self.server = Server(folder, ISOLATION if isolated else {})
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
