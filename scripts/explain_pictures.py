"""How do pictures of rapidnet explain become those of docs/explain.md?

python scripts/explain_pictures.py FOLDER [PREFIX]
"""

import sys
from pathlib import Path

from PIL import Image

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
WIDTH = 1280


def main() -> int:
    prefix = "_".join(["explain", *sys.argv[2:3]])
    for path in sorted(Path(sys.argv[1]).glob("*.png")):
        target = IMAGES / f"{prefix}_{path.name}"
        with Image.open(path) as picture:
            share = min(1.0, WIDTH / picture.width)
            small = picture.convert("RGB").resize((round(share * picture.width), round(share * picture.height)))
        # A page does not need more colours, and a repository keeps every version.
        small.quantize(256).save(target, optimize=True)
        print(f"wrote docs/images/{target.name}, {target.stat().st_size // 1000} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
