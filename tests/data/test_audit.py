"""Does the audit find each kind of trouble, miss none, cry wolf at nothing, and leave the folder alone?"""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from conftest import write_images
from data.test_shard_writer import shard
from rapidnet.config import AuditConfig
from rapidnet.data.audit import audit, run_audit
from rapidnet.data.builtin import BuiltinScenes
from rapidnet.data.sources import open_splits
from rapidnet.errors import UserError
from test_images import bomb


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """Twelve different pictures in two classes and two splits."""
    scenes = BuiltinScenes("val", 12, 96)
    for index in range(12):
        folder = tmp_path / "clean" / ("val" if index % 3 == 2 else "train") / ("cat" if index % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scenes.scene(index).image).save(folder / f"{index}.png")
    return tmp_path / "clean"


def look(root: Path, **options: int) -> dict:
    return audit(AuditConfig(str(root), **options), Console(quiet=True))


def state(root: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(root.rglob("*")) if p.is_file()}


def test_a_clean_folder_has_no_findings(clean: Path) -> None:
    report = look(clean)
    assert report["images"] == 12
    assert report["classes"] == {"cat": {"train": 4, "val": 2}, "dog": {"train": 4, "val": 2}}
    assert report["sizes"]["median"] == (96, 96)
    findings = ("problems", "exact_duplicates", "near_duplicates", "quarantine")
    assert not any(report[name] for name in findings)


def test_every_kind_of_trouble_is_found(clean: Path, tmp_path: Path) -> None:
    train, val = clean / "train" / "cat", clean / "val" / "cat"
    original = train / "1.png"
    whole = (train / "3.png").read_bytes()
    (train / "cut.png").write_bytes(whole[: len(whole) // 2])
    (train / "text.jpg").write_text("hello")
    (train / "notes.txt").write_text("hello")
    bomb(train / "bomb.png", 20_000, 10_000)
    shutil.copy(train / "7.png", train / "really_a_png.jpg")
    frames = [Image.new("RGB", (8, 8), color) for color in ((255, 0, 0), (0, 255, 0))]
    frames[0].save(train / "moving.gif", save_all=True, append_images=frames[1:])
    shutil.copy(original, val / "leak.png")
    with Image.open(train / "9.png") as image:
        image.save(val / "near.jpg", quality=80)
    before = state(clean)
    assert run_audit(AuditConfig(str(clean), output=str(tmp_path / "out"))) == 0
    assert state(clean) == before, "the folder is never changed"

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    names = {problem: sorted(Path(path).name for path in paths) for problem, paths in report["problems"].items()}
    assert names == {
        "truncated": ["cut.png"], "unreadable": ["text.jpg"], "not an image": ["notes.txt"], "oversized": ["bomb.png"],
        "wrongly named": ["really_a_png.jpg"], "animated": ["moving.gif"],
    }  # fmt: skip
    groups = {tuple(sorted(Path(path).name for path in g["paths"])): g["across"] for g in report["exact_duplicates"]}
    assert groups == {("1.png", "leak.png"): ["splits"], ("7.png", "really_a_png.jpg"): []}
    near = [(sorted(Path(path).name for path in pair["paths"]), pair["across"]) for pair in report["near_duplicates"]]
    assert (["9.png", "near.jpg"], ["splits"]) in near
    assert len(near) == 1
    quarantine = {Path(line).name for line in (tmp_path / "out" / "quarantine.txt").read_text().splitlines()}
    assert quarantine == {"cut.png", "text.jpg", "bomb.png", "leak.png", "really_a_png.jpg"}


def test_distance_and_size_are_options(clean: Path) -> None:
    assert len(look(clean, near=64)["near_duplicates"]) == 66
    assert len(look(clean, max_pixels=96 * 96 - 1)["problems"]["oversized"]) == 12


def test_many_images_are_compared_in_blocks() -> None:
    from rapidnet.data.audit import Finding, find_near

    rng = np.random.default_rng(0)
    hashes = [int(value) for value in rng.integers(0, 2**63, 50)]
    hashes[40] = hashes[3] ^ 0b101
    findings = [Finding(str(i), "train", "a", (), (8, 8), str(i), value) for i, value in enumerate(hashes)]
    expected = [{"paths": ["3", "40"], "bits": 2, "across": []}]
    assert find_near(findings, 4, block=7) == find_near(findings, 4) == expected


def test_unusable_requests_are_refused(clean: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="inside the audited folder"):
        run_audit(AuditConfig(str(clean), output=str(clean / "report")))
    with pytest.raises(UserError, match="absent is not a folder"):
        look(tmp_path / "absent")
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no images"):
        look(tmp_path / "none")
    assert look(write_images(tmp_path / "one", {"only": 2}))["images"] == 2, "an audit looks at what cannot be trained"


def test_shards_are_looked_over_as_their_folder_is(clean: Path, tmp_path: Path) -> None:
    whole = (clean / "train" / "cat" / "3.png").read_bytes()
    (clean / "train" / "cat" / "cut.png").write_bytes(whole[: len(whole) // 2])
    shutil.copy(clean / "train" / "cat" / "1.png", clean / "val" / "cat" / "a_leak.png")
    shard(clean, tmp_path / "shards")
    folder, packed = look(clean), look(tmp_path / "shards")
    for name in ("images", "classes", "sizes"):
        assert packed[name] == folder[name]
    originals = {f"/{e['member']}": e["original"] for e in read_entries(tmp_path / "shards")}
    quarantine = [originals["/" + Path(path).name] for path in packed["quarantine"]]
    assert sorted(quarantine) == [Path(path).relative_to(clean).as_posix() for path in folder["quarantine"]]
    (tmp_path / "quarantine.txt").write_text("\n".join(packed["quarantine"]))
    train, val = open_splits(tmp_path / "shards", 0.1, 0, exclude=str(tmp_path / "quarantine.txt"))
    assert (train.left_out, val.left_out) == (1, 1)


def read_entries(shards: Path) -> list[dict]:
    index = json.loads((shards / "index.json").read_text())
    return [dict(zip(index["columns"], row, strict=True)) for record in index["shards"] for row in record["entries"]]
