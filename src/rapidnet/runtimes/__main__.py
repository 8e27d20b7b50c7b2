"""What is in these pictures? One JSON line for each; needs numpy, Pillow and the bundle's runtime, nothing else.

python -m rapidnet.runtimes BUNDLE IMAGE [IMAGE ...]
"""

import json
import sys
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.runtimes.bundle import open_bundle
from rapidnet.runtimes.pictures import Answer


def main(arguments: list[str]) -> int:
    """Print {"image", "predictions": [{"class", "probability"}]} for each picture, five classes, best first.

    Of a detector {"image", "objects"}, of a segmenter {"image", "shares"}; see `describe`.
    """
    if len(arguments) < 2:
        print("usage: python -m rapidnet.runtimes BUNDLE IMAGE [IMAGE ...]", file=sys.stderr)
        return 2
    try:
        bundle = open_bundle(arguments[0])
        for path in arguments[1:]:
            if "output" not in bundle.card:
                print(json.dumps({"image": path, **describe(bundle.answer(path), bundle.classes)}))
                continue
            probabilities = bundle.predict(bundle.prepare(path)[None])[0]
            best = probabilities.argsort(kind="stable")[::-1][:5]
            answers = [{"class": bundle.classes[i], "probability": round(float(probabilities[i]), 6)} for i in best]
            print(json.dumps({"image": path, "predictions": answers}))
    except UserError as error:
        print(f"rapidnet: {error}", file=sys.stderr)
        return 2
    return 0


def describe(answer: Answer, classes: list[str]) -> dict[str, Any]:
    """objects: class, score and box (left, top, right, bottom) of each; or shares of the pixels, 0 to 1, by class."""
    if "semantic" in answer:
        counts = np.bincount(answer["semantic"].reshape(-1), minlength=len(classes)) / answer["semantic"].size
        return {"shares": {name: round(float(share), 6) for name, share in zip(classes, counts, strict=True) if share}}
    rows = zip(answer["labels"], answer["scores"], answer["boxes"], strict=True)
    return {
        "objects": [
            {"class": classes[label], "score": round(float(score), 6), "box": [round(float(edge), 2) for edge in box]}
            for label, score, box in rows
        ]
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
