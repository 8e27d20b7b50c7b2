"""Are answers of one job never gone on with as another, and is what cannot be done said in one sentence?"""

import sys
from pathlib import Path
from typing import Any

import pytest
from bulk_commands import bulk, read_folder, read_rows
from small_bundles import write_bundle, write_pictures

from rapidnet import cli
from rapidnet.config import PredictConfig
from rapidnet.errors import UserError

pytest_plugins = ("bulk_fixtures",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 4}, r"was begun with --top 5, this command has 4"),
        ({"part_images": 11}, r"begun with --part-images 10, this command has 11"),
        ({"batch_size": 5}, r"begun with --batch-size 4"),
        ({"threads": 2}, r"begun with --threads 1"),
    ],
)
def test_answers_of_other_options_are_not_gone_on_with(
    options: dict[str, int], message: str, classifier: Path, pictures: Path, tmp_path: Path
) -> None:
    bulk(classifier, pictures, tmp_path / "out")
    before = read_folder(tmp_path / "out")
    with pytest.raises(UserError, match=message):
        bulk(classifier, pictures, tmp_path / "out", **options)
    assert read_folder(tmp_path / "out") == before


def test_answers_of_another_network_or_other_pictures_are_not_gone_on_with(classifier: Path, tmp_path: Path) -> None:
    photos, output = write_pictures(tmp_path / "photos", 12), tmp_path / "out"
    bulk(classifier, photos, output)
    before = read_folder(output)
    other = write_bundle(tmp_path / "small", seed=1)
    with pytest.raises(UserError, match=r"begun with network small \(\w{12}\), this command has small \(\w{12}\)"):
        bulk(other, photos, output)
    with pytest.raises(UserError, match="begun with images"):
        bulk(classifier, photos / "a", output)
    (photos / "a" / "0000.jpg").rename(photos / "a" / "new.jpg")
    with pytest.raises(UserError, match=r"not those .* begun with \(12 now, 12 then\); finish those with --as-listed"):
        bulk(classifier, photos, output)
    assert read_folder(output) == before
    (output / "part-000000.parquet").unlink()
    bulk(classifier, photos, output, as_listed=True)
    errors = {row["image"]: row["error"] for row in read_rows(output)}
    assert errors.pop(f"{photos.as_posix()}/a/0000.jpg") == "missing: there is no such file"
    assert set(errors.values()) == {None} and len(errors) == 11
    (output / "_listing.parquet").write_bytes(before["_listing.parquet"] + b" ")
    with pytest.raises(UserError, match="not the one that these answers were begun with"):
        bulk(classifier, photos, output, as_listed=True)
    (output / "_manifest.json").write_text("{}")
    with pytest.raises(UserError, match=r"_manifest\.json is damaged"):
        bulk(classifier, photos, output)


def test_an_output_of_something_else_is_left_alone(classifier: Path, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds thesis\.txt and no _manifest\.json"):
        bulk(classifier, pictures, tmp_path)
    with pytest.raises(UserError, match="nothing begun"):
        bulk(classifier, pictures, tmp_path / "new", as_listed=True)
    with pytest.raises(UserError, match="wildcard"):
        bulk(classifier, pictures, tmp_path / "*")
    with pytest.raises(UserError, match="no image at"):
        bulk(classifier, tmp_path, tmp_path / "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["thesis.txt"]


def test_unreadable_pictures_stop_it_where_that_is_asked(classifier: Path, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"00(03|17)\.jpg is unreadable"):
        bulk(classifier, pictures, tmp_path / "out", bad_samples="error", part_images=5)
    made = {path.name for path in (tmp_path / "out").glob("part-*")}
    assert 0 < len(made) < 5 and not (tmp_path / "out" / "_finished.json").exists()
    # The policy decides when to stop, not what is answered: the other one goes on from there.
    bulk(classifier, pictures, tmp_path / "out", part_images=5)
    assert len(read_rows(tmp_path / "out")) == 25
    bad = write_pictures(tmp_path / "bad", 2, bad=(0, 1))
    with pytest.raises(UserError, match="none of the 2 images"):
        bulk(classifier, bad, tmp_path / "all bad")
    assert [row["error"] is None for row in read_rows(tmp_path / "all bad")] == [False, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "ray"}, "--engine ray writes its answers as Parquet; say where"),
        ({"part_images": 10}, "--part-images has no effect without --output FOLDER"),
        ({"threads": 2}, "--threads has no effect without --output FOLDER"),
        ({"as_listed": True}, "--as-listed has no effect without --output FOLDER"),
        ({"output": "o", "ray_workers": 2}, "--ray-workers has no effect without --engine ray"),
        ({"output": "o", "ray_address": "auto"}, "--ray-address has no effect without --engine ray"),
        ({"output": "o", "save": "s"}, "--save has no effect beside --output"),
        ({"output": "o", "threads": 0}, "threads is 0"),
        ({"output": "o", "part_images": -1}, "part_images is -1"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PredictConfig("run", "images", **options)


def test_what_is_not_installed_is_named(
    classifier: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    command = ["predict", str(classifier), str(pictures), "--output", str(tmp_path / "out")]
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main([*command, "--engine", "ray"]) == 2
    assert "--engine ray needs Ray; install it with pip install 'rapidnet[ray]'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert cli.main(command) == 2
    assert "pip install 'rapidnet[ray]'" in capsys.readouterr().err
