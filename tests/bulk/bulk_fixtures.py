"""What most tests of bulk start from."""

from pathlib import Path

import pytest
from bulk_commands import BAD
from small_bundles import write_bundle, write_pictures


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "small")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "photos", 25, bad=BAD)
