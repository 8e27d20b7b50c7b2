"""Which columns do answers have, and how does a prediction become a row of them?"""

import io
from collections.abc import Callable, Sequence
from typing import Any

from rapidnet.errors import UserError
from rapidnet.evaluation.predict import Prediction
from rapidnet.images import ADVICE

Row = dict[str, Any]

ALWAYS = {"image": "string", "error": "string"}
SIZE = {"width": "int32", "height": "int32"}
NAMED = {"classes": "strings", "probabilities": "floats"}
FOUND = {"classes": "strings", "scores": "floats", "boxes": "boxes"}
# Task -> column -> its type. What a picture could not be asked, because it could not be read, is null.
COLUMNS: dict[str, dict[str, str]] = {
    "classification": ALWAYS | {"top1": "string", "top1_probability": "float"} | NAMED,
    "multilabel": ALWAYS | NAMED,
    "detect": ALWAYS | SIZE | FOUND,
    "instance": ALWAYS | SIZE | FOUND | {"masks": "strings"},
    "semantic": ALWAYS | SIZE | {"classes": "strings", "shares": "doubles", "class_map": "bytes"},
}


def build_schema(task: str) -> Any:
    """The pyarrow schema of a task's answers; raises UserError if pyarrow is not installed."""
    pa = import_pyarrow()
    types = {
        "string": pa.string(), "int32": pa.int32(), "float": pa.float32(), "bytes": pa.binary(),
        "strings": pa.list_(pa.string()), "floats": pa.list_(pa.float32()), "doubles": pa.list_(pa.float64()),
        "boxes": pa.list_(pa.list_(pa.float32())),
    }  # fmt: skip
    return pa.schema([(name, types[kind]) for name, kind in COLUMNS[task].items()])


def import_pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise UserError("--output writes Parquet with pyarrow; install it with pip install 'rapidnet[ray]'") from None
    return pyarrow


def shorten_error(message: str, name: str) -> str:
    """What is wrong with a picture, without its name and the advice, which a column need not repeat."""
    return message.removeprefix(f"image {name} is ").removesuffix(f"; {ADVICE}")


def describe_named(prediction: Prediction) -> Row:
    """A row for an image that carries several labels."""
    names, probabilities = zip(*prediction.answers, strict=True) if prediction.answers else ((), ())
    return {"classes": names, "probabilities": probabilities}


def describe_likeliest(prediction: Prediction) -> Row:
    """A row for an image of one class."""
    best, probability = prediction.answers[0]
    return {"top1": best, "top1_probability": probability} | describe_named(prediction)


def describe_found(answer: Any, classes: Sequence[str]) -> Row:
    """A row for objects: boxes as (left, top, right, bottom) in pixels, masks as COCO's compressed run lengths."""
    from rapidnet.data.object_masks import encode_mask

    row = {
        "classes": [classes[label] for label in answer["labels"].tolist()],
        "scores": answer["scores"].tolist(),
        "boxes": answer["boxes"].tolist(),
    }
    if "masks" in answer:
        row["masks"] = [encode_mask(mask)["counts"].decode("ascii") for mask in answer["masks"]]
    return row


def describe_pixels(answer: Any, classes: Sequence[str]) -> Row:
    """A row for the classes of pixels: those that occur, their shares, and a PNG of class numbers."""
    from rapidnet.evaluation.dense_files import draw_index_mask
    from rapidnet.evaluation.predict_dense import measure_shares

    shares = measure_shares(answer["semantic"], len(classes))
    buffer = io.BytesIO()
    draw_index_mask(answer["semantic"], classes).save(buffer, format="PNG")
    return {
        "classes": [classes[label] for label, _ in shares], "shares": [share for _, share in shares],
        "class_map": buffer.getvalue(),
    }  # fmt: skip


DESCRIBE_NAMED: dict[str, Callable[[Prediction], Row]] = {
    "classification": describe_likeliest, "multilabel": describe_named,
}  # fmt: skip
DESCRIBE_DENSE: dict[str, Callable[[Any, Sequence[str]], Row]] = {
    "detect": describe_found, "instance": describe_found, "semantic": describe_pixels,
}  # fmt: skip
