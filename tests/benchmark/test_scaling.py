"""Does the picture of scaling show what was measured, one thing varied at a time?"""

from pathlib import Path
from typing import Any

import pytest

from rapidnet.benchmark.drawing import draw, draw_results
from rapidnet.benchmark.scaling import VARIED, collect_lines, draw_scaling
from rapidnet.cli import main
from rapidnet.config import BenchConfig
from rapidnet.environment import append_row
from rapidnet.errors import UserError


def bench(batch: int = 1, size: int = 224, threads: int = 1, **changes: Any) -> dict[str, Any]:
    row = {
        "study": "bench", "name": "rapidnet_ti", "model": "rapidnet_ti", "runtime": "onnx", "precision": "fp32",
        "batch": batch, "image_size": size, "threads": threads, "gmacs": 0.6 * (size / 224) ** 2,
        "latency_ms_p50": 10.0 * batch * (size / 224) ** 2 / threads,
    }  # fmt: skip
    return row | changes


def training(model: str, precision: str, size: int) -> dict[str, Any]:
    row = {"study": "training_cost", "model": model, "precision": precision, "image_size": size, "batch": 8}
    return row | {"threads": 2, "images_per_s": 4000 / size, "peak_mb": 10.0 * size}


SWEEP = [bench(batch) for batch in (4, 1, 2)] + [bench(size=size) for size in (96, 288)] + [bench(threads=2)]


def test_a_line_varies_one_thing() -> None:
    for key, places, held in (
        ("batch", [1, 2, 4], "224 px, 1 thread"), ("image_size", [96, 224, 288], "1 image per call, 1 thread"),
        ("threads", [1, 2], "1 image per call, 224 px"),
    ):  # fmt: skip
        (line,) = collect_lines(SWEEP, key)
        assert [row[key] for row in line.rows] == places and line.held == held
    # Of equally long ones, the fewest images per call and the size that most rows are of.
    more = [*SWEEP, bench(2, 96), bench(4, 96), bench(threads=2, size=96), bench(8, threads=2), bench(2, threads=2)]
    (line,) = collect_lines(more, "threads")
    assert line.held == "1 image per call, 224 px"
    assert collect_lines([bench(1), bench(2, size=96), bench(4, threads=2)], "batch") == []


def test_networks_runtimes_and_precisions_are_lines_of_their_own() -> None:
    others = [{"name": "mobilenetv2_140"}, {"runtime": "openvino"}, {"precision": "int8"}]
    rows = [bench(batch, **change) for batch in (1, 2) for change in ({}, *others)]
    labels = [line.label for line in collect_lines(rows, "batch")]
    assert labels == ["rapidnet_ti, onnx fp32", "mobilenetv2_140, onnx fp32", "rapidnet_ti, openvino fp32",
                      "rapidnet_ti, onnx int8"]  # fmt: skip


def test_what_is_drawn() -> None:
    rows = SWEEP + [training("rapidnet_ti", precision, size) for precision in ("fp32", "bf16") for size in (96, 224)]
    figure = draw_scaling([*rows, training("rapidnet_b", "fp32", 96)])
    titles = [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes]
    latency, speed = "median latency of a call (ms)", "images/s"
    assert titles[:4] == [("images per call", latency), ("image size (px)", latency), ("threads", latency),
                          ("image size (px)", "training, images/s")]  # fmt: skip
    assert titles[4:6] == [("images per call", speed), ("image size (px)", speed)]
    assert titles[7] == ("image size (px)", "training, peak memory (GB)")
    measured, _ = figure.axes[0].lines
    assert list(measured.get_xdata()) == [1, 2, 4] and list(measured.get_ydata()) == [10, 20, 40]
    # These rows are in proportion to the work by construction, so the dashed line lies on them in every panel.
    for axes in (*figure.axes[:3], *figure.axes[4:7]):
        solid, dashed = axes.lines
        assert list(dashed.get_ydata()) == pytest.approx(list(solid.get_ydata()))
    # One size is no line.
    assert [line.get_label() for line in figure.axes[3].lines] == ["rapidnet_ti, fp32", "rapidnet_ti, bf16"]
    memory = figure.axes[7].lines[0]
    assert list(memory.get_ydata()) == pytest.approx([0.96, 2.24])


def test_work_that_is_not_in_proportion_shows() -> None:
    figure = draw_scaling([bench(1), bench(4, latency_ms_p50=20.0)])
    solid, dashed = figure.axes[0].lines
    assert list(solid.get_ydata()) == [10, 20] and list(dashed.get_ydata()) == [10, 40]
    solid, dashed = figure.axes[1].lines
    assert list(solid.get_ydata()) == [100, 200] and list(dashed.get_ydata()) == [100, 100]


def test_only_what_has_two_figures_is_drawn() -> None:
    unsteady = {key: value for key, value in bench(2).items() if key != "latency_ms_p50"}
    with pytest.raises(UserError, match="nothing to draw: no network has figures at two batches"):
        draw_scaling([bench(1), unsteady])
    figure = draw_scaling([bench(1), unsteady, bench(4)])
    assert list(figure.axes[0].lines[0].get_xdata()) == [1, 4] and len(figure.axes) == 2


def test_the_last_measurement_counts(tmp_path: Path) -> None:
    results = tmp_path / "rows.jsonl"
    for row in (bench(1, latency_ms_p50=99.0), *SWEEP, {"study": "bench_ratio"}, {"study": "bench_left_out"}):
        append_row(results, row)
    # Another image size is not another measurement of the same thing.
    picture = tmp_path / "scaling.png"
    assert main(["bench", "--scaling", str(picture), "--results", str(results)]) == 0
    assert picture.stat().st_size > 10_000
    config = BenchConfig([], scaling=str(picture), results=str(tmp_path / "none.jsonl"))
    from rich.console import Console

    with pytest.raises(UserError, match="there are no rows at --results"):
        draw_results(config, Console(quiet=True))
    shown: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rapidnet.benchmark.drawing.draw_scaling", lambda rows: shown.extend(rows) or draw_scaling(rows))
        draw(config, [bench(1, latency_ms_p50=99.0), *SWEEP], Console(quiet=True))
    assert len(shown) == len(SWEEP) and 99.0 not in [row["latency_ms_p50"] for row in shown]


def test_measuring_again_fills_gaps_and_makes_none(tmp_path: Path) -> None:
    steady, unsteady = bench(2, latency_ms_p50=33.0), bench(2)
    del unsteady["latency_ms_p50"]
    drawn = [
        draw_points([bench(1), *rows, bench(4)], tmp_path)
        for rows in ([unsteady], [unsteady, steady], [steady, unsteady], [bench(2), unsteady, steady, unsteady])
    ]
    assert drawn == [[10.0, 40.0], *3 * [[10.0, 33.0, 40.0]]]


def draw_points(rows: list[dict[str, Any]], folder: Path) -> list[float]:
    """The latencies in the picture's first panel, by batch."""
    from rich.console import Console

    figures: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rapidnet.benchmark.drawing.save_figure", lambda figure, path: figures.append(figure))
        draw(BenchConfig([], scaling=str(folder / "scaling.png"), results="rows"), rows, Console(quiet=True))
    return list(figures[0].axes[0].lines[0].get_ydata())


def test_work_without_macs_goes_by_the_area() -> None:
    size = next(varied for varied in VARIED if varied.key == "image_size")
    row = bench(size=96)
    del row["gmacs"]
    assert size.work(row) == 96 * 96
