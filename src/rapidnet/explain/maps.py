"""What do the maps of several networks say of the same pictures, and how far can they be believed?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rapidnet.config import ExplainConfig
from rapidnet.errors import UserError, nearest
from rapidnet.explain.faithfulness import average, correlate, measure_areas, measure_baselines, summarize_areas
from rapidnet.explain.gradient_free import explain_by_masks, occlude
from rapidnet.explain.pictures import Pictures
from rapidnet.explain.subjects import Subject
from rapidnet.runtimes.network import Array

Areas = list[dict[str, float]]


@dataclass
class Mapped:
    """One network's maps of N pictures.

    answers, sure: number and probability of its likeliest class of each; probabilities: of the class that is mapped.
    maps: by method [N, S, S]; areas: by method and by baseline, a line a picture; untrained: Grad-CAM of its network
    with fresh weights, of runs.
    """

    subject: Subject
    answers: Array
    sure: Array
    probabilities: Array
    maps: dict[str, Array]
    areas: dict[str, Areas] = field(default_factory=dict)
    untrained: Array | None = None


def choose_targets(config: ExplainConfig, subject: Subject, pictures: Pictures) -> list[int]:
    """The class mapped in each picture: the one named, or the subject's likeliest.

    Raises:
        UserError: a class that the subject does not know, with the nearest it does.
    """
    if not config.class_name:
        return [int(answer) for answer in predict_all(subject, pictures.pixels, config.batch_size).argmax(1)]
    check_class(config.class_name, subject)
    return [subject.classes.index(config.class_name)] * len(pictures)


def check_class(name: str, subject: Subject) -> None:
    """Raise UserError unless the subject knows the class (or none is named)."""
    if name and name not in subject.classes:
        some = f"{', '.join(subject.classes[:3])}{', ...' if len(subject.classes) > 3 else ''}"
        hint = nearest(name, subject.classes)
        raise UserError(f"class '{name}' is unknown to {subject.name}{hint}; it knows {some}")


def predict_all(subject: Subject, pixels: Array, batch_size: int) -> Array:
    """Probabilities [N, C]."""
    starts = range(0, len(pixels), batch_size)
    return np.concatenate([subject.predictor.predict(pixels[start : start + batch_size]) for start in starts])


def map_pictures(
    config: ExplainConfig, subject: Subject, pictures: Pictures, targets: Sequence[int],
    advance: Callable[[int], None],
) -> Mapped:  # fmt: skip
    """All of a subject's maps of the pictures, and how faithful they and the baselines are."""
    probabilities = predict_all(subject, pictures.pixels, config.batch_size)
    own = probabilities[np.arange(len(targets)), targets]
    mapped = Mapped(subject, probabilities.argmax(1), probabilities.max(1), own, {})
    if "gradcam" in config.method_names and subject.trained:
        from rapidnet.explain.gradcam import map_activation
        from rapidnet.explain.trained_subject import build_untrained

        trained = subject.trained
        models = (trained.model, build_untrained(trained, config.seed))
        mapped.maps["gradcam"], mapped.untrained = (
            map_activation(
                model, trained.preprocessing.normalize, pictures.pixels, targets, config.stage, config.batch_size
            )
            for model in models
        )
    kept: dict[str, list[Array]] = {name: [] for name in config.method_names if name != "gradcam"}
    for number, target in enumerate(targets):
        pixels, predict = pictures.pixels[number], subject.predictor.predict
        for name, maps in kept.items():
            maps.append(hide(name, config, subject, pixels, target))
        judged = {name: maps[number] for name, maps in (mapped.maps | kept).items()}
        found = measure_baselines(predict, pixels, target, subject.fill, config.seed + number, config.batch_size)
        for name, shown in judged.items():
            found[name] = measure_areas(
                predict, pixels, target, subject.fill, shown, config.seed + number, config.batch_size
            )
        for name, areas in found.items():
            mapped.areas.setdefault(name, []).append(areas)
        advance(1)
    mapped.maps |= {name: np.stack(maps) for name, maps in kept.items()}
    return mapped


def hide(name: str, config: ExplainConfig, subject: Subject, pixels: Array, target: int) -> Array:
    """The map of a picture by a method that hides parts of it."""
    predict = subject.predictor.predict
    if name == "occlusion":
        return occlude(predict, pixels, target, subject.fill, config.batch_size)
    return explain_by_masks(predict, pixels, target, subject.fill, config.batch_size, config.masks, config.seed)


def describe_maps(mapped: Mapped, first: Mapped, config: ExplainConfig, pictures: Pictures) -> dict[str, Any]:
    """What the row of a subject says of its maps."""
    random = mapped.areas["random"]
    row: dict[str, Any] = {
        "images": len(pictures), "class": config.class_name, "stage": config.stage, "seed": config.seed,
        "pictures": [
            {
                "image": name, "answer": mapped.subject.classes[answer], "probability": float(sure),
                "mapped_probability": float(own),
            }
            for name, answer, sure, own in zip(
                pictures.names, mapped.answers, mapped.sure, mapped.probabilities, strict=True
            )
        ],
        "areas": {name: summarize_areas(areas, random) for name, areas in mapped.areas.items() if name != "random"},
        "flat": {name: int(sum(np.ptp(shown) == 0 for shown in maps)) for name, maps in mapped.maps.items()},
        "random": {name: float(np.mean([own[name] for own in random])) for name in random[0]},
    }  # fmt: skip
    if mapped.untrained is not None:
        own = mapped.maps["gradcam"]
        row["randomised"] = compare_maps(own, mapped.untrained)
        row["other_picture"] = compare_maps(own, np.roll(own, 1, 0)) if len(own) > 1 else None
    if mapped is not first:
        both = [name for name in mapped.maps if name in first.maps]
        row["against_first"] = {name: compare_maps(mapped.maps[name], first.maps[name]) for name in both}
    return row


def compare_maps(ours: Array, theirs: Array) -> dict[str, Any]:
    """Spearman's correlation of each pair of maps: mean and least over those that are not flat, and how many are."""
    values = [correlate(one, other) for one, other in zip(ours, theirs, strict=True)]
    known = [value for value in values if value is not None]
    return {"mean": average(values), "least": min(known, default=None), "flat": len(values) - len(known)}
