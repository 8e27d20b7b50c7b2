"""Does a classifier's training help a segmenter? CamVid from random weights and from a run, seed by seed.

    python scripts/camvid_study.py --data CAMVID --init runs/gelu --output runs/camvid \
        --results results/camvid.jsonl --figure docs/images/camvid.jpg

Each of the runs is `rapidnet train --config recipes/camvid.yaml`, of its length or of --epochs; those that have their
row already are not trained again. Rows are of the last epoch, so nothing was chosen on the validation pictures. The
comparison is appended last.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image, ImageDraw
from scipy import stats

from rapidnet.cli import main as rapidnet
from rapidnet.data.dense_truth import TruthRecords
from rapidnet.environment import append_row, describe_environment, read_rows
from rapidnet.evaluation.dense_images import open_dense_images
from rapidnet.evaluation.dense_pictures import STRIP, draw_classes, load_font
from rapidnet.evaluation.trained_dense import load_trained_dense
from rapidnet.evaluation.trained_dense_predictor import build_trained_dense_predictor

RECIPE = Path(__file__).parents[1] / "recipes" / "camvid.yaml"
KINDS = ("random", "pretrained")
WIDTH, GAP, PICTURES = 460, 6, 3


def find_rows(path: Path, epochs: int) -> dict[tuple[str, int], dict[str, Any]]:
    """(kind, seed) -> the row of its run of so many epochs, the last one."""
    rows = read_rows(path) if path.exists() else []
    trained = [row for row in rows if row["study"] == "train" and row["epochs"] == epochs]
    return {("pretrained" if row["config"]["init"] else "random", row["seed"]): row for row in trained}


def compare(rows: dict[tuple[str, int], dict[str, Any]], seeds: list[int]) -> dict[str, Any]:
    """Means over the seeds with t intervals, and the mean paired difference with its; a paired t test."""
    scores = {kind: np.array([rows[kind, seed]["miou"] for seed in seeds]) for kind in KINDS}
    columns = scores | {"difference": scores["pretrained"] - scores["random"]}
    epochs = rows[KINDS[0], seeds[0]]["epochs"]
    row: dict[str, Any] = {"study": "camvid comparison", "seeds": len(seeds), "epochs": epochs}
    for name, values in columns.items():
        half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
        row |= {name: float(values.mean()), f"{name}_interval": [values.mean() - half, values.mean() + half]}
    row["p"] = float(stats.ttest_rel(scores["pretrained"], scores["random"]).pvalue)
    row["images"] = rows[KINDS[0], seeds[0]]["images"]
    return row


def draw(folders: dict[str, Path]) -> Image.Image:
    """Validation pictures spread over the set: the truth, and what each network says."""
    predictors = {kind: load_trained_dense(folder / "last.safetensors", "raw") for kind, folder in folders.items()}
    one = next(iter(predictors.values()))
    source, _ = open_dense_images(str(one.path), "semantic", one.classes, one.metadata["data"])
    assert isinstance(source, TruthRecords)
    sheet_rows = []
    for index in np.linspace(0, len(source) - 1, PICTURES).round().astype(int).tolist():
        pixels, truth = source.read(index)
        drawn = {"truth": draw_classes(pixels, truth["semantic"], one.classes)}
        for kind, trained in predictors.items():
            predictor = build_trained_dense_predictor(trained, fold=True)
            answer = predictor.answer([predictor.prepare(pixels)], [truth["size"]])[0]
            drawn[kind] = draw_classes(pixels, answer["semantic"], one.classes)
        sheet_rows.append(drawn)
    small = [
        {name: picture.resize((WIDTH, round(WIDTH * picture.height / picture.width))) for name, picture in row.items()}
        for row in sheet_rows
    ]
    heights = [max(picture.height for picture in row.values()) + GAP for row in small]
    sheet = Image.new("RGB", ((WIDTH + GAP) * len(small[0]), 28 + sum(heights)), STRIP)
    pen, font, top = ImageDraw.Draw(sheet), load_font(17), 28
    for row, height in zip(small, heights, strict=True):
        for column, (name, picture) in enumerate(row.items()):
            pen.text((column * (WIDTH + GAP) + 6, 4), name, fill="white", font=font)
            sheet.paste(picture, (column * (WIDTH + GAP), top))
        top += height
    return sheet


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--init", required=True, help="a classifier's run")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=yaml.safe_load(RECIPE.read_text())["epochs"])
    options = parser.parse_args()
    for seed in options.seeds:
        for kind in KINDS:
            if (kind, seed) in find_rows(options.results, options.epochs):
                continue
            arguments = ["train", "--config", str(RECIPE), "--data", options.data, "--seed", str(seed), "--restart"]
            arguments += ["--epochs", str(options.epochs)]
            arguments += ["--output", str(options.output / f"{kind}_{seed}"), "--results", str(options.results)]
            arguments += ["--init", options.init] if kind == "pretrained" else []
            if code := rapidnet(arguments):
                return code
    if options.figure:
        first = options.seeds[0]
        draw({kind: options.output / f"{kind}_{first}" for kind in KINDS}).save(options.figure, quality=85)
    if len(options.seeds) < 2:
        return 0
    row = compare(find_rows(options.results, options.epochs), options.seeds)
    append_row(options.results, row | {"environment": describe_environment()})
    print(f"random {row['random']:.2f}, pretrained {row['pretrained']:.2f}, difference {row['difference']:+.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
