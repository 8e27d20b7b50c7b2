"""Which way do the answers of predict go: to the terminal as they come, or into Parquet?"""

from collections.abc import Sequence
from dataclasses import replace

from rapidnet.bulk.folders import is_url, open_folder
from rapidnet.bulk.pictures import find_pictures
from rapidnet.bulk.worker import fetch_picture
from rapidnet.config import PredictConfig
from rapidnet.errors import UserError
from rapidnet.evaluation import predict
from rapidnet.evaluation.read_ahead import Name
from rapidnet.images import EncodedImage


def run_predict(config: PredictConfig) -> int:
    """The predict command."""
    if config.output:
        from rapidnet.bulk.run import run_bulk

        return run_bulk(config)
    if is_url(config.images) and not config.images.startswith("file://"):
        return print_stored(config)
    return predict.run_predict(replace(config, images=config.images.removeprefix("file://")))


def print_stored(config: PredictConfig) -> int:
    """Answer the pictures of a URL as those of a folder are answered, one at a time fetched into memory."""
    if config.save:
        raise UserError(f"--save draws on pictures of this machine, and {config.images} is not on it; leave it out")
    pictures = find_pictures(config.images)
    folder = open_folder(pictures.root)

    def find(where: str) -> Sequence[Name]:
        names = [f"{pictures.shown}{found.name}" for found in pictures.list()]
        if not names:
            raise UserError(f"there is no image at '{where}'; check the address")
        return names

    def fetch(name: Name) -> EncodedImage:
        return EncodedImage(str(name), fetch_picture(folder, str(name).removeprefix(pictures.shown), -1, str(name)))

    return predict.run_predict(config, find, fetch)
