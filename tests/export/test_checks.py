"""Do the checks pass what is right and fail what is wrong, by numbers known beforehand?"""

import math

import numpy as np
import pytest

from rapidnet.export.certificate import Certificate, Control
from rapidnet.export.checks import (
    TOLERANCES,
    Check,
    check_accuracy,
    check_answers,
    check_structure,
    check_tensors,
    compute_sqnr,
)
from rapidnet.export.golden import Golden, build_inputs
from rapidnet.runtimes.network import Structure

ALLOWED = frozenset({"Conv", "Add"})
EXPECTED = {"convolutions": 3, "dilations": [[2, 2], [3, 3]], "kept_float": 0}


def structure(**changes: object) -> Structure:
    values: dict = {
        "operators": {"Conv": 3, "Add": 1},
        "convolutions": {"float32": 3},
        "dilations": [[3, 3], [2, 2]],
        "weight_bytes": {"float32": 10},
    }
    return Structure(**(values | changes))


def test_sqnr_of_known_noise() -> None:
    reference = np.ones((4, 5))
    assert compute_sqnr(reference, reference * 1.01) == pytest.approx(40)
    assert compute_sqnr(reference, reference) == math.inf
    assert compute_sqnr(reference, reference * np.nan) == -math.inf
    # Float32 would lose what it is asked about.
    assert compute_sqnr(reference, reference * (1 + 1e-9)) == pytest.approx(180, abs=0.1)


def golden(reference: np.ndarray, wrong: np.ndarray) -> Golden:
    pixels, kinds = build_inputs(np.zeros((4, 3, 8, 8), dtype=np.uint8), random=2)
    return Golden(pixels, kinds, np.full(13, -1), reference, {"a wrong one": wrong})


def test_tensors_are_judged_by_kind() -> None:
    rng = np.random.default_rng(0)
    reference, wrong = rng.random((13, 5)), rng.random((13, 5))
    data = golden(reference, wrong)
    good = check_tensors(reference * (1 + 1e-7), data, reference, TOLERANCES["fp32"])
    assert all(check.passed for check in good) and len(good) == 7
    for row, kind in ((0, "real"), (5, "random"), (12, "extreme")):
        output = reference.copy()
        output[row] += 1e-3
        failed = {
            check.name.split()[0]
            for check in check_tensors(output, data, reference, TOLERANCES["fp32"])
            if not check.passed
        }
        assert failed == {kind}
        # An integer artifact's scales were found on photographs: noise is reported, not judged.
        output[row] += 10
        int8 = check_tensors(output, data, reference, TOLERANCES["int8"])
        assert all(check.passed for check in int8 if not check.name.startswith("real")) == (kind != "real")


def test_the_nearest_network_has_to_be_its_own() -> None:
    rng = np.random.default_rng(0)
    reference = rng.random((13, 5))
    wrong = reference + 0.02 * rng.standard_normal(reference.shape)
    data = golden(reference, wrong)
    (own,) = (c for c in check_tensors(reference + 0.001, data, reference, TOLERANCES["int8"]) if "nearer" in c.name)
    (other,) = (c for c in check_tensors(wrong + 0.001, data, reference, TOLERANCES["int8"]) if "nearer" in c.name)
    assert own.passed and not other.passed


def test_answers_and_accuracy() -> None:
    reference = np.eye(4)[[0, 1, 2, 3] * 50]
    output = reference.copy()
    assert check_answers(output, reference, TOLERANCES["fp32"], "here").passed
    output[0] = np.roll(output[0], 1)
    check = check_answers(output, reference, TOLERANCES["fp32"], "here")
    assert not check.passed and check.figure == 99.5 and "199 of 200" in check.name
    assert check_answers(output, reference, TOLERANCES["fp16"], "here").passed
    assert check_accuracy(78.4, 80.0, TOLERANCES["int8"], "top-1").passed
    assert not check_accuracy(78.3, 80.0, TOLERANCES["int8"], "top-1").passed
    assert not check_accuracy(0.0, 0.0, TOLERANCES["int8"], "top-1").passed


@pytest.mark.parametrize(
    ("precision", "changes", "expected", "failing"),
    [
        ("fp32", {}, {}, None),
        ("fp32", {"operators": {"Conv": 3, "Loop": 1}}, {}, "allow-list"),
        ("fp32", {"operators": {"Conv": 3, "SPACE_TO_BATCH_ND": 1}}, {}, "kept whole"),
        ("fp32", {"operators": {"Conv": 3, "SpaceToBatch": 1}}, {}, "kept whole"),
        ("fp32", {"dilations": [[2, 2], [2, 2]]}, {}, "dilations as"),
        ("fp32", {"dilations": []}, {}, "dilations as"),
        ("fp32", {"convolutions": {"float16": 3}}, {}, "float32 weights"),
        ("fp16", {}, {}, "float16 weights"),
        ("fp16", {"convolutions": {"float16": 3}}, {}, None),
        ("int8", {}, {}, "int8 weights"),
        ("int8", {"convolutions": {"int8": 2, "float32": 1}}, {}, "int8 weights"),
        ("int8", {"convolutions": {"int8": 2, "float32": 1}}, {"kept_float": 1}, None),
        ("int8", {"convolutions": {}}, {}, "int8 weights"),
        ("fp32", {"convolutions": {"float32": 2}}, {}, "as many convolutions"),
        ("fp32", {"convolutions": {"float32": 4}}, {}, "as many convolutions"),
        # Networks of others: operators of their own, and products with weights that no layer holds; nothing missing.
        ("fp32", {"operators": {"MatMul": 3}, "convolutions": {"float32": 4}}, {"foreign": True}, None),
        ("fp32", {"convolutions": {"float32": 2}}, {"foreign": True}, "as many convolutions"),
        ("fp32", {"operators": {"SpaceToBatch": 1}}, {"foreign": True}, "kept whole"),
    ],
)
def test_structure(precision: str, changes: dict, expected: dict, failing: str | None) -> None:
    checks = check_structure(structure(**changes), precision, ALLOWED, EXPECTED | expected)
    failed = [check.name for check in checks if not check.passed]
    assert not failed if failing is None else any(failing in name for name in failed)


def test_layers_in_float_mend_numbers_alone() -> None:
    fine, bad = Check("SQNR", True, 20.0, 15.0, "dB"), Check("SQNR", False, 10.0, 15.0, "dB")
    structure = Check("dilations", False, 1.0, 8.0)
    slipped = Control("blue and red exchanged", False, [])
    assert Certificate([bad], []).mendable and Certificate([fine, bad], [slipped]).mendable
    assert not Certificate([fine], []).mendable, "nothing failed"
    assert not Certificate([bad, structure], []).mendable
    unnoticed = Certificate([fine], [slipped])
    assert not unnoticed.passed and not unnoticed.mendable
