"""How does a trained detector or segmenter come to its first conversion? As a classifier does in `export.prepare`."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from rich.console import Console

from rapidnet.config.export import ExportConfig
from rapidnet.errors import UserError
from rapidnet.evaluation.dense import build_dense_predict
from rapidnet.evaluation.trained_dense import TrainedDense
from rapidnet.export.capture import InputSpec, capture
from rapidnet.export.converters import refuse
from rapidnet.export.dense_heads import WHOLE, choose_head, describe_answers
from rapidnet.export.dense_samples import Pictures, answer_eagerly, choose_size, describe_preprocessing, open_pictures
from rapidnet.export.dense_task import LabelledPictures
from rapidnet.export.job import Job
from rapidnet.export.references import build_golden
from rapidnet.export.source import Source
from rapidnet.runtimes.pictures import place_picture

GOLDEN_PICTURES = 4
GOLDEN_NOISE = 2
# A detector's score is the root of a product of two probabilities, most of them near zero: the same rounding is a
# larger share of it than of a classifier's answer, above all with ONNX Runtime's approximate sigmoid, whose error does
# not shrink with its result. A hundredth of this is still out of float32's reach.
TOLERANCES = {"fp32": {"sqnr_db": 90.0, "max_rel": 1e-5}}
PRECISIONS = ("fp32", "fp16")
SCORES = {"detect": "box_ap", "instance": "mask_ap", "semantic": "miou"}


def prepare_dense(source: Source, config: ExportConfig, console: Console) -> Job:
    """Everything up to the first conversion.

    Raises:
        UserError: what cannot be exported, or not in the form asked for; data that is not there or does not fit.
    """
    trained: Any = source.trained
    refuse_dense(trained, config)
    pictures = open_pictures(trained, config)
    size = choose_size(trained, pictures, config.image_size)
    head = choose_head(trained, config.part, size)
    spec = InputSpec(size[0], size[0], raw=config.raw, width=size[1])
    for name in config.formats:
        refuse(name, spec, config.precision)
    contract = describe_preprocessing(trained, size, config.image_size)
    with console.status("asking the network itself"):
        captured = capture(trained.model, trained.preprocessing, trained.task, spec, head)
        golden_pixels = [place_picture(image, contract).pixels for image, _ in pictures.take(GOLDEN_PICTURES)]
        golden = build_golden(source, np.stack(golden_pixels), np.empty(0), config.raw, head, GOLDEN_NOISE)
        task = None if config.part == "features" else build_task(trained, pictures, contract)
    origins = {"checked_on": f"{pictures.origin}, {len(pictures)}"}
    answers = describe_answers(trained, config.part)
    return Job(
        config, source, captured, golden, origins, task, None, [], TOLERANCES, preprocessing=contract, answers=answers
    )


def refuse_dense(trained: TrainedDense, config: ExportConfig) -> None:
    """Raises UserError for what no format can make of a detector or segmenter."""
    if config.precision == "int8":
        raise UserError(
            f"--precision int8 is offered for classifiers only, and this is a network of --task {trained.task}; "
            "take fp16"
        )
    if config.max_batch > 1 or config.max_image_size:
        raise UserError(
            f"artifacts of --task {trained.task} take one image of a fixed size; leave out --max-batch and "
            "--max-image-size"
        )
    if config.labels:
        raise UserError(f"--labels is for classifiers, and this is a network of --task {trained.task}; leave it out")
    if config.part == "features":
        return
    head, whole = trained.network.head, WHOLE[trained.network.head]
    for name in config.formats:
        if name not in (whole.formats or config.formats) or config.precision not in (whole.precisions or PRECISIONS):
            raise UserError(
                f"head {head} is exported whole as {', '.join(whole.formats)} in {', '.join(whole.precisions)} only: "
                "it chooses boxes in the middle of its graph; take that, --part features, or a network with head fcos"
            )


def build_task(trained: TrainedDense, pictures: Pictures, contract: dict[str, Any]) -> LabelledPictures:
    """The labelled pictures with what the network itself finds in them, placed for the artifact and as it was
    validated."""
    own = LabelledPictures(pictures, answer_eagerly(trained, pictures, contract), trained.classes,
                           SCORES[trained.task], {})  # fmt: skip
    predict, transform = build_dense_predict(trained.model, trained.preprocessing), trained.preprocessing.transform
    meter = own.build_meter()
    for pixels, truth in pictures:
        resized, _ = transform(torch.from_numpy(pixels).permute(2, 0, 1), {})
        (answer,) = predict([resized], [truth["size"]])
        own.measure(meter, {name: value.numpy() for name, value in answer.items()}, truth)
    return replace(own, validated=meter.compute())
