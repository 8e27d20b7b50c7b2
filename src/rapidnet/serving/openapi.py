"""What does the OpenAPI document say of requests and answers? Schemas by task, and every error that can come."""

from collections.abc import Iterable
from typing import Any

from rapidnet.evaluation.predict import CARRIES
from rapidnet.runtimes.bundle import Bundle
from rapidnet.serving.pictures import MEDIA_TYPES
from rapidnet.serving.refusals import ERROR_SCHEMA, STATUSES
from rapidnet.serving.uploads import FORM, OCTETS

Schema = dict[str, Any]
BYTES: Schema = {"type": "string", "format": "binary"}
SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
RUN_LENGTHS: Schema = {
    "type": "object",
    "description": "COCO's compressed run lengths.",
    "required": ["size", "counts"],
    "properties": {"size": {"type": "array", "items": {"type": "integer"}}, "counts": {"type": "string"}},
}
BOX: Schema = {
    "type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4,
    "description": "left, top, right, bottom in the picture's pixels",
}  # fmt: skip


def record(required: Schema, optional: Schema | None = None) -> Schema:
    """An object with exactly these properties."""
    return {
        "type": "object", "required": list(required), "properties": required | (optional or {}),
        "additionalProperties": False,
    }  # fmt: skip


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


CLASS: Schema = {"type": "string"}
SIZE: Schema = {"width": {"type": "integer", "minimum": 1}, "height": {"type": "integer", "minimum": 1}}
NAMED = record({"predictions": array(record({"class": CLASS, "probability": SHARE}))})
OBJECT = record({"class": CLASS, "score": SHARE, "box": BOX}, {"mask": RUN_LENGTHS})
FOUND = record(SIZE | {"detections": array(OBJECT)})
CLASS_MAP: Schema = {"type": "string", "description": "A grey PNG in base64: of each pixel the number of its class."}
PIXELS = record(SIZE | {"classes": array(record({"class": CLASS, "share": SHARE})), "class_map": CLASS_MAP})
RESULTS = {
    "classification": NAMED, "multilabel": NAMED, "detect": FOUND, "instance": FOUND, "semantic": PIXELS,
}  # fmt: skip
PREDICT_ERRORS = (400, 401, 408, 413, 415, 422, 429, 500, 503)
DESCRIPTIONS = {
    "top": "How many classes to name, the likeliest first.",
    "threshold": "The least probability of what is named.",
}


def describe_prediction(bundle: Bundle, protected: bool) -> dict[str, Any]:
    """What FastAPI is told of POST /v1/predict."""
    results = array(RESULTS[bundle.task])
    answer = record({"bundle": {"type": "string"}, "sha256": {"type": "string"}, "results": results})
    form = record({"images": {"type": "array", "items": BYTES, "minItems": 1}})
    content = {FORM: {"schema": form}} | {kind: {"schema": BYTES} for kind in (OCTETS, *MEDIA_TYPES)}
    used, _ = CARRIES[bundle.task]
    what = f"; {used} bounds what is named" if used else ""
    return {
        "responses": {200: {"description": "One result for each picture, in order.", **as_json(answer)}}
        | describe_errors(PREDICT_ERRORS, protected),
        "openapi_extra": {
            "requestBody": {
                "required": True,
                "description": f"Pictures as files of a form, in the field images, or one picture as the body{what}.",
                "content": content,
            }
        }
        | describe_security(protected),
    }


def describe_errors(statuses: Iterable[int], protected: bool) -> dict[int | str, dict[str, Any]]:
    """The responses of these statuses, with the codes that each may carry."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        if status == 401 and not protected:
            continue
        codes = ", ".join(code for code, of in STATUSES.items() if of == status)
        found[status] = {"description": f"error.code is one of: {codes}", **as_json(ERROR_SCHEMA)}
        if status in (429, 503):
            found[status]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return found


def describe_security(protected: bool) -> dict[str, Any]:
    return {"security": [{"token": []}]} if protected else {}


def as_json(schema: Schema) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}
