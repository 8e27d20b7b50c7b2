"""Does this machine make the corruptions that are defined, to the last bit? Fingerprints of a picture all can draw."""

import hashlib
from collections.abc import Sequence

import numpy as np

from rapidnet.robustness.corruptions import SEVERITIES, Pixels, corrupt

FINGERPRINTS = {
    "gaussian_noise": "1116f61bda360cc3", "shot_noise": "ec7a93e7b877118b",
    "impulse_noise": "e77e1c92cf6bc3bd", "defocus_blur": "6254552571cfa02b",
    "glass_blur": "fc541f51fdb508bd", "motion_blur": "a0c3eaeb255476d5",
    "zoom_blur": "66c2b97f8e7d6a5c", "snow": "55f7b0a8f89dc9d4",
    "frost": "ba7c25c840f6c8c9", "fog": "f4130f299fd708f6",
    "brightness": "d21b9ee1a4d028d6", "contrast": "6fa2b026929d0d3c",
    "elastic_transform": "8340afde17c18791", "pixelate": "584d44d302898c5c",
    "jpeg_compression": "0efed21af94a2f7d", "low_light": "269955353e981fd0",
    "jpeg_generations": "60ab2e51ba33a39b", "aspect_ratio": "014bde9579df6d73",
    "low_resolution": "bc4b4084e6e56897", "rotation": "240e088511c0116a",
}  # fmt: skip
"""Of each kind, as defined by this version of the package."""


def draw_golden(size: int = 64) -> Pixels:
    """Slopes, edges, a disk and fine stripes, from integers alone: uint8 [3, size, size]."""
    y, x = np.mgrid[:size, :size]
    disk = (2 * y - size) ** 2 + (2 * x - size) ** 2 < size * size // 3
    planes = (y * 255 // (size - 1), np.where(disk, 220, x * 200 // (size - 1)), (x // 2 + y // 3) % 2 * 180 + 30)
    return np.stack(planes).astype(np.uint8)


def compute_fingerprint(kind: str) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of a kind's five pictures of `draw_golden`."""
    golden, digest = draw_golden(), hashlib.sha256()
    for severity in SEVERITIES:
        digest.update(corrupt(golden, kind, severity, index=7).tobytes())
    return digest.hexdigest()[:16]


def find_deviations(kinds: Sequence[str]) -> list[str]:
    """The kinds that come out otherwise here: a bug, or a JPEG library that rounds in another way."""
    return [kind for kind in kinds if compute_fingerprint(kind) != FINGERPRINTS[kind]]
