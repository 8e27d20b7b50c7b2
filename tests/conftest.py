import os

# Nothing in the tests may reach for the network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("MPLBACKEND", "Agg")

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

import rapidnet  # noqa: F401
from rapidnet.config import OptimizerConfig, TrainConfig
from rapidnet.training.train import run_train

sys.path.insert(0, str(Path(__file__).parent))


def randomize(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give BatchNorm statistics, layer scales and biases values at which folding them wrongly shows; eval mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            noise = torch.rand(tensor.shape, generator=generator, dtype=torch.float64).to(tensor)
            if name.endswith("running_var") or (".bn.weight" in name):
                tensor.copy_(0.5 + noise)
            elif name.endswith(("running_mean", "bias")):
                tensor.copy_(noise - 0.5)
            elif "gamma" in name:
                tensor.copy_(0.1 + 0.3 * noise)
            else:
                fan_in = tensor[0].numel() if tensor.ndim > 1 else 1
                tensor.copy_((noise - 0.5) * 3 / fan_in**0.5)
    return model.eval()


def write_images(folder: Path, classes: dict[str, int], size: int = 40, seed: int = 0) -> Path:
    """<folder>/<class>/<n>.png: pictures whose mean colour tells the class, with noise."""
    rng = np.random.default_rng(seed)
    for label, (name, count) in enumerate(classes.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            base = np.zeros((size, size, 3))
            base[..., label % 3] = 150
            pixels = (base + rng.integers(0, 90, base.shape)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{n}.png")
    return folder


def hash_folder(root: Path) -> str:
    """Of every file's name, rights, time of change and bytes."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        facts = path.stat()
        digest.update(f"{path.relative_to(root)} {facts.st_mode} {facts.st_mtime_ns}".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with train/ and val/ of three classes."""
    root = tmp_path / "photos"
    write_images(root / "train", {"blue sky": 8, "green": 8, "red": 8})
    write_images(root / "val", {"blue sky": 3, "green": 3, "red": 3}, seed=1)
    return root


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    # Workers of the tests share the processors: threads that wait for each other by spinning took three times the time.
    # Other processes that train have one too; the order of summation, and so the last bit, depends on their number.
    torch.set_num_threads(1)


TINY = {"channels": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "mldc_depths": [0, 0, 0, 1], "head_width": 16}
"""model_options of a network small enough to train in a test."""


def tiny_config(data: Path | str, output: Path, **options: object) -> TrainConfig:
    """A run of seconds: float32, so that equal runs are equal to the last bit."""
    settings: dict = {
        "data": str(data), "output": str(output), "model_options": dict(TINY), "epochs": 2, "image_size": 32,
        "batch_size": 4, "precision": "32-true", "ema_decay": 0.9,
        "optimizer": OptimizerConfig(lr=1e-2, warmup_epochs=0.5),
    }  # fmt: skip
    return TrainConfig(**(settings | options))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on three easy classes; read it, do not write into it."""
    root = tmp_path_factory.mktemp("finished")
    write_images(root / "photos" / "train", {"blue sky": 8, "green": 8, "red": 8})
    write_images(root / "photos" / "val", {"blue sky": 3, "green": 3, "red": 3}, seed=1)
    assert run_train(tiny_config(root / "photos", root / "run", epochs=4), Console(quiet=True)) == 0
    return root / "run"


@pytest.fixture(scope="session")
def exported(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run as a bundle for ONNX Runtime; read it, do not write into it."""
    from rapidnet.config import ExportConfig
    from rapidnet.export.export import run_export

    output = tmp_path_factory.mktemp("exported")
    assert run_export(ExportConfig(str(finished_run), output=str(output))) == 0
    return output / "rapidnet_ti-onnx-fp32"


def export_untrained(name: str, folder: Path, runtime: str = "onnx", precision: str = "fp32", size: int = 64) -> Path:
    """A bundle of a network without training, as rapidnet bench makes it."""
    from rapidnet.config import ExportConfig
    from rapidnet.export.export import export_format
    from rapidnet.export.untrained import prepare_untrained

    config = ExportConfig(name, runtime, precision, str(folder), image_size=size)  # type: ignore[arg-type]
    path, card = export_format(runtime, prepare_untrained(name, config))
    assert card["certificate"]["verdict"] == "passed", card["certificate"]
    return path


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RapidNet-Ti at 64 px, without training, for ONNX Runtime."""
    return export_untrained("rapidnet_ti", tmp_path_factory.mktemp("untrained"))


# What takes longest goes first, so that no worker is left with it at the end; the rest follows as it comes.
FIRST = ("benchmark/test_bench", "training/test_distributed", "export/test_depthwise", "test_cli", "export/test_onnx")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.removeprefix("tests/").startswith(FIRST))
