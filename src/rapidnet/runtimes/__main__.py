"""What is in these pictures? One JSON line for each; needs numpy, Pillow and the bundle's runtime, nothing else.

python -m rapidnet.runtimes BUNDLE IMAGE [IMAGE ...]
"""

import json
import sys

from rapidnet.errors import UserError
from rapidnet.runtimes.bundle import open_bundle


def main(arguments: list[str]) -> int:
    """Print {"image", "predictions": [{"class", "probability"}]} for each picture, five classes, best first."""
    if len(arguments) < 2:
        print("usage: python -m rapidnet.runtimes BUNDLE IMAGE [IMAGE ...]", file=sys.stderr)
        return 2
    try:
        bundle = open_bundle(arguments[0])
        for path in arguments[1:]:
            probabilities = bundle.predict(bundle.prepare(path)[None])[0]
            best = probabilities.argsort(kind="stable")[::-1][:5]
            answers = [{"class": bundle.classes[i], "probability": round(float(probabilities[i]), 6)} for i in best]
            print(json.dumps({"image": path, "predictions": answers}))
    except UserError as error:
        print(f"rapidnet: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
