"""Do the pictures show the numbers they were given, at any size, and are they written whole or not at all?"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from rapidnet.evaluation.metrics import ClassificationMeter
from rapidnet.evaluation.pictures import (
    draw_confusion,
    draw_curves,
    draw_examples,
    draw_reliability,
    save_figure,
)


def make_rows(epochs: int, best: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": e, "loss": 1 / e, "val_loss": 2 / e, "val_top1": 50.0 - abs(e - best), "ema_top1": 40.0,
            "lr": 1e-3, "images_per_s": 100.0,
        }
        for e in range(1, epochs + 1)
    ]  # fmt: skip


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for axes in figure.axes for text in axes.texts)


def labels(figure: Figure) -> list[str]:
    return [str(line.get_label()) for axes in figure.axes for line in axes.lines]


def test_curves_mark_the_best_epoch_and_hold_the_values() -> None:
    figure = draw_curves(make_rows(12, best=7))
    assert "best: 50.00 % at epoch 7" in labels(figure)
    train = next(line for line in figure.axes[0].lines if line.get_label() == "training")
    assert np.asarray(train.get_ydata()).tolist() == pytest.approx([1 / e for e in range(1, 13)])
    tie = [{"epoch": 1, "val_top1": 60.0}, {"epoch": 2, "val_top1": 60.0}]
    assert "best: 60.00 % at epoch 1" in labels(draw_curves(tie))


def test_curves_of_one_epoch_and_of_missing_values(tmp_path: Path) -> None:
    for rows in (make_rows(1, 1), [{"epoch": 1, "loss": float("nan"), "lr": 0.0, "val_top1": None}]):
        save_figure(draw_curves(rows), tmp_path / "curves.png")
    assert not any("best" in label for label in labels(draw_curves([{"epoch": 1, "loss": 1.0}])))
    with pytest.raises(ValueError, match="no rows"):
        draw_curves([])


@pytest.mark.parametrize("number", [2, 20, 21, 61, 205])
def test_confusion_of_any_number_of_classes(number: int, tmp_path: Path) -> None:
    confusion = 10 * np.eye(number, dtype=int)
    confusion[0, 1] = 5
    figure = draw_confusion(confusion.tolist(), [f"c{i}" for i in range(number)])
    save_figure(figure, tmp_path / "confusion.png")
    shown = texts(figure)
    assert "c0 → c1\n    5 of 15 (33 %)" in shown and f"{10 * number + 5:,} images" in shown
    written = sum(text.get_text() == "10" for text in figure.axes[0].texts)
    assert written == (number if number <= 20 else 0)


def test_confusion_pools_many_classes_without_losing_any_and_greys_empty_rows() -> None:
    confusion = np.zeros((401, 401), dtype=int)
    confusion[:200, 400] = 1
    cells = np.asarray(draw_confusion(confusion.tolist(), [str(i) for i in range(401)]).axes[0].images[0].get_array())
    assert cells.shape == (134, 134) and cells[0, 133] == 100 and cells[0, 0] == 0
    masked: Any = np.ma.asarray(draw_confusion([[3, 0], [0, 0]], ["a", "b"]).axes[0].images[0].get_array())
    assert np.isnan(masked.filled(np.nan)[1]).all() and masked.filled(np.nan)[0, 0] == 100
    assert "none" in texts(draw_confusion([[3, 0], [0, 0]], ["a", "b"]))


def test_names_with_dollar_signs_and_foreign_scripts(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    names = ["$x^$", "花" * 3]
    save_figure(draw_confusion([[1, 2], [3, 4]], names), tmp_path / "names.png")
    save_figure(draw_examples([np.zeros((8, 8, 3), np.uint8)] * 2, names, ["red", "green"]), tmp_path / "grid.png")
    assert not recwarn.list


def test_reliability_shows_the_bins() -> None:
    meter = ClassificationMeter(["a", "b"])
    meter.update(np.array([[0.9, 0.1], [0.91, 0.09], [0.2, 0.8]]), np.array([0, 1, 1]))
    figure = draw_reliability(meter.reliability_bins(), meter.compute()["ece"])
    heights = [bar.get_height() for bar in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert heights == pytest.approx([100, 50])
    assert "3 images" in figure.axes[0].get_title(loc="left")


def test_examples_make_a_grid(tmp_path: Path) -> None:
    images = [np.full((20 + i, 30, 3), i, dtype=np.uint8) for i in range(11)]
    figure = draw_examples(images, [f"t{i}\nsecond" for i in range(11)], ["green"] * 11)
    assert [axes.get_title() for axes in figure.axes][:11] == [f"t{i}\nsecond" for i in range(11)]
    save_figure(figure, tmp_path / "grid.png")
    for arguments in (([], [], []), (images, ["one"], ["red"] * 11)):
        with pytest.raises(ValueError, match="as many of each"):
            draw_examples(*arguments)


def test_figures_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "curves.png"
    figure = draw_curves(make_rows(2, 1))
    save_figure(figure, path)
    before = path.read_bytes()
    assert before.startswith(b"\x89PNG") and [entry.name for entry in path.parent.iterdir()] == ["curves.png"]
    save_figure(figure, tmp_path / "curves.svg")
    assert "<svg" in (tmp_path / "curves.svg").read_text()

    def fail(target: Path, **_: object) -> None:
        Path(target).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, path)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1
