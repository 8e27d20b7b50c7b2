"""What is refused, with which status, and what does the client read? One JSON shape for every error."""

import json
from typing import Any

# What a client reads as `code`, and its status.
STATUSES = {
    "bad_http": 400,
    "bad_multipart": 400,
    "corrupt_image": 400,
    "unauthorized": 401,
    "not_found": 404,
    "method_not_allowed": 405,
    "upload_timed_out": 408,
    "body_too_large": 413,
    "too_many_pixels": 413,
    "too_many_images": 413,
    "unsupported_media_type": 415,
    "not_an_image": 415,
    "animated_image": 422,
    "elongated_image": 422,
    "too_many_scans": 422,
    "no_image": 422,
    "unknown_field": 422,
    "invalid_parameter": 422,
    "queue_full": 429,
    "uploads_full": 429,
    "timed_out": 429,
    "headers_too_large": 431,
    "client_gone": 499,
    "internal_error": 500,
    "draining": 503,
    "warming_up": 503,
}
SHOWN = 80
"""Of a name that a client chose, so many characters are echoed."""


class RefusedError(Exception):
    """A request that gets no answer.

    code: of STATUSES; message: one sentence; field: the parameter or form field at fault; file: which picture.
    retry_after: seconds after which the same request may succeed, 0 if it never will.
    """

    def __init__(self, code: str, message: str, field: str = "", file: str = "", retry_after: int = 0) -> None:
        super().__init__(message)
        self.code, self.status, self.message = code, STATUSES[code], message
        self.field, self.file, self.retry_after = field, file, retry_after

    def body(self, request_id: str) -> bytes:
        """The JSON that the client reads."""
        facts: dict[str, Any] = {"status": self.status, "code": self.code, "message": self.message}
        facts |= {"field": self.field} if self.field else {}
        facts |= {"file": self.file} if self.file else {}
        return json.dumps({"error": facts | {"request_id": request_id}}).encode()

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Beside the content's type and length."""
        found = [(b"cache-control", b"no-store")]
        if self.retry_after:
            found.append((b"retry-after", str(self.retry_after).encode()))
        if self.status == 401:
            found.append((b"www-authenticate", b"Bearer"))
        return found


ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "additionalProperties": False,
    "properties": {
        "error": {
            "type": "object",
            "required": ["status", "code", "message", "request_id"],
            "additionalProperties": False,
            "properties": {
                "status": {"type": "integer", "description": "The HTTP status."},
                "code": {"type": "string", "enum": sorted(STATUSES), "description": "For programs."},
                "message": {"type": "string", "description": "One sentence for people."},
                "field": {"type": "string", "description": "The parameter or form field at fault."},
                "file": {"type": "string", "description": "The picture at fault, such as images[0] (cat.jpg)."},
                "request_id": {"type": "string", "description": "As in the header X-Request-ID and the log."},
            },
        }
    },
}


def show_name(name: str) -> str:
    """A name that a client chose, short and printable, to be echoed in an error."""
    kept = "".join(letter if letter.isprintable() else "?" for letter in name[: SHOWN + 1])
    return kept if len(kept) <= SHOWN else kept[: SHOWN - 1] + "…"
