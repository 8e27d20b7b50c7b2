"""Is it planned rightly what is measured: which networks, at which batches and sizes, and what is refused?"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from rapidnet.benchmark import measured_peers
from rapidnet.benchmark.bench import Measured, describe_ratios
from rapidnet.benchmark.contestants import Contestant, build_contestants, find_network, fit_size
from rapidnet.benchmark.estimates import estimate
from rapidnet.benchmark.peers import load_peers
from rapidnet.benchmark.schedule import MODES
from rapidnet.config import BenchConfig
from rapidnet.config.bench import Point
from rapidnet.errors import UserError

QUIET = Console(quiet=True)
STATIC = {"min_batch": 1, "max_batch": 1, "size": 224}
VARYING = {"min_batch": 1, "max_batch": 8, "size": [128, 256]}
FIXED = {"min_batch": 4, "max_batch": 4, "size": 224}


def test_every_combination_is_asked_for_once() -> None:
    config = BenchConfig(["rapidnet_ti"], batch="1,4,1", image_size="128, 0")
    assert config.points == [Point(1, 128), Point(4, 128), Point(1, 0), Point(4, 0)]
    assert BenchConfig(["rapidnet_ti"]).points == [Point(1, 0)]
    config = BenchConfig(["rapidnet_ti"], against="peers,mobilenetv2_140")
    assert config.against_peers and config.rivals == ["mobilenetv2_140"]
    assert not BenchConfig(["rapidnet_ti"]).against_peers


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch": "0"}, "batch '0' is no positive number; give such as 1,8"),
        ({"batch": "1,x"}, "batch 'x' is no positive number"),
        ({"batch": ","}, "batch is empty"),
        ({"image_size": "-32"}, "image_size '-32' is no number of 0 or more"),
        ({"threads": "1,0"}, "threads '0' is no positive number; give such as 1,2"),
        ({"profile": True, "scaling": "x.png"}, "profile measures no latency to draw; leave out scaling"),
        ({"what": [], "scaling": "x.png"}, "there is nothing to measure"),
    ],
)
def test_what_cannot_be_parsed(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        BenchConfig(**({"what": ["rapidnet_ti"]} | options))


def test_eager_torch_at_every_point() -> None:
    config = BenchConfig(["rapidnet_ti"], runtime="eager", batch="1,2", image_size="96,224")
    found = build_contestants(config, config.what, Path("unused"), QUIET)
    assert [(item.arguments["batch"], item.arguments["image_size"]) for item in found] == [
        (1, 96), (2, 96), (1, 224), (2, 224)
    ]  # fmt: skip
    assert len({item.name for item in found}) == 4
    assert found[2].facts["gmacs"] / found[0].facts["gmacs"] == pytest.approx((224 / 96) ** 2, rel=0.01)


@pytest.mark.parametrize(
    ("taken", "point", "size"),
    [
        (STATIC, (1, 0), 224), (STATIC, (1, 224), 224), (VARYING, (1, 0), 128), (VARYING, (8, 256), 256),
        (VARYING, (3, 160), 160), (FIXED, (4, 0), 224), ({"max_batch": 2, "size": 64}, (1, 0), 64),
    ],
)  # fmt: skip
def test_a_bundle_that_fits(taken: dict[str, Any], point: tuple[int, int], size: int) -> None:
    assert fit_size(Path("it"), taken, Point(*point)) == size


@pytest.mark.parametrize(
    ("taken", "point", "said"),
    [
        (STATIC, (2, 0), r"kept/it takes 1 image\(s\) per call, not 2; measure it with --batch 1"),
        (VARYING, (9, 0), r"takes 1 to 8 image\(s\) per call, not 9"),
        (FIXED, (1, 0), r"takes 4 image\(s\) per call, not 1; measure it with --batch 4"),
        (STATIC, (1, 128), "takes images of 224 px, not of 128 px"),
        (VARYING, (1, 288), "takes images of 128 to 256 px in steps of 32, not of 288 px"),
        (VARYING, (1, 140), "not of 140 px"),
    ],
)
def test_a_bundle_that_does_not_fit_is_named(taken: dict[str, Any], point: tuple[int, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        fit_size(Path("kept/it"), taken, Point(*point))


def test_a_static_bundle_cannot_do_a_batch(bundle: Path) -> None:
    config = BenchConfig([str(bundle)], batch="1,4")
    with pytest.raises(UserError, match=rf"{bundle} takes 1 image\(s\) per call, not 4"):
        build_contestants(config, config.what, bundle, QUIET)


def test_networks_by_the_name_they_are_published_under() -> None:
    assert find_network("mobilenetv2_x1.4") == "mobilenetv2_140" and find_network("resnet18") == "resnet18"
    with pytest.raises(UserError, match=r"peer 'mobilevigv2_ti' is published only \(MobileViGv2 abstract\)"):
        find_network("mobilevigv2_ti")
    said = r"'mobilevig_tj' is neither a bundle, a run, a network nor a peer \(did you mean 'mobilevig_ti'\?\)"
    with pytest.raises(UserError, match=said):
        find_network("mobilevig_tj")


def make_contestant(label: str, point: Point, size: int = 224) -> Contestant:
    arguments = {"path": label, "batch": point.batch, "image_size": point.size or size}
    return Contestant(label, label, "onnx", "fp32", "bundle", arguments, point)


def test_only_the_same_point_is_compared() -> None:
    points = [Point(1, 0), Point(4, 0)]
    named, rivals = (
        [make_contestant(label, point, size) for point in points] for label, size in (("a", 224), ("b", 256))
    )
    times = np.random.default_rng(0).uniform(1, 1.01, (8, 5))
    found = {item.name: Measured(item, times, estimate(times), {}, {}) for item in [*named, *rivals]}
    rows = list(describe_ratios(named, rivals, found, {"used_by_others": 0.0}, MODES["quick"]))
    assert [(row["batch"], row["image_size"], row["against_image_size"]) for row in rows] == [
        (1, 224, 256), (4, 224, 256)
    ]  # fmt: skip


def test_a_peer_that_fails_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def build(config: BenchConfig, names: list[str], *rest: Any) -> list[Contestant]:
        if names == ["shvit_s1"] or (names == ["starnet_s1"] and config.precision == "int8"):
            raise UserError(f"{names[0]} fails its checks")
        if names == ["iformer_t"]:
            raise RuntimeError("Unsupported operator")
        return [make_contestant(names[0], config.points[0])]

    monkeypatch.setattr(measured_peers, "build_contestants", build)
    console = Console(record=True, quiet=False, width=200)
    config = BenchConfig(["rapidnet_ti"], against="peers", precision="fp32,int8")
    found, left_out = measured_peers.build_peers(config, {"rapidnet_ti", "mobilenetv2_140"}, tmp_path, console)
    assert {(row["model"], row["precision"]) for row in left_out} == {
        ("shvit_s1", "fp32"), ("shvit_s1", "int8"), ("starnet_s1", "int8"), ("iformer_t", "fp32"), ("iformer_t", "int8")
    }  # fmt: skip
    names = [item.model for item in found]
    expected = {peer.timm_name for peer in load_peers() if peer.timm_name}
    assert set(names) == expected - {"rapidnet_ti", "mobilenetv2_140", "shvit_s1", "iformer_t"}
    assert names.count("starnet_s1") == 1 and names.count("starnet_s3") == 2
    said = console.export_text()
    assert "left out shvit_s1 in onnx fp32: shvit_s1 fails its checks" in said
    assert "left out iformer_t in onnx int8: Unsupported operator" in said


def test_peers_are_measured_at_the_size_of_their_accuracy() -> None:
    import timm

    sizes = {peer.timm_name: peer.image_size for peer in load_peers() if peer.timm_name}
    assert sizes["fastvit_t8"] == 256 and sizes["rapidnet_ti"] == 224
    own = {name: timm.get_pretrained_cfg(name).input_size[-1] for name in sizes}
    assert own == sizes


def test_sizes_that_vary_count_no_macs_but_the_smallest(bundle: Path, tmp_path: Path) -> None:
    import json

    from rapidnet.benchmark.contestants import describe_bundle
    from rapidnet.runtimes.bundle import compute_card_hash

    shutil.copytree(bundle, tmp_path / "varying")
    card = json.loads((bundle / "card.json").read_text())
    card["input"]["size"] = [64, 128]
    card["card_sha256"] = compute_card_hash(card)
    (tmp_path / "varying" / "card.json").write_text(json.dumps(card))
    smallest, larger = (describe_bundle(tmp_path / "varying", "x", Point(1, size)) for size in (0, 96))
    assert "gmacs" in smallest.facts and "gmacs" not in larger.facts and "params_m" in larger.facts


def test_two_runs_of_one_network_are_two(finished_run: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        shutil.copytree(finished_run, tmp_path / name)
    config = BenchConfig([str(tmp_path / "first"), str(tmp_path / "second")])
    found = build_contestants(config, config.what, tmp_path / "kept", QUIET)
    assert [item.label for item in found] == ["first", "second"] and found[0].model == found[1].model
    paths = [Path(item.arguments["path"]) for item in found]
    assert paths[0] != paths[1] and all(path.is_dir() for path in paths)
