"""Which quickstart does the command run, and where?"""

from pathlib import Path

from rich.console import Console

from rapidnet.config import QuickstartConfig
from rapidnet.quickstart.classify import run_classify
from rapidnet.quickstart.dense import run_dense
from rapidnet.quickstart.report import prepare_folder


def run_quickstart(config: QuickstartConfig) -> int:
    """The quickstart command; prints the report's path."""
    console = Console()
    classify = config.task == "classify"
    folder = prepare_folder(
        Path(config.output or ("runs/quickstart" if classify else f"runs/quickstart_{config.task}"))
    )
    return run_classify(config, folder, console) if classify else run_dense(config, folder, console)
