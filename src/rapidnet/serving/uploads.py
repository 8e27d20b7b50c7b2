"""How is a request's body read: within its bounds while it comes, in memory only, one picture or several?"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from rapidnet.serving.pictures import MEDIA_TYPES, Upload
from rapidnet.serving.refusals import RefusedError, show_name

FIELDS = ("images", "image")
"""The form fields that carry pictures."""
OCTETS = "application/octet-stream"
FORM = "multipart/form-data"
Pairs = list[tuple[bytes, bytes]]


@dataclass
class Budget:
    """Bytes of all bodies that may be held at a time."""

    most: int
    held: int = 0


@dataclass
class Body:
    """The bytes of one request as they come, counted against its own bound and the common one."""

    chunks: AsyncIterator[bytes]
    most: int
    budget: Budget
    length: int = 0

    async def read(self) -> AsyncIterator[bytes]:
        """The chunks; raises RefusedError when they become too many."""
        async for chunk in self.chunks:
            self.length += len(chunk)
            self.budget.held += len(chunk)
            if self.length > self.most:
                raise too_large(self.most)
            if self.budget.held > self.budget.most:
                raise RefusedError(
                    "uploads_full", "too many bytes of other requests are held; come again", retry_after=1
                )
            yield chunk

    def release(self) -> None:
        """Give back what was counted against the common bound."""
        self.budget.held -= self.length
        self.length = 0


def too_large(most: int) -> RefusedError:
    return RefusedError("body_too_large", f"the request is larger than {most / 1e6:g} MB")


def find_header(headers: Pairs, name: bytes) -> bytes:
    """The first value of a header, or nothing."""
    return next((value for key, value in headers if key == name), b"")


def check_head(headers: Pairs, most: int) -> tuple[str, dict[bytes, bytes]]:
    """The media type and its options, before any of the body is read.

    Raises:
        RefusedError: another type than those taken here, or a length beyond `most` bytes.
    """
    kind, options = parse_options_header(find_header(headers, b"content-type"))
    media_type = kind.decode("latin-1").lower()
    if media_type not in (FORM, OCTETS) and not media_type.startswith("image/"):
        said = f"is {show_name(media_type)}" if media_type else "is missing"
        raise RefusedError(
            "unsupported_media_type",
            f"the content type {said}; send {FORM}, {OCTETS} or one of {', '.join(MEDIA_TYPES)}",
            field="content-type",
        )
    length = find_header(headers, b"content-length")
    if length.isdigit() and int(length) > most:
        raise too_large(most)
    return media_type, options


async def read_uploads(media_type: str, options: dict[bytes, bytes], body: Body, max_images: int) -> list[Upload]:
    """The pictures of a request, in order; raises RefusedError."""
    if media_type != FORM:
        # Not a list of chunks: of a few bytes each, they would take many times their length.
        data = bytearray()
        async for chunk in body.read():
            data += chunk
        uploads = [Upload("the body", bytes(data))]
    else:
        uploads = await read_form(options.get(b"boundary", b""), body, max_images)
    for upload in uploads:
        if not upload.data:
            raise RefusedError("no_image", f"{upload.label} is empty", field="images", file=upload.label)
    if not uploads:
        raise RefusedError("no_image", "the form holds no picture; send files in the field images", field="images")
    return uploads


async def read_form(boundary: bytes, body: Body, max_images: int) -> list[Upload]:
    """The files of a form, in order; raises RefusedError."""
    if not boundary:
        raise RefusedError("bad_multipart", "the content type names no boundary", field="content-type")
    form = Form(max_images)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for chunk in body.read():
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise RefusedError("bad_multipart", "the form is no valid multipart/form-data") from error
    if not form.ended:
        raise RefusedError("bad_multipart", "the form ends before its last boundary")
    return form.uploads


@dataclass
class Form:
    """What a parser of multipart/form-data tells, made into pictures."""

    max_images: int
    uploads: list[Upload] = field(default_factory=list)
    ended: bool = False
    label: str = ""
    name: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    disposition: bytes = b""
    data: bytearray = field(default_factory=bytearray)

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self.begin, "on_part_data": self.add, "on_part_end": self.end,
            "on_header_field": self.add_name, "on_header_value": self.add_value, "on_header_end": self.end_header,
            "on_headers_finished": self.end_headers, "on_end": self.finish,
        }  # fmt: skip

    def begin(self) -> None:
        self.disposition = b""
        if len(self.uploads) >= self.max_images:
            raise RefusedError(
                "too_many_images", f"the request holds more than {self.max_images} pictures", field="images",
                file=f"images[{self.max_images}]",
            )  # fmt: skip

    def add_name(self, data: bytes, start: int, end: int) -> None:
        self.name += data[start:end]

    def add_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def end_header(self) -> None:
        if self.name.lower() == b"content-disposition":
            self.disposition = bytes(self.value)
        self.name.clear()
        self.value.clear()

    def end_headers(self) -> None:
        _, options = parse_options_header(self.disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name not in FIELDS:
            shown = show_name(name)
            raise RefusedError(
                "unknown_field", f"the form's field '{shown}' is unknown; send pictures in images", field=shown
            )
        file = show_name(options.get(b"filename", b"").decode("utf-8", "replace"))
        self.label = f"images[{len(self.uploads)}]" + (f" ({file})" if file else "")

    def add(self, data: bytes, start: int, end: int) -> None:
        self.data += data[start:end]

    def end(self) -> None:
        self.uploads.append(Upload(self.label, bytes(self.data)))
        self.data.clear()

    def finish(self) -> None:
        self.ended = True
