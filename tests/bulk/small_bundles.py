"""Bundles of one layer, for every task, made in milliseconds: their answers follow from the pictures' colours."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from rapidnet.runtimes.bundle import compute_card_hash, compute_file_hash

CLASSES = ["blue sky", "green", "red", "grey"]
SIZE = 32
SLOTS = 3


def constant(name: str, values: Any) -> Any:
    return numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)


def build_graph(task: str, seed: int) -> Any:
    """From [N, 3, S, S] to logits [N, C], logits [N, C, S, S], or boxes, scores, labels and masks of three slots."""
    rng = np.random.default_rng(seed)
    weights = 3 * rng.standard_normal((3, len(CLASSES)))
    if task == "semantic":
        nodes = [helper.make_node("Conv", ["images", "weights"], ["logits"])]
        constants = [constant("weights", weights.T[:, :, None, None])]
        return nodes, constants, {"logits": ["batch", len(CLASSES), SIZE, SIZE]}
    pooled = helper.make_node("ReduceMean", ["images", "axes"], ["colours"], keepdims=0)
    axes = numpy_helper.from_array(np.array([2, 3], dtype=np.int64), "axes")
    if task in ("classification", "multilabel"):
        nodes = [pooled, helper.make_node("MatMul", ["colours", "weights"], ["logits"])]
        return nodes, [axes, constant("weights", weights)], {"logits": ["batch", len(CLASSES)]}
    edges = rng.integers(1, 15, (1, SLOTS, 4)) + np.array([0, 0, SIZE // 2, SIZE // 2])
    nodes = [
        pooled,
        helper.make_node("MatMul", ["colours", "weights"], ["raw"]),
        helper.make_node("Sigmoid", ["raw"], ["scores"]),
        helper.make_node("Identity", ["edges"], ["boxes"]),
        helper.make_node("Identity", ["numbers"], ["labels"]),
    ]
    constants = [
        axes, constant("weights", weights[:, :SLOTS]), constant("edges", edges), constant("numbers", [[2, 0, 1]]),
    ]  # fmt: skip
    shapes = {"boxes": [1, SLOTS, 4], "scores": ["batch", SLOTS], "labels": [1, SLOTS]}
    if task == "instance":
        nodes.append(helper.make_node("Identity", ["shapes"], ["masks"]))
        constants.append(constant("shapes", rng.random((1, SLOTS, 28, 28))))
        shapes["masks"] = [1, SLOTS, 28, 28]
    return nodes, constants, shapes


def write_bundle(folder: Path, task: str = "classification", seed: int = 0) -> Path:
    """A bundle as rapidnet export leaves it, as far as opening it goes."""
    folder.mkdir(parents=True)
    nodes, constants, shapes = build_graph(task, seed)
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, task, [images], outputs, constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(folder / "model.onnx")
    )
    is_dense = task in ("detect", "instance", "semantic")
    view = {"height": SIZE, "width": SIZE, "fit": "stretch", "fill": [0, 0, 0]}
    card = {
        "card_version": 1, "task": task, "classes": CLASSES, "artifact": "model.onnx", "format": "onnx",
        "files": {"model.onnx": compute_file_hash(folder / "model.onnx")}, "category_ids": [1, 2, 3, 4],
        "preprocessing": {
            "image_size": SIZE, "crop_pct": 1.0, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.25] * 3,
        } | (view if is_dense else {}),
        "input": {"max_batch": 1 if is_dense else 8},
        "output": {"name": "logits"}, "outputs": [{"name": name} for name in shapes],
        "answers": {"kind": "logits" if task == "semantic" else "slots"} if is_dense else {},
    }  # fmt: skip
    card["card_sha256"] = compute_card_hash(card)
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def write_pictures(folder: Path, count: int, bad: tuple[int, ...] = (), seed: int = 0) -> Path:
    """<folder>/<a or b>/<number>.jpg, each of another colour and size; those of `bad` cannot be read."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        path = folder / "ab"[index % 2] / f"{index:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if index in bad:
            path.write_bytes(b"no image")
            continue
        height, width = rng.integers(20, 60, 2)
        base = rng.integers(0, 200, 3)
        Image.fromarray((base + rng.integers(0, 56, (height, width, 3))).astype(np.uint8)).save(path)
    return folder
