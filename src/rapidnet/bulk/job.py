"""What was asked for, so that answers begun for one thing are never finished as another?"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from rapidnet.errors import UserError

MANIFEST = "_manifest.json"
MANIFEST_VERSION = 1


@dataclass(frozen=True)
class Job:
    """All that decides what the answers are.

    network: kind (bundle or run), name, sha256 of what it is made of; task, classes: what it answers.
    options: those of the command that change an answer or its place. images: where the pictures are, as asked.
    pictures, listing: how many there are and the SHA-256 of their names and sizes; listing_file: of the file of them.
    """

    network: dict[str, Any]
    task: str
    classes: list[str]
    options: dict[str, Any]
    images: str
    pictures: int
    listing: str
    listing_file: str

    @property
    def part_images(self) -> int:
        return int(self.options["part_images"])

    @property
    def parts(self) -> int:
        return -(-self.pictures // self.part_images)

    @property
    def id(self) -> str:
        """SHA-256, in hexadecimal, which every part of the answers carries."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def count(self, part: int) -> int:
        """The pictures of a part: as many as of every other, but for the last one."""
        return min(self.part_images, self.pictures - part * self.part_images)

    def dump(self) -> bytes:
        return (json.dumps({"manifest_version": MANIFEST_VERSION} | asdict(self), indent=2) + "\n").encode()


def parse_job(data: bytes, where: str) -> Job:
    """Raises UserError for a manifest that is none, or of another version."""
    try:
        content = json.loads(data)
        version = content.pop("manifest_version")
        job = Job(**content)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{where} is damaged; empty the folder or choose another --output") from None
    if version != MANIFEST_VERSION:
        raise UserError(
            f"{where} has version {version}, this rapidnet reads {MANIFEST_VERSION}; choose another --output"
        )
    return job


def refuse_other(found: Job, asked: Job, output: str) -> None:
    """Raise UserError, naming the first difference, unless both ask for the same; the pictures are not compared."""
    for key in ("network", "task", "classes", "options", "images"):
        old, new = getattr(found, key), getattr(asked, key)
        if old == new:
            continue
        if key == "options":
            key = next(name for name in {**old, **new} if old.get(name) != new.get(name))
            old, new, key = old.get(key), new.get(key), f"--{key.replace('_', '-')}"
        elif key == "network":
            old, new = (f"{one['name']} ({one['sha256'][:12]})" for one in (old, new))
        raise UserError(
            f"--output {output} was begun with {key} {old}, this command has {new}; "
            "choose another --output or ask for the same"
        )
