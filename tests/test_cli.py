"""Does the command answer at once, pass on what it is given, and end every user's error in one sentence and exit 2?"""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from conftest import TINY, write_images
from rapidnet import cli
from rapidnet.config import TrainConfig
from rapidnet.errors import UserError

RAPIDNET = [sys.executable, "-m", "rapidnet"]


def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RAPIDNET, *map(str, arguments)], capture_output=True, text=True, timeout=200, **options)  # type: ignore[call-overload]


def refused(capsys: pytest.CaptureFixture, *arguments: str | Path) -> str:
    """The one sentence of a refused command."""
    assert cli.main([str(argument) for argument in arguments]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("rapidnet: ")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize("command", ["", *cli.COMMANDS])
def test_help_is_there_without_torch(command: str) -> None:
    code = (
        "import sys; sys.argv = ['rapidnet']; from rapidnet.cli import main\n"
        f"try: main({[*command.split(), '--help']!r})\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'timm', 'numpy', 'PIL'} & set(sys.modules), 'help needs no such imports'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: rapidnet" in done.stdout
    listed = ["--help"] if command else list(cli.COMMANDS)
    assert all(word in done.stdout for word in listed)


def test_help_names_every_option_with_its_text() -> None:
    text = run("train", "--help").stdout
    for option in ("--image-size", "--optimizer.lr", "--augment.mixup", "--bad-samples", "--config"):
        assert option in text, option
    assert "Passes over the training images" in text


def test_version_and_module() -> None:
    assert run("--version").stdout.startswith("rapidnet 0.")
    assert "data audit" in run().stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("trian",), ("no command 'trian'", "'train'")),
        (("data",), ("data audit", "data builtin")),
        (("train", "--epoch", "3"), ("'--epoch'", "'epochs'")),
        (("train", "--data", "x", "--epochs", "many"), ("epochs", "many")),
        (("train", "--data", "x", "--epochs", "0"), ("epochs is 0", "at least 1")),
        (("train", "--data", "x", "--augment.mixup", "a"), ("augment.mixup",)),
        (("train",), ("nothing to train on",)),
        (("train", "--config", "absent.yaml"), ("absent.yaml",)),
        (("train", "--data", "absent"), ("absent is not a folder",)),
        (("train", "--data", "builtin", "--model", "rapidnet_xl"), ("rapidnet_xl", "rapidnet_")),
        (("train", "--data", "x", "--bad-samples", "ignore"), ("bad_samples", "skip")),
        (("evaluate", "absent"), ("absent",)),
        (("evaluate",), ("run",)),
        (("predict", "absent", "x.jpg"), ("absent",)),
        (("info", "rapidnet_t"), ("rapidnet_t",)),
        (("data", "audit", "absent"), ("absent",)),
    ],
)
def test_one_sentence_and_exit_code_2(
    arguments: tuple[str, ...], words: tuple[str, ...], capsys: pytest.CaptureFixture, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    message = refused(capsys, *arguments)
    assert all(word in message for word in words), message
    assert not any(path.is_file() for path in tmp_path.rglob("*")), "a refused command leaves no file"


def test_a_recipes_wrong_key_is_named_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("epochs: 3\noptimizer:\n  lr: 0.1\n  wieght_decay: 0.1\n")
    message = refused(capsys, "train", "--config", recipe, "--data", "x")
    assert "wieght_decay" in message
    assert "weight_decay" in message
    assert f"{recipe}" in message
    assert "line 4" in message


def test_options_overrule_the_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("epochs: 3\nimage_size: 64\noptimizer: {lr: 0.1, options: {nesterov: true}}\n")
    config = cli.parse_settings("train", ["--config", str(recipe), "--data", "x", "--epochs", "5", "--holdout"])
    assert isinstance(config, TrainConfig)
    assert (config.epochs, config.image_size, config.optimizer.lr, config.holdout) == (5, 64, 0.1, True)
    assert config.optimizer.options == {"nesterov": True}


def test_every_recipe_parses() -> None:
    recipes = sorted((Path(__file__).parents[1] / "recipes").glob("*.yaml"))
    assert recipes
    for recipe in recipes:
        config = cli.parse_settings("train", ["--config", str(recipe), "--data", "x"])
        written = yaml.safe_load(recipe.read_text())
        assert config.epochs == written["epochs"]
        header = recipe.read_text().splitlines()[:12]
        for word in ("command:", "hardware:", "time:", "expected:"):
            assert any(line.startswith("#") and word in line for line in header), f"{recipe.name} lacks {word}"


def test_bad_folders_through_the_command(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    common = ("train", "--output", tmp_path / "run", "--image-size", 32, "--data")
    (tmp_path / "no_classes").mkdir()
    assert "no class folders" in refused(capsys, *common, tmp_path / "no_classes")
    assert "only one class" in refused(capsys, *common, write_images(tmp_path / "one", {"a": 3}, 8))
    (write_images(tmp_path / "empty", {"a": 3, "b": 3}, 8) / "void").mkdir()
    assert "void" in refused(capsys, *common, tmp_path / "empty")
    write_images(photos / "val", {"purple": 1}, 8)
    assert "purple" in refused(capsys, *common, photos)


def test_bad_image_through_the_command(photos: Path, tmp_path: Path) -> None:
    (photos / "train" / "red" / "3.png").write_bytes(b"no image")
    done = run("train", "--data", photos, "--output", tmp_path / "run", "--image-size", 32, "--batch-size", 4,
               "--model-options", json.dumps(TINY), "--epochs", 2)  # fmt: skip
    assert done.returncode == 2
    assert "red/3.png" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_pickle_that_would_run_code_through_the_command(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    for command in (("evaluate", tmp_path / "evil.pth"), ("info", tmp_path / "evil.pth")):
        assert "would run code" in refused(capsys, *command)
    message = refused(capsys, "train", "--data", photos, "--init", tmp_path / "evil.pth", "--output", tmp_path / "run")
    assert "would run code" in message
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_refusing_disk_is_one_sentence_wherever_it_happens(
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refuse(config: object) -> int:
        raise OSError(code, os.strerror(code), "runs/x/metrics.jsonl")

    monkeypatch.setattr(cli, "load_function", lambda target: refuse)
    message = refused(capsys, "info", "rapidnet_ti")
    assert "runs/x/metrics.jsonl" in message
    assert os.strerror(code) in message
    monkeypatch.setattr(cli, "DISK_ERRORS", {})
    with pytest.raises(OSError, match=r"metrics\.jsonl"):
        cli.main(["info", "rapidnet_ti"])


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(UserError):
        cli.main(["--debug", "evaluate", "absent"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to another process")
def test_ctrl_c_exits_130_and_the_run_goes_on(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    command = [*RAPIDNET, "train", "--data", str(photos), "--output", str(output), "--image-size", "32", "--batch-size",
               "4", "--model-options", json.dumps(TINY), "--epochs", "400", "--evaluate-every", "400"]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.time() + 120
    while not (output / "metrics.jsonl").exists() and time.time() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=100)
    assert process.returncode == 130, shown
    assert "--resume" in shown
    assert (output / "last.safetensors").is_file()
    settings = yaml.safe_load((output / "config.yaml").read_text())
    done = len((output / "metrics.jsonl").read_text().splitlines())
    (output / "config.yaml").write_text(yaml.safe_dump(settings | {"epochs": done + 2}))
    again = run("train", "--resume", output)
    assert again.returncode == 0, again.stderr
    assert len((output / "metrics.jsonl").read_text().splitlines()) == done + 2


def test_a_closed_pipe_is_no_error() -> None:
    done = subprocess.run(
        f"{' '.join(RAPIDNET)} train --help | head -1", shell=True, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
