"""Is the table of peers sound, and does the picture show what is in it?"""

import pytest

from rapidnet.benchmark.pareto import draw_pareto, find_front
from rapidnet.benchmark.peers import find_peer, load_peers
from rapidnet.errors import UserError


def test_every_peer_has_what_a_claim_needs() -> None:
    peers = load_peers()
    assert len({peer.name for peer in peers}) == len(peers) >= 25
    for peer in peers:
        assert 60 < peer.top1_percent < 90 and 0.1 < peer.latency_ms < 10 and peer.device and peer.source
    # Where RapidNet loses is there, too.
    ours, better = find_peer("rapidnet_ti"), find_peer("mobilevigv2_ti")
    assert better.latency_ms == ours.latency_ms and better.top1_percent > ours.top1_percent


def test_peers_are_known_to_timm_by_the_names_given() -> None:
    import timm

    unknown = [peer.timm_name for peer in load_peers() if peer.timm_name and not timm.is_model(peer.timm_name)]
    assert unknown == []


def test_an_unknown_peer_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"peer 'mobilevig_tj' is unknown \(did you mean 'mobilevig_ti'"):
        find_peer("mobilevig_tj")


def test_the_front_is_what_nobody_beats() -> None:
    points = [(1.0, 70.0), (2.0, 75.0), (2.0, 74.0), (3.0, 75.0), (0.9, 60.0), (4.0, 80.0), (1.0, 70.0)]
    assert find_front(points) == [4, 0, 6, 1, 5]


def test_measured_and_published_are_apart() -> None:
    environment = {"cpu": "A Processor"}
    rows = [
        {"model": name, "runtime": "onnx", "precision": "fp32", "threads": 1, "runs": 1024 + int(100 * latency),
         "latency_ms_p50": latency, "environment": environment}
        for name, latency in (("rapidnet_ti", 8.0), ("mobilenetv2_140", 7.0), ("not_published", 1.0))
    ]  # fmt: skip
    rows.append({"model": "rapidnet_ti", "runtime": "openvino", "precision": "fp32", "threads": 1, "reasons": ["busy"]})
    panels = {axes.get_title(loc="left"): axes for axes in draw_pareto(rows, load_peers()).axes if axes.get_visible()}
    measured = [title for title in panels if title.startswith("measured")]
    assert len(measured) == 1 and "A Processor" in measured[0]
    names = {text.get_text() for text in panels[measured[0]].texts}
    assert names >= {"rapidnet_ti", "mobilenetv2_140"} and "not_published" not in names
    assert {title for title in panels if title.startswith("published")} == {
        f"published: {peer.device}" for peer in load_peers()
    }
