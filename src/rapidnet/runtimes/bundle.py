"""How is an exported bundle opened: its card read, its files held against their hashes, its network run?"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rapidnet.errors import UserError
from rapidnet.images import Source, load_image, prepare_image
from rapidnet.runtimes.formats import FORMATS
from rapidnet.runtimes.network import Array, Network
from rapidnet.runtimes.pictures import ANSWERS, Answer, Picture, place_picture

CARD = "card.json"
CARD_VERSION = 1


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files are the ones its card speaks of, with its network open."""

    path: Path
    card: dict[str, Any]
    network: Network

    @property
    def classes(self) -> list[str]:
        return list(self.card["classes"])

    @property
    def task(self) -> str:
        return str(self.card["task"])

    @property
    def output_names(self) -> list[str]:
        """In the artifact's order."""
        return [output["name"] for output in self.card.get("outputs") or [self.card["output"]]]

    def answer(self, picture: Picture) -> Answer:
        """What a detector or segmenter finds in a picture, in its own pixels.

        Raises:
            UserError: a classifier's bundle, or one of features alone; BadImageError: a file that cannot be read.
        """
        kind = self.card.get("answers", {}).get("kind", "")
        if kind not in ANSWERS:
            raise UserError(f"{self.path} answers with {', '.join(self.output_names)}, not with objects; use run")
        placed = place_picture(picture, self.card["preprocessing"])
        return ANSWERS[kind](self.run(placed.pixels[None]), placed, self.card)

    def prepare(self, image: Source) -> Array:
        """The file of a photograph -> uint8 [3, S, S], resized and cropped as the network was validated."""
        contract = self.card["preprocessing"]
        return prepare_image(load_image(image), contract["image_size"], contract["crop_pct"], contract["interpolation"])

    def run(self, pixels: Array) -> dict[str, Array]:
        """uint8 RGB [B, 3, H, W], any B -> the outputs by name, such as probabilities [B, num_classes].

        An artifact that wants normalised images gets them; one made for a fixed batch gets its portions.
        """
        inputs = pixels
        if self.network.dtype == "float32":
            mean, std = (np.array(self.card["preprocessing"][key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
            inputs = ((pixels / 255 - mean) / std).astype(np.float32)
        most = self.card["input"]["max_batch"]
        step = self.network.batch or most
        portions = []
        for start in range(0, len(inputs), step):
            portion = inputs[start : start + step]
            missing = max(0, self.network.batch - len(portion))
            if missing:
                portion = np.concatenate([portion, np.repeat(portion[-1:], missing, 0)])
            outputs = self.network.run(np.ascontiguousarray(portion))
            portions.append({name: value[: len(value) - missing] for name, value in outputs.items()})
        return {name: np.concatenate([portion[name] for portion in portions]) for name in portions[0]}

    def predict(self, pixels: Array) -> Array:
        """uint8 RGB [B, 3, S, S] -> probabilities float32 [B, num_classes]."""
        values = self.run(pixels)[self.card["output"]["name"]].astype(np.float32)
        if self.card["output"]["name"] != "logits":
            return values
        if self.card["task"] == "multilabel":
            return 1 / (1 + np.exp(-values))
        powers = np.exp(values - values.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)


def is_bundle(path: str | Path) -> bool:
    return (Path(path) / CARD).is_file()


def read_card(path: str | Path) -> dict[str, Any]:
    """The card of a bundle folder, after holding it and every file against their hashes.

    Raises:
        UserError: no bundle, a card of another version, a file that is missing or not the one the card speaks of.
    """
    path = Path(path)
    if not is_bundle(path):
        raise UserError(f"{path} is not a bundle: it holds no {CARD}; give a folder that rapidnet export wrote")
    try:
        card: dict[str, Any] = json.loads((path / CARD).read_text(encoding="utf-8"))
        version = card["card_version"]
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path / CARD} is damaged ({error}); export the network again") from error
    if version != CARD_VERSION:
        raise UserError(f"{path / CARD} has version {version}, this rapidnet reads {CARD_VERSION}; export it again")
    if compute_card_hash(card) != card.get("card_sha256"):
        raise UserError(
            f"{path / CARD} was changed after it was written: its card_sha256 does not match; export it again"
        )
    for name, expected in card["files"].items():
        found = compute_file_hash(path / name) if (path / name).is_file() else "missing"
        if found != expected:
            raise UserError(
                f"{path / name} is not the file that was certified: its SHA-256 is {found}, "
                f"the card says {expected}; take the bundle anew from where it was exported"
            )
    return card


def open_bundle(path: str | Path, threads: int = 0, arithmetic: str = "", unit: str = "") -> Bundle:
    """Open a bundle in its own runtime; `threads` of 0 leaves the number to it, the rest see `Format.open`.

    Raises:
        UserError: as `read_card`; or the runtime is not installed.
    """
    card = read_card(path)
    artifact = Path(path) / card["artifact"]
    return Bundle(Path(path), card, FORMATS[card["format"]].open(artifact, threads, arithmetic, unit))


def compute_card_hash(card: dict[str, Any]) -> str:
    """SHA-256, in hexadecimal, of the card without its own hash."""
    rest = {key: value for key, value in card.items() if key != "card_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def compute_file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
