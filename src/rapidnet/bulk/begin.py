"""Is this folder new, or were its answers begun by the same command? Then they are gone on with."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rapidnet.bulk.folders import Folder
from rapidnet.bulk.job import MANIFEST, Job, parse_job, refuse_other
from rapidnet.bulk.listing import LISTING, hash_listing, write_listing
from rapidnet.bulk.network import Facts
from rapidnet.bulk.pictures import Listed
from rapidnet.config import PredictConfig
from rapidnet.errors import UserError
from rapidnet.evaluation import predict, predict_dense
from rapidnet.evaluation.dense_predictor import DENSE_TASKS

PART_IMAGES, PART_IMAGES_DENSE = 1000, 100


def ask(config: PredictConfig, facts: Facts) -> Job:
    """What the command asks for; of its pictures only where they are."""
    predict.check_options(config, facts.task)
    is_dense = facts.task in DENSE_TASKS
    heeded, _ = predict.CARRIES[facts.task]
    options: dict[str, Any] = {
        "part_images": config.part_images or (PART_IMAGES_DENSE if is_dense else PART_IMAGES),
        "batch_size": config.batch_size or (predict_dense.BATCH if is_dense else predict.BATCH),
        "threads": config.threads,
    }
    if heeded:
        options[heeded] = getattr(config, heeded)
    images = config.images.removeprefix("file://").rstrip("/") or "/"
    return Job(facts.identity, facts.task, facts.classes, options, images, 0, "", "")


def begin(output: Folder, asked: Job, found: Iterable[Listed], as_listed: bool) -> Job:
    """The job whose answers are in a folder, or a new one.

    found: the pictures; read through once, unless the job in the folder is to be finished as it was listed.

    Raises:
        UserError: answers of another job, of other pictures, or files of another kind; no picture.
    """
    manifest = read_optional(output, MANIFEST)
    if manifest is None:
        if as_listed:
            raise UserError(f"there is nothing begun at --output {output.url}; leave --as-listed out")
        return begin_anew(output, asked, found)
    job = parse_job(manifest, f"{output.url}/{MANIFEST}")
    refuse_other(job, asked, output.url)
    listing = read_optional(output, LISTING) or b""
    if hashlib.sha256(listing).hexdigest() != job.listing_file:
        raise UserError(
            f"{output.url}/{LISTING} is not the one that these answers were begun with; choose another --output"
        )
    if not as_listed:
        summary = hash_listing(found)
        if summary.hexdigest() != job.listing:
            raise UserError(
                f"the pictures at {job.images} are not those that --output {output.url} was begun with "
                f"({summary.pictures} now, {job.pictures} then); finish those with --as-listed or give another --output"
            )
    return job


def begin_anew(output: Folder, asked: Job, found: Iterable[Listed]) -> Job:
    """List the pictures and write down what is asked; the manifest comes last, so that with it all else is there."""
    # A listing without a manifest is left by a start that was stopped; it is written again.
    strangers = [entry.name for entry in output.scan("") if entry.name != LISTING and not entry.name.startswith(".")]
    if strangers:
        raise UserError(
            f"--output {output.url} holds {min(strangers)} and no {MANIFEST}, so it is of something else; "
            "choose a new or empty folder"
        )
    data, summary = write_listing(found, asked.part_images)
    if not summary.pictures:
        raise UserError(f"there is no image at '{asked.images}'; give an image, a folder of images or a quoted pattern")
    job = replace(
        asked, pictures=summary.pictures, listing=summary.hexdigest(), listing_file=hashlib.sha256(data).hexdigest()
    )
    output.write(LISTING, data)
    output.write(MANIFEST, job.dump())
    return job


def read_optional(folder: Folder, name: str) -> bytes | None:
    try:
        return folder.read(name)
    except FileNotFoundError:
        return None
