"""Are class masks read exactly, and is every mask that cannot be used named?"""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from dense_folders import HEIGHT, WIDTH, striped, write_mask, write_masks
from PIL import Image

from rapidnet.data.annotation_report import settle
from rapidnet.data.dense_records import DenseSplit
from rapidnet.data.dense_samples import RecordSource
from rapidnet.data.index_masks import BadMaskError, decode_mask, find_encoding, read_index_masks, read_mask
from rapidnet.errors import UserError

CLASSES = ["class 0", "class 1", "class 2"]


def read(root: Path, zero_is_ignored: bool = False, check_files: bool = True) -> DenseSplit:
    return read_index_masks(
        root / "images" / "train", root / "masks" / "train", CLASSES, "train", zero_is_ignored, check_files
    )


@pytest.mark.parametrize("mode", ["L", "P"])
def test_masks(tmp_path: Path, mode: str) -> None:
    write_masks(tmp_path)
    write_mask(tmp_path / "masks" / "train" / "1.png", striped(), mode)
    split = read(tmp_path)
    assert split.report.flaws == [] and split.report.counts == {"images": 3}
    image, targets = RecordSource(split, "semantic").load(1)
    assert image.shape == (3, HEIGHT, WIDTH)
    assert targets["semantic"].dtype == torch.uint8 and np.array_equal(targets["semantic"].numpy(), striped())


def test_zero_may_be_no_class(tmp_path: Path) -> None:
    write_masks(tmp_path, first=1)
    mask = striped(first=1)
    mask[0] = 0
    write_mask(tmp_path / "masks" / "train" / "0.png", mask)
    semantic = RecordSource(read(tmp_path, zero_is_ignored=True), "semantic").targets(0)["semantic"].numpy()
    expected = striped()
    expected[0] = 255
    assert np.array_equal(semantic, expected)


def test_masks_of_two_numbers(tmp_path: Path) -> None:
    mask = striped(1) == 0
    path = write_mask(tmp_path / "a.png", mask)
    with Image.open(path) as file:
        assert file.mode == "1"
    assert np.array_equal(read_mask(path), mask.astype(np.uint8))


def write_16_bit(path: Path) -> None:
    Image.fromarray(np.zeros((HEIGHT, WIDTH), dtype=np.uint16)).save(path)


BROKEN = {
    "missing": (lambda path: path.unlink(), "missing mask", "no .*1.png"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:60]), "unusable mask", "truncated|unreadable"),
    "colours": (lambda path: Image.new("RGB", (WIDTH, HEIGHT)).save(path), "unusable mask", "RGB"),
    "16 bits": (write_16_bit, "unusable mask", "I;16"),
    "jpeg": (lambda path: Image.new("L", (WIDTH, HEIGHT)).save(path, format="JPEG"), "unusable mask", "JPEG"),
    "size": (lambda path: write_mask(path, striped()[:-1]), "mask size", "60x39"),
    "turned": (lambda path: write_mask(path, striped().T.copy()), "mask size", "40x60"),
    "class": (lambda path: write_mask(path, striped(4)), "mask class", "holds 3; classes are 0 to 2"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named_and_left_out(tmp_path: Path, case: str) -> None:
    damage, kind, words = BROKEN[case]
    write_masks(tmp_path)
    damage(tmp_path / "masks" / "train" / "1.png")
    split = read(tmp_path)
    assert [flaw.kind for flaw in split.report.flaws] == [kind]
    assert [Path(record.path).name for record in split.records] == ["0.png", "2.png"]
    assert len(settle([split.report], "skip").paths) == 1
    with pytest.raises(UserError, match=f"1x {kind}.*({words})"):
        settle([split.report], "error")
    if case != "missing":
        unchecked = read(tmp_path, check_files=False)
        assert len(unchecked.records) == 3
        with pytest.raises(BadMaskError, match=words):
            RecordSource(unchecked, "semantic").load(1)


def test_images_and_masks_that_go_with_nothing(tmp_path: Path) -> None:
    write_masks(tmp_path)
    write_mask(tmp_path / "masks" / "train" / "lost.png", striped())
    (tmp_path / "images" / "train" / "0.png").write_bytes(b"no image")
    split = read(tmp_path)
    assert [flaw.kind for flaw in split.report.flaws] == ["unusable image", "mask without image"]
    with pytest.raises(UserError, match="no image below"):
        read(tmp_path / "nowhere")
    with pytest.raises(UserError, match="256 classes"):
        read_index_masks(tmp_path, tmp_path, [str(index) for index in range(256)], "train")


def test_how_a_folder_counts_is_found_out(tmp_path: Path) -> None:
    original, prepared, silent = tmp_path / "original", tmp_path / "prepared", tmp_path / "silent"
    full = np.tile(np.arange(1, 4, dtype=np.uint8), (6, 4))
    write_mask(original / "0.png", full)
    write_mask(prepared / "0.png", striped(2))
    write_mask(silent / "0.png", np.ones((4, 4), dtype=np.uint8))
    assert find_encoding(original, 3) and find_encoding(silent, 3) and not find_encoding(prepared, 3)
    write_mask(prepared / "1.png", full)
    with pytest.raises(UserError, match="written alike"):
        find_encoding(prepared, 3)


def test_a_mask_is_decoded_within_bounds(tmp_path: Path) -> None:
    """A large mask of the wrong size is refused unread; one of the right size takes a few bytes a pixel."""
    side = 3000
    path = write_mask(tmp_path / "a.png", np.zeros((side, side), dtype=np.uint8))
    with pytest.raises(BadMaskError, match="oversized"):
        read_mask(path, max_pixels=side * side - 1)
    peaks = []
    for size in ((side, side), (side, side - 1)):
        tracemalloc.start()
        try:
            if size == (side, side):
                decode_mask(path, *size, 3, False)
            else:
                with pytest.raises(BadMaskError, match="its image 2999x3000"):
                    decode_mask(path, *size, 3, False)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[0] < 6 * side**2 and peaks[1] < side**2 / 2
