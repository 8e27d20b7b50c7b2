"""Do a segmenter's tables and pictures say what was measured, within 80 columns?"""

import io
from pathlib import Path

import numpy as np
from rich.console import Console

from rapidnet.evaluation.measures import MEASURES
from rapidnet.evaluation.pictures import save_figure
from rapidnet.evaluation.segmentation_metrics import SegmentationMeter

MEASURE = MEASURES["semantic"]


def fill(pictures: int, classes: int = 3) -> SegmentationMeter:
    """A third of class 0 is taken for class 1; the last class never occurs."""
    meter = MEASURE.build_meter([f"c{i}" for i in range(classes)])
    for _ in range(pictures):
        truth = np.zeros((30, 40), dtype=np.uint8)
        truth[:15] = 1
        answer = truth.copy()
        answer[25:] = 1
        meter.update(answer, truth)
    return meter  # type: ignore[no-any-return]


def show(result: dict) -> str:
    console = Console(file=io.StringIO(), width=80)
    MEASURE.print_result({"checkpoint": "best.safetensors", "data": "photos"} | result, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 80
    return text


def test_tables() -> None:
    result = fill(4).compute()
    shown = show(result)
    assert "70.83" in shown and "70.83 to 70.83" in shown and "2 of 3 classes" in shown
    assert "mIoU [bold]70.83%[/bold] (95%" in MEASURE.summarize(result)
    assert {MEASURE.score, MEASURE.train_score, *MEASURE.columns} <= set(result)
    alone = fill(1).compute()
    assert "70.83 %" in show(alone) and "interval" not in MEASURE.summarize(alone)


def test_many_classes_are_shortened_to_the_worst() -> None:
    result = fill(2).compute()
    result["per_class"] *= 30
    assert "40 of 90 classes" in show(result)


def test_the_picture_counts_pixels_and_writes_shares(tmp_path: Path) -> None:
    meter = fill(2)
    ((_, draw),) = MEASURE.pictures
    figure = draw(meter, meter.compute())
    written = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert written[:3] == ["67", "33", "100"] and "2,400 pixels, 83.33 % right" in written[3]
    save_figure(figure, tmp_path / "confusion.png")
