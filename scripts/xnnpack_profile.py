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
from rapidnet.runtimes.executorch import import_quietly

RUNS = 50


def trace(program: Path, image: torch.Tensor, folder: Path) -> tuple[Counter[str], Counter[str]]:
    """(milliseconds, calls) by kind of operator."""
    with import_quietly(program):
        from executorch.devtools import Inspector
        from executorch.extension.pybindings import portable_lib
    portable_lib._unsafe_reset_threadpool(1)
    module = portable_lib._load_for_executorch(str(program), enable_etdump=True)
    for _ in range(RUNS):
        module.forward([image])
    events = folder / "events.etdp"
    module.write_etdump_result_to_file(str(events), str(folder / "unused.bin"))
    times, calls = Counter[str](), Counter[str]()
    for block in Inspector(etdump_path=str(events)).event_blocks:
        for event in block.events:
            if event.is_delegated_op and event.perf_data is not None:
                kind = event.name.rsplit(" #", 1)[0]
                times[kind] += event.perf_data.p50
                calls[kind] += 1
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
                times, calls = trace(made.artifact, torch.from_numpy(images[:1]), Path(folder))
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
