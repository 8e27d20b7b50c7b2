"""Where does XNNPACK's time go, operator by operator?

    python scripts/xnnpack_profile.py --run RUN --data IMAGES --results results/int8.jsonl

RapidNet-Ti in fp32 and int8, one image, one thread, as ExecuTorch's own event trace tells it: with its 7x7 depthwise
convolutions whole, and in pieces as `rapidnet export` writes them. Medians over runs, summed by kind of operator.
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import torch
from int8_activation import add_network_arguments, build, read_images
from rich.console import Console
from rich.table import Table

from rapidnet.environment import append_row, describe_environment
from rapidnet.export.conversion import Conversion
from rapidnet.export.converters import adapt, convert
from rapidnet.runtimes.network import Array
from rapidnet.runtimes.operator_time import OUTSIDE
from rapidnet.runtimes.profiles import profile_executorch

RUNS = 50


def trace(program: Path, images: Array) -> tuple[Counter[str], Counter[str]]:
    """(milliseconds, calls) by kind of operator within the delegate."""
    times, calls = Counter[str](), Counter[str]()
    for operator in profile_executorch(program, images, threads=1, runs=RUNS, arithmetic=""):
        if operator.unit != OUTSIDE:
            times[operator.kind] += operator.ms
            calls[operator.kind] += 1
    return times, calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_network_arguments(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    images = read_images(args)
    captured = build(args, "gelu")
    environment = describe_environment()
    for precision in ("fp32", "int8"):
        whole = Conversion(captured, precision, images if precision == "int8" else None)  # type: ignore[arg-type]
        for form, conversion in (("whole", whole), ("pieces", adapt("executorch", whole))):
            with tempfile.TemporaryDirectory() as folder:
                made = convert("executorch", conversion, Path(folder))
                times, calls = trace(made.artifact, images[:1])
            row = {"study": "xnnpack_profile", "precision": precision, "depthwise_7x7": form, "runs": RUNS}
            row |= {"image_size": args.image_size, "trained": bool(args.run), "threads": 1}
            operators = [
                {"operator": kind, "calls": calls[kind], "ms": round(ms, 4)} for kind, ms in times.most_common()
            ]
            row |= {"ms": round(times.total(), 4), "operators": operators}
            append_row(args.results, row | environment)
            table = Table("operator", "calls", "ms", title=f"{precision}, 7x7 {form}: {times.total():.2f} ms")
            for operator in operators:
                table.add_row(*map(str, operator.values()))
            Console().print(table)


if __name__ == "__main__":
    main()
