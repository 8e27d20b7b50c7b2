"""Where does a quickstart write, and what is its page made of?"""

import base64
import io
import shutil
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from rapidnet.environment import write_text_atomically
from rapidnet.errors import UserError

MARKER = "quickstart.json"
"""Says that a folder is a quickstart's own and may be replaced by the next one."""


def prepare_folder(folder: Path) -> Path:
    """An empty folder for this run; an earlier quickstart's is replaced, anything else is refused."""
    if folder.exists():
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARKER).is_file()):
            raise UserError(f"--output {folder} holds something that is not a quickstart; choose another folder")
        shutil.rmtree(folder)
    write_text_atomically(folder / MARKER, "{}\n")
    return folder


def write_report(path: Path, template: str, figures: dict[str, Figure | Image.Image], **values: Any) -> None:
    """One HTML file that needs nothing beside it; `figures` are embedded under their names."""
    environment = Environment(
        loader=PackageLoader("rapidnet.quickstart", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    embedded = {name: to_data_url(figure) for name, figure in figures.items()}
    write_text_atomically(path, environment.get_template(template).render(figures=embedded, **values))


def to_data_url(figure: Figure | Image.Image) -> str:
    """A picture as text that a page can hold."""
    buffer = io.BytesIO()
    if isinstance(figure, Image.Image):
        figure.save(buffer, format="png")
    else:
        figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
