"""Is the table of peers sound, and does the picture show what is in it?"""

from typing import Any

from rapidnet.benchmark.pareto import CROWDED, Panel, arrange, collect_measured, draw_pareto, find_front
from rapidnet.benchmark.peers import load_peers

PEERS = {peer.name: peer for peer in load_peers()}


def test_every_peer_has_what_a_claim_needs() -> None:
    peers = load_peers()
    assert len({peer.name for peer in peers}) == len(peers) >= 25
    for peer in peers:
        assert 60 < peer.top1_percent < 90 and 0.1 < peer.latency_ms < 10 and peer.device and peer.source
        assert peer.image_size == (256 if "256 px" in peer.source else 224)
    # Where RapidNet loses is there, too.
    ours, better = PEERS["rapidnet_ti"], PEERS["mobilevigv2_ti"]
    assert (better.latency_ms, better.device) == (ours.latency_ms, ours.device) and better.top1_percent == 77.7


def test_peers_are_known_to_timm_by_the_names_given() -> None:
    import timm

    unknown = [peer.timm_name for peer in load_peers() if peer.timm_name and not timm.is_model(peer.timm_name)]
    assert unknown == []


def test_the_front_is_what_nobody_beats() -> None:
    points = [(1.0, 70.0), (2.0, 75.0), (2.0, 74.0), (3.0, 75.0), (0.9, 60.0), (4.0, 80.0), (1.0, 70.0)]
    assert find_front(points) == [4, 0, 6, 1, 5]


def bench(model: str, latency: float | None = 8.0, **changes: Any) -> dict[str, Any]:
    row = {
        "study": "bench", "model": model, "runtime": "onnx", "precision": "fp32", "threads": 1, "batch": 1,
        "image_size": 224, "environment": {"cpu": "A Processor"},
    }  # fmt: skip
    return row | ({"latency_ms_p50": latency} if latency else {"reasons": ["busy"]}) | changes


def test_measured_and_published_are_apart() -> None:
    rows = [bench("rapidnet_ti"), bench("mobilenetv2_140", 7.0), bench("not_published", 1.0)]
    rows += [bench("fastvit_t8", 9.0, image_size=256), bench("rapidnet_ti", None, runtime="openvino")]
    panels = {axes.get_title(loc="left"): axes for axes in draw_pareto(rows, load_peers()).axes}
    measured = [title for title in panels if title.startswith("measured")]
    assert len(measured) == 1 and "A Processor" in measured[0]
    names = {text.get_text() for text in panels[measured[0]].texts}
    assert names >= {"rapidnet_ti", "mobilenetv2_140", "fastvit_t8 (256 px)"} and "not_published" not in names
    assert {title for title in panels if title.startswith("published")} == {
        f"published: {peer.device}" for peer in load_peers()
    }
    # RapidNet loses to MobileViGv2-Ti on the phone of its own paper: the front passes above it.
    phone = panels["published: iPhone 13 mini"]
    front = {(float(x), float(y)) for x, y in phone.lines[0].get_xydata()}
    ours, better = PEERS["rapidnet_ti"], PEERS["mobilevigv2_ti"]
    assert (better.latency_ms, better.top1_percent) in front and (ours.latency_ms, ours.top1_percent) not in front
    assert {"rapidnet_ti", "mobilevigv2_ti"} <= {text.get_text() for text in phone.texts}


def test_an_accuracy_belongs_to_its_size_and_to_one_image() -> None:
    rows = [bench("rapidnet_ti", image_size=96), bench("fastvit_t8"), bench("mobilenetv2_140", batch=8)]
    assert collect_measured(rows, load_peers()) == []
    (panel,) = collect_measured([*rows, bench("rapidnet_ti")], load_peers())
    assert [name for name, _, _ in panel.points] == ["rapidnet_ti"]


def test_unsteady_networks_are_named_without_a_latency() -> None:
    (panel,) = collect_measured([bench("rapidnet_ti"), bench("mobilenetv2_140", None)], load_peers())
    assert panel.unsteady == ["mobilenetv2_140"] and len(panel.points) == 1
    figure = draw_pareto([bench("rapidnet_ti"), bench("mobilenetv2_140", None)], load_peers())
    assert "without latency: mobilenetv2_140" in figure.axes[0].get_xlabel()
    assert "mobilenetv2_140" not in {text.get_text() for text in figure.axes[0].texts}


def test_a_crowded_panel_has_a_line_for_itself() -> None:
    def panel(title: str, count: int) -> Panel:
        return Panel(title, "ms", [("x", 1.0, 70.0)] * count)

    panels = [panel("a", 2), panel("b", CROWDED + 1), panel("c", 3), panel("d", 1), panel("e", 1)]
    assert [[item.title for item in line] for line in arrange(panels)] == [["a"], ["b"], ["c", "d"], ["e"]]
    rows = [bench(peer.timm_name, 5.0 + i, image_size=peer.image_size)
            for i, peer in enumerate(load_peers()) if peer.timm_name]  # fmt: skip
    axes = draw_pareto(rows, load_peers()).axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == len(rows)
    overlaps = sum(boxes[i].overlaps(boxes[j]) for i in range(len(boxes)) for j in range(i))
    assert overlaps <= 1, "names can be read"
