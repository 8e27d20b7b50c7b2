"""How is a trained run opened to be explained, and what is its network with fresh weights?"""

import torch
from torch import nn

from rapidnet.config import Weights
from rapidnet.evaluation.subjects import refuse_task
from rapidnet.evaluation.trained import Trained, load_trained
from rapidnet.evaluation.trained_predictor import build_trained_predictor
from rapidnet.explain.subjects import Subject
from rapidnet.models import create_model


def open_run(name: str, weights: Weights) -> Subject:
    """A run folder or checkpoint; raises UserError as `load_trained`, and for several labels an image."""
    trained = load_trained(name, weights)
    if trained.task != "classification":
        refuse_task(name, trained.task, "explain")
    trained.model.to("cuda" if torch.cuda.is_available() else "cpu")
    facts = {
        "kind": "run", "model": trained.metadata["model"], "model_options": trained.metadata["model_options"],
        "weights": trained.weights, "format": "eager", "precision": "fp32", "runtime": f"torch {torch.__version__}",
    }  # fmt: skip
    predictor = build_trained_predictor(trained)
    return Subject(name, predictor, trained.preprocessing.to_dict(), trained.metadata["data"], facts, trained)


def build_untrained(trained: Trained, seed: int) -> nn.Module:
    """The network as its training started it, in eval mode, on the same device; the global generator is left alone."""
    options = trained.metadata["model_options"] | {"num_classes": len(trained.classes)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = create_model(trained.metadata["model"], **options)
    return model.to(next(trained.model.parameters()).device).eval()
