"""A server on this machine that speaks as much of S3's protocol as a client needs to list, read and write objects.

Real clients (pyarrow's is Amazon's C++ SDK) talk to it over HTTP; it knows nothing of signatures and regions.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 3
"""Keys in one page of a listing, so that every listing needs several."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", headers.get("length", str(len(body))))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status: int, code: str) -> None:
        self.answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def do_GET(self) -> None:
        server: Any = self.server
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        server.requests.append(f"{self.command} {unquote(parts.path)}")
        if bucket in server.forbidden:
            self.fail(403, "AccessDenied")
        elif bucket not in server.buckets:
            self.fail(404, "NoSuchBucket")
        elif not key:
            self.list_keys(server.buckets[bucket], parse_qs(parts.query))
        elif key not in server.buckets[bucket]:
            self.fail(404, "NoSuchKey")
        elif server.failing > 0 and self.command == "GET":
            server.failing -= 1
            self.fail(500, "InternalError")
        else:
            self.send_object(server.buckets[bucket][key])

    do_HEAD = do_GET  # noqa: N815

    def send_object(self, data: bytes) -> None:
        wanted = self.headers.get("Range")
        status = 200
        if wanted:
            first, last = wanted.removeprefix("bytes=").split("-")
            data, status = data[int(first) : int(last) + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", '"0"')
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def list_keys(self, objects: dict[str, bytes], query: dict[str, list[str]]) -> None:
        prefix, delimiter = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        after = query.get("continuation-token", [""])[0]
        found: dict[str, int] = {}
        for key in sorted(objects):
            if key.startswith(prefix):
                rest = key[len(prefix) :]
                folder = f"{prefix}{rest.partition(delimiter)[0]}/" if delimiter and delimiter in rest else ""
                found[folder or key] = -1 if folder else len(objects[key])
        names = sorted(name for name in found if name > after)
        page = names[: min(PAGE, int(query.get("max-keys", ["1000"])[0]))]
        items = "".join(
            f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
            if found[name] < 0
            else f"<Contents><Key>{escape(name)}</Key><Size>{found[name]}</Size>"
            "<LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>"
            for name in page
        )
        more = len(names) > len(page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        body = (
            f"<ListBucketResult><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{items}</ListBucketResult>"
        )
        self.answer(200, body.encode(), Content_Type="application/xml")

    def do_POST(self) -> None:
        """Begin and end an object in pieces, which is there from its end on."""
        server: Any = self.server
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        self.read_body()
        if parts.query == "uploads":
            upload = str(len(server.uploads))
            server.uploads[upload] = {}
            body = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
        else:
            pieces = server.uploads.pop(parse_qs(parts.query)["uploadId"][0])
            server.buckets[bucket][key] = b"".join(pieces[number] for number in sorted(pieces))
            body = "<CompleteMultipartUploadResult><ETag>0</ETag></CompleteMultipartUploadResult>"
        self.answer(200, body.encode(), Content_Type="application/xml")

    def do_PUT(self) -> None:
        server: Any = self.server
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        data = self.read_body()
        if self.headers.get("x-amz-content-sha256", "").startswith("STREAMING"):
            data = unchunk(data)
        server.requests.append(f"PUT /{bucket}/{key}")
        query = parse_qs(parts.query)
        if "uploadId" in query:
            server.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = data
        else:
            server.buckets[bucket][key] = data
        self.answer(200, ETag='"0"')

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while length := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body


def unchunk(data: bytes) -> bytes:
    """The content of a body in AWS's signed chunks: length in hexadecimal and signature, then so many bytes."""
    out = b""
    while data:
        head, _, data = data.partition(b"\r\n")
        length = int(head.split(b";")[0], 16)
        if not length:
            break
        out, data = out + data[:length], data[length + 2 :]
    return out


@contextmanager
def serve_s3(**buckets: dict[str, bytes]) -> Iterator[Any]:
    """The server, with the objects of its buckets; `failing` GETs are answered with an error of its own."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.buckets, server.forbidden, server.failing = buckets, {"secret"}, 0
    server.requests, server.uploads = [], {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
