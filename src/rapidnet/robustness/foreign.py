"""Does a network notice pictures of classes it was not trained on, and how good is it on some of its classes elsewhere?

Sources: Hendrycks & Gimpel, ICLR 2017 (MSP: the largest probability); Liu et al., NeurIPS 2020 (energy: the log of the
summed exponentials of the logits); Hendrycks et al., ICCV and CVPR 2021 (class subsets of ImageNet-R and -A).
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from rapidnet.data.bad_samples import BadSample, BadSampleLog
from rapidnet.data.folder import read_split
from rapidnet.errors import UserError
from rapidnet.evaluation.predict import find_images
from rapidnet.evaluation.read_ahead import read_batches
from rapidnet.images import BadImageError, load_image
from rapidnet.robustness.cells import describe_share
from rapidnet.robustness.class_names import match_classes
from rapidnet.robustness.labelled import Pictures
from rapidnet.robustness.subjects import Subject
from rapidnet.runtimes.network import Array

Score = Callable[[Array], Array]
"""uint8 [B, 3, S, S] -> a number [B], larger for pictures of known classes."""


def build_scores(subject: Subject) -> dict[str, Score]:
    """MSP, and energy where the subject gives logits."""
    scores: dict[str, Score] = {"msp": lambda pixels: subject.predict(pixels).max(1)}
    logits = subject.score
    if logits is not None:
        scores["energy"] = lambda pixels: logsumexp(logits(pixels), axis=1)
    return scores


def measure_foreign(
    subjects: Sequence[Subject], pictures: Pictures, folders: Sequence[str], batch_size: int, log: BadSampleLog
) -> list[list[dict[str, Any]]]:
    """For each subject a line for each folder: images, and for each score auroc with its interval and fpr95.

    Raises:
        UserError: a folder without images.
    """
    scores = [build_scores(subject) for subject in subjects]
    own = collect(scores, (batch.pixels for batch in pictures.read(subjects[0], batch_size, log)))
    results: list[list[dict[str, Any]]] = [[] for _ in subjects]
    for folder in folders:
        theirs = collect(scores, read_files(folder, subjects[0], batch_size, log))
        for result, known, foreign in zip(results, own, theirs, strict=True):
            line: dict[str, Any] = {"folder": folder, "images": len(foreign["msp"])}
            result.append(line | {name: compare_scores(known[name], foreign[name]) for name in known})
    return results


def collect(scores: Sequence[dict[str, Score]], batches: Iterator[Array]) -> list[dict[str, Array]]:
    """Every subject's scores of all pictures."""
    found: list[dict[str, list[Array]]] = [{name: [] for name in own} for own in scores]
    for pixels in batches:
        for own, lists in zip(scores, found, strict=True):
            for name, score in own.items():
                lists[name].append(score(pixels))
    return [{name: np.concatenate(parts) for name, parts in lists.items()} for lists in found]


def compare_scores(known: Array, foreign: Array, level: float = 0.95) -> dict[str, Any]:
    """auroc in percent with its interval; fpr95: the foreign pictures taken for known ones where 95 % of the known are.

    Source of the interval: Hanley & McNeil, Radiology 1982.
    """
    truth = np.repeat([1, 0], [len(known), len(foreign)])
    area = float(roc_auc_score(truth, np.concatenate([known, foreign])))
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    m, n = len(known), len(foreign)
    variance = (area * (1 - area) + (m - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (m * n)
    reach = float(norm.ppf((1 + level) / 2)) * max(variance, 0) ** 0.5
    threshold = np.quantile(known, 0.05, method="lower")
    return {
        "auroc": 100 * area,
        "auroc_interval": [100 * max(0.0, area - reach), 100 * min(1.0, area + reach)],
        "fpr95": 100 * float((foreign >= threshold).mean()),
    }


def read_files(folder: str, subject: Subject, batch_size: int, log: BadSampleLog) -> Iterator[Array]:
    """The images at any depth below a folder; raises UserError if there is none that can be read."""
    if not Path(folder).is_dir():
        raise UserError(f"--ood {folder} is not a folder; give a folder of images of other classes")
    paths = find_images(folder)

    def read(index: int) -> Array | BadSample:
        try:
            return subject.prepare(load_image(paths[index]))
        except BadImageError as error:
            return BadSample(str(paths[index]), str(error))

    empty = True
    for items in read_batches(read, len(paths), batch_size):
        log.record([item for item in items if isinstance(item, BadSample)])
        good = [item for item in items if not isinstance(item, BadSample)]
        if good:
            empty = False
            yield np.stack(good)
    if empty:
        raise UserError(f"not one image of --ood {folder} could be read; give a folder of images")


def measure_subsets(
    subjects: Sequence[Subject], folders: Sequence[str], batch_size: int, log: BadSampleLog
) -> list[list[dict[str, Any]]]:
    """For each subject a line for each folder: images, classes, top1 over the folder's classes and top1_all over all.

    Raises:
        UserError: no folder, or one with a class that the subject does not know, by name.
    """
    results: list[list[dict[str, Any]]] = [[] for _ in subjects]
    for folder in folders:
        root = Path(folder)
        if not root.is_dir():
            raise UserError(f"--subset {folder} is not a folder; give a folder of images sorted into one per class")
        split = match_classes(read_split(root, "subset"), subjects[0].classes, root)
        among = np.unique([sample.labels[0] for sample in split.samples])
        hits: list[list[tuple[Array, Array]]] = [[] for _ in subjects]
        for batch in Pictures(split, list(range(len(split.samples)))).read(subjects[0], batch_size, log):
            for subject, own in zip(subjects, hits, strict=True):
                answers = subject.predict(batch.pixels)
                within = among[answers[:, among].argmax(1)]
                own.append((within == batch.labels, answers.argmax(1) == batch.labels))
        for result, own in zip(results, hits, strict=True):
            if not own:
                raise UserError(f"not one image of --subset {folder} could be read; give a folder of images")
            right, right_of_all = (np.concatenate(part) for part in zip(*own, strict=True))
            line = {"folder": folder, "images": len(right), "classes": len(among)}
            result.append(line | describe_share(right) | {"top1_all": 100 * float(right_of_all.mean())})
    return results
