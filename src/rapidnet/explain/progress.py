"""How does the command tell how far it is, whom it speaks of, and what it wrote?"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import ascii_uppercase

from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rapidnet.config import ExplainConfig
from rapidnet.evaluation.pictures import save_figure
from rapidnet.explain.subjects import Subject


def save(figure: Figure, config: ExplainConfig, name: str, console: Console) -> None:
    """Into the output folder."""
    path = Path(config.output) / name
    save_figure(figure, path)
    console.print(f"wrote {path}", highlight=False, markup=False, soft_wrap=True)


def name_subjects(subjects: Sequence[Subject]) -> list[str]:
    """Short titles: the letter, where there are several, and the end of the path."""
    several = len(subjects) > 1
    short = shorten([subject.name for subject in subjects])
    return [f"{letter}: {name}" if several else name for letter, name in zip(ascii_uppercase, short, strict=False)]


def shorten(paths: Sequence[str]) -> list[str]:
    """As many last parts of each path as tell it from the others: study/baseline/seed_0 may be baseline/seed_0."""
    names = []
    for path in paths:
        parts = Path(path).parts or (path,)
        others = [Path(other).parts for other in paths if other != path]
        enough = (n for n in range(1, len(parts)) if all(other[-n:] != parts[-n:] for other in others))
        names.append("/".join(parts[-next(enough, len(parts)) :]))
    return names


@contextmanager
def follow(what: str, total: int, console: Console) -> Iterator[Callable[[int], None]]:
    """A bar, and what moves it on."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
