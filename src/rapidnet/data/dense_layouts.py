"""Which files of a folder say what its pictures show, and where are the pictures?"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rapidnet.errors import UserError

SPLITS = {"train": ("train", "training"), "val": ("val", "validation", "valid")}
"""How folders of each purpose are called."""
LAYOUTS = (
    "annotations/*train*.json with pictures (COCO), data.yaml or classes.txt with images/ and labels/ (YOLO boxes), "
    "or classes.json, classes.txt or objectInfo150.txt with images/ and masks/ or annotations/ (class masks)"
)


def find_coco_files(root: Path) -> dict[str, Path]:
    """Purpose -> COCO file: annotations/*train*.json or train/_annotations.coco.json, and so for val.

    Raises:
        UserError: several files for one purpose.
    """
    files: dict[str, Path] = {}
    for name, words in SPLITS.items():
        found = {
            path
            for word in words
            for pattern in (f"annotations/*{word}*.json", f"{word}/_annotations.coco.json")
            for path in root.glob(pattern)
        }
        # COCO's own folder holds captions and keypoints of the same pictures, too.
        found = {path for path in found if path.name.startswith("instances")} or found
        if len(found) > 1:
            listed = ", ".join(sorted(str(path.relative_to(root)) for path in found))
            raise UserError(f"{root} has several annotation files for {name}: {listed}; leave one there")
        if found:
            files[name] = found.pop()
    return files


def find_yolo_list(root: Path) -> Path | None:
    """The file that names the classes of YOLO boxes."""
    for name in ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names"):
        if (root / name).is_file() and (name.endswith(("yaml", "yml")) or (root / "labels").is_dir()):
            return root / name
    return None


def find_class_list(root: Path) -> Path | None:
    """The file that names the classes of masks."""
    names = ("classes.json", "classes.txt", "objectInfo150.txt")
    return next((root / name for name in names if (root / name).is_file()), None)


def read_class_list(path: Path) -> list[str]:
    """Class names: a JSON list, lines of text, or ADE20K's table, of whose synonyms the first is taken.

    Raises:
        UserError: a file that holds something else, or a name twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if path.suffix == ".json":
            names = json.loads(text)
        elif path.name == "objectInfo150.txt":
            names = [line.split("\t")[-1].split(",")[0].strip() for line in lines[1:]]
        else:
            names = lines
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read as a list of classes ({error}); mend it") from None
    return check_names(names, path)


def check_names(names: Any, path: Path) -> list[str]:
    """A list of different names.

    Raises:
        UserError: anything else.
    """
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise UserError(f"{path} does not hold a list of class names; write one name for each class")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"{path} names the class '{twice}' twice; rename one")
    return names


@dataclass(frozen=True)
class YoloFolders:
    """The classes of YOLO boxes and the folders of pictures of one purpose."""

    classes: list[str]
    images: list[Path]


def find_yolo_folders(root: Path, listing: Path, name: str) -> YoloFolders | None:
    """What a list of classes, or a data.yaml, says of one purpose; None where it says nothing.

    Raises:
        UserError: a list that cannot be meant, or names a folder that is not there.
    """
    if listing.suffix not in (".yaml", ".yml"):
        folder = find_split(root / "images", name)
        return YoloFolders(read_class_list(listing), [folder]) if folder else None
    try:
        content = yaml.safe_load(listing.read_bytes())
        names = content["names"]
        # A list, or a mapping from number to name.
        classes = [names[number] for number in range(len(names))] if isinstance(names, dict) else names
        folders = content.get(name) if name == "train" else content.get("val", content.get("valid"))
        base = listing.parent / (content.get("path") or "")
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{listing} does not list 'names' and 'train' ({error!r}); mend it") from None
    if not folders:
        return None
    entries = folders if isinstance(folders, list) else [folders]
    return YoloFolders(check_names(classes, listing), [_resolve(base, listing, str(entry)) for entry in entries])


def find_split(folder: Path, name: str) -> Path | None:
    """The subfolder of a purpose; without any, all of it is for training."""
    for word in SPLITS[name]:
        if (folder / word).is_dir():
            return folder / word
    divided = any((folder / word).is_dir() for words in SPLITS.values() for word in words)
    return folder if name == "train" and not divided else None


def list_coco_folders(root: Path, annotations: Path) -> list[Path]:
    """Where the pictures of a COCO file may be: beside it, in train2017/ if it is instances_train2017.json, ..."""
    word = annotations.stem.removeprefix("instances_")
    return [annotations.parent, root / word, root / "images" / word, root / "images", root]


def _resolve(base: Path, listing: Path, entry: str) -> Path:
    # Some tools write '../train/images' and mean the folder beside the list.
    for folder in (base / entry, listing.parent / entry, listing.parent / entry.removeprefix("../")):
        if folder.is_dir():
            return folder
    raise UserError(f"{listing} names the folder '{entry}', which is not there; correct it")
