"""Which pictures are drawn of the rows of measurements?"""

from pathlib import Path
from typing import Any

from rich.console import Console

from rapidnet.benchmark.latest import keep_latest
from rapidnet.benchmark.pareto import draw_pareto
from rapidnet.benchmark.peers import load_peers
from rapidnet.benchmark.scaling import draw_scaling
from rapidnet.config.bench import BenchConfig
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.evaluation.pictures import save_figure

Row = dict[str, Any]


def draw_results(config: BenchConfig, console: Console) -> int:
    """The pictures asked for, of the rows in `config.results`.

    Raises:
        UserError: no such file, or nothing in it that a picture could show.
    """
    if not Path(config.results).is_file():
        raise UserError(f"there are no rows at --results {config.results}; measure something into it first")
    return draw(config, read_rows(config.results), console)


def draw(config: BenchConfig, rows: list[Row], console: Console) -> int:
    """The pictures asked for; of several measurements of the same thing, the last steady one counts."""
    latest = keep_latest((row for row in rows if row["study"] in ("bench", "training_cost")), identify)
    networks = [row for row in latest if row["study"] == "bench"]
    if config.pareto:
        save_figure(draw_pareto(networks, load_peers()), config.pareto)
        console.print(f"wrote {config.pareto}", highlight=False)
    if config.scaling:
        save_figure(draw_scaling(latest), config.scaling)
        console.print(f"wrote {config.scaling}", highlight=False)
    return 0


def identify(row: Row) -> tuple[Any, ...]:
    """What makes two rows measurements of the same thing."""
    keys = ("study", "model", "name", "runtime", "precision", "threads", "batch", "image_size")
    return tuple(row.get(key) for key in keys)
