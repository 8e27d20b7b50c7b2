"""Are classifiers that see other pixels or know other classes kept from being compared, and bundles' facts complete?"""

from pathlib import Path

import pytest

from rapidnet.errors import UserError
from rapidnet.evaluation.subjects import check_alike, open_exported

CLASSES, VIEW = ["cat", "dog"], {"image_size": 32, "crop_pct": 0.9, "interpolation": "bicubic", "mean": [0.5] * 3}


@pytest.mark.parametrize("change", [{"image_size": 48}, {"crop_pct": 1.0}, {"interpolation": "bilinear"}])
def test_other_pixels_are_refused(change: dict) -> None:
    check_alike([("a", CLASSES, VIEW), ("b", CLASSES, VIEW | {"mean": [0.4] * 3})])
    ((key, value),) = change.items()
    with pytest.raises(
        UserError, match=f"b has {key} {value} and a {VIEW[key]}, so that they would see different pixels"
    ):
        check_alike([("a", CLASSES, VIEW), ("b", CLASSES, VIEW | change)])


def test_other_classes_are_refused() -> None:
    with pytest.raises(UserError, match="c has other classes than a"):
        check_alike([("a", CLASSES, VIEW), ("b", CLASSES, VIEW), ("c", CLASSES[::-1], VIEW)])


def test_a_bundle_and_a_run_are_told_apart(finished_run: Path, exported: Path) -> None:
    assert open_exported(str(finished_run), "explain") is None
    found = open_exported(str(exported), "explain")
    assert found is not None
    bundle, facts, _ = found
    assert bundle.classes and (facts["kind"], facts["format"]) == ("bundle", bundle.card["format"])
