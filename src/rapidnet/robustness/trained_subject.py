"""How is a trained run measured beside bundles? Folded, on a GPU where there is one."""

import numpy as np
import torch
from scipy.special import softmax

from rapidnet.config import Weights
from rapidnet.evaluation.classification import build_predict
from rapidnet.evaluation.measures import keep
from rapidnet.evaluation.subjects import VIEW, refuse_task
from rapidnet.evaluation.trained import load_trained
from rapidnet.models import reparameterize
from rapidnet.robustness.subjects import Subject
from rapidnet.runtimes.network import Array


def open_run(name: str, weights: Weights) -> Subject:
    """A run folder or checkpoint; raises UserError as `load_trained`, and for several labels an image."""
    trained = load_trained(name, weights)
    if trained.task != "classification":
        refuse_task(name, trained.task, "robustness")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = reparameterize(trained.model).to(device).to(memory_format=torch.channels_last)
    logits = build_predict(model, trained.preprocessing, activate=keep)

    def score(pixels: Array) -> Array:
        return logits(torch.from_numpy(np.ascontiguousarray(pixels))).cpu().numpy()

    def predict(pixels: Array) -> Array:
        return softmax(score(pixels), axis=1)

    facts = {
        "kind": "run", "model": trained.metadata["model"], "weights": trained.weights, "format": "eager",
        "precision": "fp32", "runtime": f"torch {torch.__version__}",
    }  # fmt: skip
    view = {key: getattr(trained.preprocessing, key) for key in VIEW}
    return Subject(name, trained.classes, view, trained.metadata["data"], facts, predict, score, trained)
