"""Do tables say what the rows say, on lines that a terminal of 80 columns does not break?"""

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from rapidnet.benchmark.bench_report import describe_rival, print_report
from rapidnet.benchmark.device_report import MEASURED, print_tables
from rapidnet.benchmark.profile import print_profile

Row = dict[str, Any]
FIGURES = {
    "latency_ms_p90": 117.62, "latency_ms_p50": 107.18, "latency_ms_p99": 118.24, "images_per_s": 1390.5,
    "gflops": 1162.0, "gemm_share": 1.68,
    "split_ms": {"decode": 12.31, "resize": 14.11, "copy": 0.01, "normalise": 0.4, "model": 107.2, "post": 0.02},
}  # fmt: skip
PROSE = ("A Processor", "unstable ", "executorch: not run")
"""How lines begin that are no table's, and may be broken."""


def describe_context(threads: int) -> Row:
    return {
        "threads": threads, "mode": "standard", "governor": "unknown", "turbo": "unknown", "load_before": [0.1],
        "load_after": [1.0], "used_by_others": 0.012, "gemm_gflops": 238.4, "gemm": "onnxruntime",
        "environment": {"cpu": "A Processor", "cpu_count": 2, "os": "Linux x86_64"},
    }  # fmt: skip


def network(name: str, place: str, batch: int = 1, steady: bool = True, threads: int = 1) -> Row:
    runtime, precision = place.split()
    row = {
        "study": "bench", "name": name, "model": name, "runtime": runtime, "precision": precision, "batch": batch,
        "image_size": 224, "reasons": [] if steady else ["the runs spread by 7.4%"], "spread": 0.113, "drift": -0.021,
        "load_ms": 15557.0, "first_ms": 114.3, "peak_mb": 1838.0, "file_mb": 24.4, "params_m": 26.08, "gmacs": 10.582,
        "compute_unit_asked": "CPU", "compute_unit_used": "CPU",
    }  # fmt: skip
    return row | (FIGURES if steady else {}) | describe_context(threads)


def ratio(against: str, place: str, rival_place: str = "", batch: int = 1, size: int = 224, threads: int = 1) -> Row:
    (runtime, precision), (other, stored) = place.split(), (rival_place or place).split()
    row = {
        "study": "bench_ratio", "name": "rapidnet_ti", "against": against, "runtime": runtime, "precision": precision,
        "against_runtime": other, "against_precision": stored, "batch": batch, "image_size": 224,
        "against_image_size": size, "reasons": [], "ratio": 1.132, "low": 1.125, "high": 1.14,
        "verdict": "no difference",
    }  # fmt: skip
    return row | describe_context(threads)


def measure_two(place: str, threads: int, *batches: int) -> list[Row]:
    """The rows of a run of two networks."""
    rows = [
        network(name, place, batch, threads=threads) for batch in batches for name in ("rapidnet_ti", "mobilenetv2_140")
    ]
    rows += [ratio("mobilenetv2_140", place, "", batch, threads=threads) for batch in batches]
    return rows + [ratio("rapidnet_ti", place, "eager fp32", batch, threads=threads) for batch in batches]


PLACES = [f"{runtime} {precision}" for runtime in ("onnx", "openvino", "executorch") for precision in ("fp32", "int8")]
ONE_POINT = [row for place in PLACES for row in measure_two(place, 1, 1)]
POINTS = [
    *measure_two("executorch int8", 2, 1, 8),
    ratio("fastvit_t8", "executorch int8", batch=8, size=256, threads=2),
]


def capture(show: Callable[[Console], None], width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    with console.capture() as captured:
        show(console)
    return captured.get().splitlines()


def list_cells(lines: list[str]) -> list[list[str]]:
    """The words of each line of a table; rulers are as long as the table is wide."""
    return [line.split() for line in lines if line.strip("─ ") and not line.startswith(PROSE)]


@pytest.mark.parametrize("rows", [ONE_POINT, POINTS], ids=["one point", "points"])
def test_no_line_of_a_table_is_broken_at_80_columns(rows: list[Row]) -> None:
    def show(console: Console) -> None:
        print_report([row for row in rows if not row["reasons"]], console)

    # Prose is broken, and its lines begin anywhere: only those are compared that are a table's at any width.
    wide, narrow = capture(show, 500), capture(show, 80)
    assert max(len(line) for line in narrow) <= 80
    told = list_cells(wide)
    assert [cells for cells in list_cells(narrow) if cells in told] == told
    # So it would be seen if lines were broken.
    tight = list_cells(capture(show, 60))
    assert [cells for cells in tight if cells in told] != told


def test_where_columns_fit_they_stand_apart() -> None:
    def show(console: Console) -> None:
        print_report(POINTS, console)

    for width, gap in ((80, " "), (120, "  ")):
        assert any(line.startswith(f"mobilenetv2_140{gap}executorch int8{gap}8 of 224 px{gap}24.4")
                   for line in capture(show, width))  # fmt: skip


def test_an_unsteady_network_has_no_figures_and_says_why() -> None:
    rows = [network("rapidnet_ti", "onnx int8", steady=False), network("rapidnet_s", "onnx int8")]
    said = capture(lambda console: print_report(rows, console), 120)
    own = [line.split() for line in said if line.startswith("rapidnet_ti ")]
    assert own == [
        ["rapidnet_ti", "onnx", "int8", "unstable"],
        ["rapidnet_ti", "onnx", "int8", "11.3", "-2.1", "15557", "114.3", "1838"],
        ["rapidnet_ti", "onnx", "int8", "24.4", "26.08", "10.582"],
    ]
    assert "unstable rapidnet_ti, onnx int8, 1 of 224 px: the runs spread by 7.4%" in said
    assert "one call, threads: 1 (1 of 224 px)" in said


def test_bundles_are_called_by_their_network() -> None:
    row = network("rapidnet_ti", "onnx int8")
    bundle, other = row | {"name": "rapidnet_ti-onnx-int8"}, row | {"name": "rapidnet_ti-onnx-fp32"}
    said = capture(lambda console: print_report([bundle, other], console), 120)
    assert sum(line.startswith("rapidnet_ti ") for line in said) == 4
    # What a name and its column do not agree in stays.
    assert sum(line.startswith("rapidnet_ti-onnx-fp32 ") for line in said) == 4


@pytest.mark.parametrize(
    ("place", "size", "said"),
    [
        ("onnx int8", 224, "rival"), ("eager fp32", 224, "rival@eager"), ("openvino int8", 224, "rival@openvino"),
        ("openvino fp32", 224, "rival@openvino fp32"), ("onnx int8", 256, "rival (256 px)"),
    ],
)  # fmt: skip
def test_a_rival_is_called_by_what_differs(place: str, size: int, said: str) -> None:
    assert describe_rival(ratio("rival", "onnx int8", place, size=size)) == said
    assert describe_rival(ratio(f"rival-{place.replace(' ', '-')}", "onnx int8", place, size=size)) == said


def test_tables_of_phones_and_operators_fit_too() -> None:
    phones = [
        network(name, "executorch int8") | {"latency_ms_mean": 107.5, "told": "runs"}
        for name in ("rapidnet_ti", "mobilenetv2_140")
    ]
    kind = {"kind": "Convolution (NHWC, QC8) IGEMM", "unit": "CPU, outside the delegate", "calls": 112, "share": 0.9}
    profile = phones[0] | {"estimated": False, "ms": 12.5, "fastest_ms": 12.0, "kinds": [kind | {"ms": 11.2}]}
    profile["units"] = [{"unit": "CPU, XNNPACK", "share": 1.0, "calls": 112}]
    said = capture(lambda console: print_tables(MEASURED, phones, console, ", threads: 1"), 80)
    assert sum(line.startswith("mobilenetv2_140") for line in said) == len(MEASURED)
    assert all(line.split()[:3] == ["mobilenetv2_140", "executorch", "int8"] for line in said if "mobilenetv2" in line)
    operators = capture(lambda console: print_profile(profile, console), 80)
    assert any("IGEMM" in line and line.split()[-3:] == ["112", "11.200", "90.0"] for line in operators)
    assert max(len(line) for line in said + operators) <= 80
