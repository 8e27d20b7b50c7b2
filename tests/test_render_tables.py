"""Is a figure that was edited by hand noticed, in every table of every page?"""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import render_tables

PAGE = next(page for page in render_tables.PAGES if page.name == "benchmark.md")
TABLE = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end -->)", re.S)
DIGIT = re.compile(r"(?<=\| )\d(?=[\d.])")


@pytest.fixture(scope="module")
def rendered() -> str:
    """The page as the rows say it."""
    return render_tables.render(PAGE.read_text())


def edit(page: str, name: str) -> str:
    """The page with one digit of one table changed: the first digit of its last figure."""
    found = next(match for match in TABLE.finditer(page) if match[2] == name)
    place = found.start(3) + [match.start() for match in DIGIT.finditer(found[3])][-1]
    return page[:place] + str((int(page[place]) + 1) % 10) + page[place + 1 :]


def test_rendered_twice_it_stays(rendered: str) -> None:
    assert render_tables.render(rendered) == rendered
    assert {"aims", "bench_family", "bench", "speed_attempts"} <= {match[2] for match in TABLE.finditer(rendered)}


@pytest.mark.parametrize("name", ["aims", "bench", "bench_ratios", "speed_attempts", "activations", "bench_scaling"])
def test_a_figure_edited_by_hand_is_noticed(
    name: str, rendered: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    page = tmp_path / "benchmark.md"
    monkeypatch.setattr(render_tables, "PAGES", [page])
    monkeypatch.setattr(sys, "argv", ["render_tables.py", "--check"])
    page.write_text(rendered)
    assert render_tables.main() == 0
    page.write_text(edit(rendered, name))
    assert render_tables.main() == 1 and page.read_text() != rendered
    assert "benchmark.md does not say what results/ says" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["render_tables.py"])
    assert render_tables.main() == 0 and page.read_text() == rendered


def test_every_table_of_a_page_is_known() -> None:
    names = {match[2] for page in render_tables.PAGES for match in TABLE.finditer(page.read_text())}
    assert names == set(render_tables.TABLES)
