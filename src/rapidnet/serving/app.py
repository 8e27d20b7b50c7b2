"""Which requests are there? The routes of the server, put together with what guards them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from rapidnet.errors import nearest
from rapidnet.evaluation.predict import CARRIES
from rapidnet.runtimes.bundle import Bundle
from rapidnet.serving.connections import GONE
from rapidnet.serving.guard import FACTS, FAILED, REQUEST_ID, note_refusal
from rapidnet.serving.openapi import DESCRIPTIONS, as_json, describe_errors, describe_prediction, describe_security
from rapidnet.serving.refusals import RefusedError, show_name
from rapidnet.serving.service import Answered, Service
from rapidnet.serving.uploads import Body, check_head, read_uploads

TITLE = "rapidnet serve"
CARD_PARTS = (
    "model", "task", "head", "format", "precision", "classes", "category_ids", "preprocessing", "input", "output",
    "outputs", "answers", "license", "complexity", "runtime", "files",
)  # fmt: skip
"""What /v1/model tells of the card, beside the certificate's verdict."""
MAX_TOP = 1000
Responses = dict[int | str, dict[str, Any]]


def build_api(service: Service, name: str, protected: bool) -> FastAPI:
    """The routes under /v1, /healthz, /readyz and /metrics. name: of the bundle; protected: whether a token guards
    them."""
    from importlib.metadata import version

    api = FastAPI(title=TITLE, version=version("rapidnet"), docs_url=None, redoc_url=None, redirect_slashes=False)
    add_health(api, service, protected)
    add_model(api, service.bundle, protected)
    api.post(
        "/v1/predict", summary="Name what is in pictures, find objects in them, or name their pixels.",
        **describe_prediction(service.bundle, protected),
    )(build_predict(service, name))  # fmt: skip
    if protected:
        declare_token(api)
    api.add_exception_handler(RefusedError, answer_refusal)
    api.add_exception_handler(HTTPException, answer_http_exception)
    api.add_exception_handler(RequestValidationError, answer_invalid)
    # It is raised again behind the answer, for the guard to log.
    api.add_exception_handler(Exception, answer_failure)
    return api


def build_predict(service: Service, name: str) -> Callable[..., Awaitable[Response]]:
    """The route's function, with the one parameter that the bundle's task makes use of."""
    bundle = service.bundle
    used, why = CARRIES[bundle.task]
    start = b'{"bundle":%s,"sha256":"%s","results":[' % (quote(name), find_sha256(bundle).encode())

    async def respond(request: Request, asked: float) -> Response:
        check_parameters(request, used, why)
        answered = await predict(service, request, asked)
        return Response(start + b",".join(answered.parts) + b"]}", media_type="application/json")

    async def predict_top(
        request: Request, top: Annotated[int, Query(ge=1, le=MAX_TOP, description=DESCRIPTIONS["top"])] = 5
    ) -> Response:
        return await respond(request, top)

    async def predict_threshold(
        request: Request,
        threshold: Annotated[
            float, Query(ge=0, le=1, allow_inf_nan=False, description=DESCRIPTIONS["threshold"])
        ] = 0.5,
    ) -> Response:
        return await respond(request, threshold)

    async def predict_all(request: Request) -> Response:
        return await respond(request, 0)

    return {"top": predict_top, "threshold": predict_threshold, "": predict_all}[used]


def check_parameters(request: Request, used: str, why: str) -> None:
    """Raise RefusedError for a parameter that has no effect."""
    for parameter in request.query_params:
        if parameter != used:
            shown = show_name(parameter)
            known = [used] if used else []
            raise RefusedError(
                "invalid_parameter",
                f"the parameter '{shown}' has no effect on a network {why}{nearest(shown, known)}",
                field=shown,
            )


async def predict(service: Service, request: Request, asked: float) -> Answered:
    """Read the pictures and answer them, within the time limit; raises RefusedError."""
    config, facts = service.config, request.scope[FACTS]
    body = Body(request.stream(), round(config.max_body_mb * 1e6), service.budget)
    reading, gone, started = True, False, time.perf_counter()
    current = asyncio.current_task()

    def leave() -> None:
        nonlocal gone
        gone = True
        if current:
            current.cancel()

    try:
        async with asyncio.timeout(config.timeout_seconds):
            service.check_room()
            media_type, options = check_head(request.scope["headers"], body.most)
            uploads = await read_uploads(media_type, options, body, config.max_images)
            reading = False
            service.metrics.stages["upload"].observe(time.perf_counter() - started)
            facts |= {"bytes_in": body.length, "images": len(uploads)}
            request.scope[GONE] = leave
            answered = await service.answer(uploads, asked)
            facts["batch"] = answered.batch
            return answered
    except TimeoutError:
        raise time_out(config.timeout_seconds, reading, service.estimate()) from None
    except ClientDisconnect:
        raise RefusedError("client_gone", "the client has gone") from None
    except asyncio.CancelledError:
        if not gone:
            raise
        raise RefusedError("client_gone", "the client has gone") from None
    finally:
        request.scope.pop(GONE, None)
        body.release()


def time_out(seconds: float, reading: bool, retry_after: int) -> RefusedError:
    if reading:
        return RefusedError("upload_timed_out", f"the request did not arrive within {seconds:g} seconds")
    return RefusedError("timed_out", f"there was no answer within {seconds:g} seconds", retry_after=retry_after)


def add_health(api: FastAPI, service: Service, protected: bool) -> None:
    status = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}

    async def healthz() -> Response:
        return Response(b'{"status":"alive"}', media_type="application/json")

    async def readyz() -> Response:
        service.check_ready()
        return Response(b'{"status":"ready"}', media_type="application/json")

    async def metrics() -> Response:
        return Response(service.metrics.render(), headers={"content-type": CONTENT_TYPE_LATEST})

    alive: Responses = {200: {"description": "The process is alive.", **as_json(status)}}
    ready: Responses = {
        200: {"description": "Requests are taken.", **as_json(status)},
        **describe_errors((503,), False),
    }
    text = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    measured: Responses = {
        200: {"description": "Prometheus' text format.", **text},
        **describe_errors((401,), protected),
    }
    api.get("/healthz", summary="Is the process alive?", responses=alive)(healthz)
    api.get("/readyz", summary="Are requests taken?", responses=ready)(readyz)
    api.get(
        "/metrics", summary="Counters and histograms.", response_class=PlainText, responses=measured,
        openapi_extra=describe_security(protected),
    )(metrics)  # fmt: skip


class PlainText(Response):
    media_type = "text/plain"


def add_model(api: FastAPI, bundle: Bundle, protected: bool) -> None:
    facts = {key: bundle.card[key] for key in CARD_PARTS if key in bundle.card}
    facts |= {"certificate": bundle.card["certificate"]["verdict"], "sha256": find_sha256(bundle)}
    facts["runtime"] = bundle.network.runtime

    async def model() -> dict[str, Any]:
        return facts

    schema = {"type": "object", "required": ["model", "task", "classes", "preprocessing", "certificate", "sha256"]}
    told: Responses = {200: {"description": "What the bundle's card says.", **as_json(schema)}}
    api.get(
        "/v1/model", summary="Which network answers, and how was it proved?",
        responses=told | describe_errors((401,), protected), openapi_extra=describe_security(protected),
    )(model)  # fmt: skip


def find_sha256(bundle: Bundle) -> str:
    """Of the artifact; of a folder, of its first file."""
    files, artifact = bundle.card["files"], bundle.card["artifact"]
    return str(files.get(artifact) or next(value for key, value in files.items() if key.startswith(artifact)))


def declare_token(api: FastAPI) -> None:
    """Say in the OpenAPI document how the token is sent."""
    plain = api.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        document.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        return document

    api.openapi = openapi  # type: ignore[method-assign]


def answer_refusal(request: Request, refusal: Exception) -> Response:
    assert isinstance(refusal, RefusedError)
    note_refusal(request.scope, refusal)
    response = Response(refusal.body(request.scope[REQUEST_ID]), refusal.status, media_type="application/json")
    response.raw_headers += refusal.headers()
    return response


def answer_failure(request: Request, error: Exception) -> Response:
    return answer_refusal(request, RefusedError("internal_error", FAILED))


def answer_http_exception(request: Request, error: Exception) -> Response:
    """FastAPI's own refusals: no such path, or not with this method."""
    assert isinstance(error, HTTPException)
    code, message = ("not_found", "there is nothing at this path; see /openapi.json")
    if error.status_code == 405:
        code, message = ("method_not_allowed", "this path does not take this method; see /openapi.json")
    elif error.status_code != 404:
        code, message = ("bad_http", "the request cannot be understood")
    response = answer_refusal(request, RefusedError(code, message))
    response.headers.update(error.headers or {})
    return response


def answer_invalid(request: Request, error: Exception) -> Response:
    """A parameter that is no number, or not within its bounds."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = show_name(str(first["loc"][-1]))
    return answer_refusal(request, RefusedError("invalid_parameter", f"'{field}': {first['msg']}", field=field))


def quote(text: str) -> bytes:
    from json import dumps

    return dumps(text).encode()
