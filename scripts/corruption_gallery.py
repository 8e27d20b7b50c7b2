"""What do the corruptions look like? Writes docs/images/corruptions.png: every kind and severity of one photograph."""

import sys
from pathlib import Path

import skimage.data
from PIL import Image

from rapidnet.evaluation.pictures import save_figure
from rapidnet.robustness.drawing import draw_gallery

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    target = ROOT / "docs" / "images" / "corruptions.png"
    save_figure(draw_gallery(Image.fromarray(skimage.data.coffee()), size=112), target)
    # A page does not need more colours, and a repository keeps every version.
    with Image.open(target) as picture:
        small = picture.convert("RGB").resize((1280, round(1280 * picture.height / picture.width)))
    small.quantize(128).save(target, optimize=True)
    print(f"wrote {target.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
