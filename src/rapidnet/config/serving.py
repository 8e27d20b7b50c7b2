"""What can be asked of the server and the demo? The string under a field is its help text."""

from dataclasses import dataclass
from typing import Literal

from rapidnet.config.choices import check

POSITIVE = (
    "max_batch", "readers", "max_body_mb", "max_pixels", "max_images", "max_queue", "max_upload_mb", "max_connections",
    "timeout_seconds", "header_seconds",
)  # fmt: skip


@dataclass
class ServeConfig:
    """Answer pictures over HTTP with an exported bundle, within bounds, and serve the page that needs no server."""

    bundles: list[str]
    """Bundle folders: the first answers requests, all of them are offered to the page."""
    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 is every address of this machine."""
    port: int = 8000
    """The port to listen on; 0 takes a free one."""
    threads: int = 0
    """Threads of the runtime; 0 leaves it to the runtime."""
    max_batch: int = 4
    """Pictures in one call of the network at most; the bundle's own max_batch bounds it, too."""
    max_delay_ms: float = 5.0
    """How long a picture may wait for others that are being read, in milliseconds; 0 never waits."""
    readers: int = 2
    """Threads that decode pictures."""
    max_body_mb: float = 16.0
    """The largest request, in megabytes (of 1,000,000 bytes)."""
    max_pixels: int = 25_000_000
    """The largest picture, in pixels; a larger one is refused before it is decoded."""
    max_images: int = 16
    """Pictures in one request at most."""
    max_queue: int = 512
    """Pictures that wait or are answered at a time; what comes beyond is to come again later (429)."""
    max_upload_mb: float = 256.0
    """Bytes of all requests that are held at a time, in megabytes; likewise."""
    max_connections: int = 1024
    """Connections at a time; beyond, the one that has waited longest for its client is closed."""
    timeout_seconds: float = 30.0
    """The longest that a request may take, its upload included."""
    header_seconds: float = 10.0
    """The longest that a client may take to send a request's headers."""
    drain_seconds: float = 30.0
    """After SIGTERM or Ctrl-C, how long requests that have begun may take to finish."""
    token_file: str = ""
    """A file with a token that requests must carry (Authorization: Bearer TOKEN); or set RAPIDNET_TOKEN."""
    tls_certificate: str = ""
    """A PEM file with the certificate (chain), for https."""
    tls_key: str = ""
    """A PEM file with the certificate's private key."""
    quiet: bool = False
    """Log only requests that were refused or failed."""

    def __post_init__(self) -> None:
        check(bool(self.bundles), "there is nothing to serve; name a bundle that rapidnet export wrote")
        check_address(self.port, self.tls_certificate, self.tls_key)
        for name in POSITIVE:
            check(getattr(self, name) > 0, f"{name} is {getattr(self, name)}; it must be more than 0")
        for name in ("threads", "max_delay_ms", "drain_seconds"):
            check(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must not be negative")
        check(
            self.max_images <= self.max_queue,
            f"max_images is {self.max_images}, more than the {self.max_queue} of max_queue; such a request could never "
            "be answered",
        )
        check(
            self.max_body_mb <= self.max_upload_mb,
            f"max_body_mb is {self.max_body_mb}, more than the {self.max_upload_mb} of max_upload_mb; such a request "
            "could never be answered",
        )


@dataclass
class DemoConfig:
    """Put a network on your phone: exports it if need be, starts the server, prints its address and a QR code."""

    what: list[str]
    """A run or bundles; without, the quickstart's network, which is trained first if there is none."""
    task: Literal["classify", "detect", "semantic"] = "classify"
    """Which quickstart, where neither run nor bundle is named."""
    host: str = "0.0.0.0"
    """The address to listen on; every address of this machine lets a phone on the same network reach it."""
    port: int = 8000
    """The port to listen on; 0 takes a free one."""
    https: bool = False
    """Serve https with a certificate made for this run: after a warning, a phone's page may use camera and threads."""
    tls_certificate: str = ""
    """A PEM file with a certificate (chain) that the phone trusts, for https without a warning and use offline."""
    tls_key: str = ""
    """A PEM file with the certificate's private key."""

    def __post_init__(self) -> None:
        check_address(self.port, self.tls_certificate, self.tls_key)
        check(
            not (self.https and self.tls_certificate),
            "https makes a certificate, and tls_certificate names one; give one of the two",
        )


def check_address(port: int, certificate: str, key: str) -> None:
    """Raise UserError for a port that is none, or half of what https needs."""
    check(0 <= port <= 65535, f"port is {port}; it must lie between 0 and 65535")
    check(bool(certificate) == bool(key), "tls_certificate and tls_key go together; give both or neither")
