"""How does the page with its bundles become a folder that any static host can offer?

make page
python scripts/static_page.py exported/rapidnet_ti-onnx-fp32 exported/rapidnet_ti-onnx-int8 --output site
python -m http.server --directory site
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from rapidnet.errors import UserError
from rapidnet.runtimes.bundle import CARD, read_card
from rapidnet.serving.page import PAGE, describe_bundle


def write_site(bundles: list[Path], site: Path, page: Path = PAGE) -> None:
    """The page, bundles/NAME/ with what each card speaks of, and bundles/index.json, in a new or empty folder.

    Raises:
        UserError: the page is not built, a folder that is not empty, a bundle that is none or was changed.
    """
    if not (page / "index.html").is_file():
        raise UserError(f"{page} holds no page; build it with make page")
    if site.exists() and any(site.iterdir()):
        raise UserError(f"{site} is not empty; give a new folder")
    cards = [(bundle.name, bundle, read_card(bundle)) for bundle in bundles]
    shutil.copytree(page, site, dirs_exist_ok=True)
    for name, bundle, card in cards:
        for file in (CARD, *card["files"]):
            (site / "bundles" / name / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle / file, site / "bundles" / name / file)
    listing = {"bundles": [describe_bundle(name, card) for name, _, card in cards]}
    (site / "bundles").mkdir(exist_ok=True)
    (site / "bundles" / "index.json").write_text(json.dumps(listing, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    try:
        write_site(options.bundles, options.output)
    except UserError as error:
        print(f"rapidnet: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
