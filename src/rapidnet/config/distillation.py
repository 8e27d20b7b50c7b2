"""What can be asked of a teacher? The string under a field is its help text."""

from dataclasses import dataclass, fields
from typing import Literal

from rapidnet.config.choices import check


@dataclass
class DistillationConfig:
    """What the network learns from a teacher besides the labels."""

    teacher: str = ""
    """A timm network, a run folder, an .onnx file, a folder of rapidnet teacher cache, or a package of weights."""
    checkpoint: str = ""
    """Weights for a timm teacher; empty takes timm's pretrained ones."""
    type: Literal["hard", "soft"] = "hard"
    """Learn the class the teacher names, or its probabilities."""
    alpha: float = 0.5
    """Share of the teacher in the loss; the labels have the rest."""
    temperature: float = 1.0
    """Softens both sides of a soft distillation."""
    classes: str = ""
    """A text file with the teacher's class names, one per line; ImageNet's are known."""
    image_size: int = 0
    """Height and width of the teacher's input, in pixels; 0 takes the teacher's own."""
    mean: tuple[float, float, float] | None = None
    """Mean per channel that an .onnx teacher expects, in [0, 1]; null takes ImageNet's."""
    std: tuple[float, float, float] | None = None
    """Standard deviation per channel that an .onnx teacher expects; null takes ImageNet's."""

    def __post_init__(self) -> None:
        check(0 < self.alpha <= 1, f"distillation.alpha is {self.alpha}; it must lie in (0, 1]")
        check(self.temperature > 0, f"distillation.temperature is {self.temperature}; it must be above 0")
        soft = self.type == "soft" or self.temperature == 1
        check(soft, "distillation.temperature has no effect on hard distillation; leave it out or take type soft")
        for spec in fields(self):
            unset = bool(self.teacher) or getattr(self, spec.name) == spec.default
            check(unset, f"distillation.{spec.name} has no effect without distillation.teacher; name a teacher")
        if self.teacher and not self.teacher.endswith(".onnx"):
            for name in ("mean", "std"):
                unset = getattr(self, name) is None
                check(unset, f"distillation.{name} has no effect on teacher {self.teacher}, which brings its own")
