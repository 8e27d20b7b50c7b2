"""Do a detector's tables and pictures say what was measured, within 80 columns?"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from rapidnet.evaluation.detection_report import CURVES
from rapidnet.evaluation.measures import MEASURES
from rapidnet.evaluation.pictures import save_figure


def measure(task: str, classes: int = 3, found: bool = True) -> tuple[Any, dict[str, Any]]:
    """Six pictures with two objects, all found, half of them a few pixels off; the last class never occurs."""
    names = [f"c{i}" for i in range(classes)]
    meter = MEASURES[task].build_meter(names)
    for number in range(6):
        masks = np.zeros((2, 64, 64), dtype=bool)
        masks[0, 10:30, 10:30] = masks[1, 40:60, 32:60] = True
        labels = np.array([2 * number, 2 * number + 1]) % (classes - 1)
        truth = {"boxes": np.array([[10, 10, 30, 30], [32, 40, 60, 60]]), "labels": labels, "masks": masks}
        shift = number % 2 * 3
        answer = {
            "boxes": truth["boxes"] + shift, "labels": labels, "masks": np.roll(masks, shift, (1, 2)),
            "scores": np.array([0.9 - 0.1 * number, 0.5]),
        }  # fmt: skip
        nothing = {key: value[:0] for key, value in answer.items()}
        meter.update(number, answer if found else nothing, truth)
    return meter, meter.compute()


def show(task: str, result: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=80)
    MEASURES[task].print_result({"checkpoint": "best.safetensors", "data": "photos"} | result, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 80
    return text


@pytest.mark.parametrize("task", ["detect", "instance"])
def test_tables(task: str) -> None:
    _, result = measure(task)
    shown = show(task, result)
    assert f"{result['box_ap']:.2f}" in shown and "2 of 3 classes" in shown
    assert ("mask AP50" in shown) == (task == "instance")
    assert next(line for line in shown.splitlines() if "larger objects" in line).count("-") == 1 + (task == "instance")
    score = MEASURES[task].score
    assert score in result and f"{result[score]:.2f}%" in MEASURES[task].summarize(result)
    assert set(MEASURES[task].columns) <= set(result)


def test_nothing_found_is_zero_and_many_classes_are_shortened() -> None:
    _, result = measure("detect", found=False)
    assert result["box_ap"] == 0 and "AP50 0.00%" in MEASURES["detect"].summarize(result)
    _, result = measure("detect", classes=12)
    result["per_class"] *= 6
    assert "40 of 72 classes" in show("detect", result)


@pytest.mark.parametrize("task", ["detect", "instance"])
def test_pictures(task: str, tmp_path: Path) -> None:
    meter, result = measure(task)
    kind = "mask" if task == "instance" else "box"
    bars, curves = (draw(meter, result) for _, draw in MEASURES[task].pictures)
    lengths = [bar.get_width() for bar in bars.axes[0].patches]  # type: ignore[attr-defined]
    expected = [facts[f"{kind}_ap"] for facts in result["per_class"] if facts["objects"]]
    assert lengths == pytest.approx(sorted(expected, reverse=True))
    assert len(curves.axes) == 1 + (task == "instance")
    for (_, _, overlaps), line in zip(CURVES, curves.axes[0].lines, strict=True):
        key = {0: "box_ap50", 5: "box_ap75"}.get(overlaps, "box_ap") if isinstance(overlaps, int) else "box_ap"
        assert np.mean(line.get_ydata()) == pytest.approx(result[key]), "the area is the average precision"
    for number, figure in enumerate((bars, curves)):
        save_figure(figure, tmp_path / f"{number}.png")


def test_pictures_without_objects(tmp_path: Path) -> None:
    meter = MEASURES["detect"].build_meter(["a"])
    nothing = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int), "scores": np.zeros(0)}
    meter.update(0, nothing, nothing)
    result = meter.compute()
    for name, draw in MEASURES["detect"].pictures:
        save_figure(draw(meter, result), tmp_path / name)
    assert "box AP" in MEASURES["detect"].summarize(result) and "-" in show("detect", result)
