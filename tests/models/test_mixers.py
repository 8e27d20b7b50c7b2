"""Do a hybrid's mixers compute what their sources say, and do they fold, count and see as they should?"""

from copy import deepcopy

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import rapidnet
from conftest import TINY, randomize
from rapidnet.data.transforms import Preprocessing
from rapidnet.errors import UserError
from rapidnet.export.capture import InputSpec, capture
from rapidnet.models.complexity import WHOLE_INPUT, count_macs, describe
from rapidnet.models.mixers import MIXERS, STEP, AllPairs, AttentionMixer, GraphMixer, MaxRelative
from rapidnet.models.receptive_field import View, trace_views

NAMES = ("attention", "graph")


def build(name: str, **options: object) -> nn.Module:
    settings = TINY | {"num_classes": 5, "mixer_layer": [None, None, None, name], "layer_scale_init": 0.1} | options
    return timm.create_model("rapidnet_ti", **settings)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("heads", [1, 3])
def test_attention_is_torchs(heads: int) -> None:
    qkv = draw(2, 36, 3, 5)
    split = [part.flatten(2).unflatten(1, (heads, -1)).mT for part in qkv.chunk(3, 1)]
    expected = F.scaled_dot_product_attention(*split).mT.reshape(2, 12, 3, 5)
    torch.testing.assert_close(AllPairs(heads)(qkv), expected)
    assert not torch.allclose(AllPairs(heads * 2)(qkv), expected)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (7, 7), (6, 10)])
def test_a_node_meets_every_second_position_of_its_row_and_column(height: int, width: int) -> None:
    x = draw(1, 4, height, width)
    expected, nearer = torch.zeros_like(x), torch.zeros_like(x)
    for values, step in ((expected, STEP), (nearer, 1)):
        for row in range(height):
            for column in range(width):
                others = [x[:, :, (row - shift) % height, column] for shift in range(0, height, step)]
                others += [x[:, :, row, (column - shift) % width] for shift in range(0, width, step)]
                values[:, :, row, column] = (torch.stack(others) - x[:, :, row, column]).amax(0).clamp(min=0)
    assert torch.equal(MaxRelative()(x), expected)
    assert torch.equal(expected, nearer) == (max(height, width) <= 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_and_its_class_are_the_same_network(name: str) -> None:
    networks = []
    for mixer in (name, MIXERS[name]):
        torch.manual_seed(0)
        networks.append(build(mixer).eval())  # type: ignore[arg-type]
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(networks[0](image), networks[1](image))
    kinds = [type(module) for module in networks[0].modules()]
    assert kinds.count(type(MIXERS[name](8))) == 1


@pytest.mark.parametrize(
    ("mixers", "words"),
    [
        ("atention", "unknown .did you mean 'attention'.*null for MLDC"),
        ([None, None, None, "mldc"], "'mldc' is unknown; give 'attention', 'graph', or null"),
        (["graph", None, None, None], "stage 0 has no effect"),
        ([None, "graph"], "2 entries"),
    ],
)
def test_what_cannot_be_meant_is_refused(mixers: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        timm.create_model("rapidnet_ti", mixer_layer=mixers)
    with pytest.raises(UserError, match=words):
        rapidnet.create_model("rapidnet_ti", mixer_layer=mixers)


@pytest.mark.parametrize("name", NAMES)
def test_folding_is_exact_and_a_wrong_statistic_would_show(name: str) -> None:
    model = randomize(build(name).double())
    folded = rapidnet.reparameterize(model)
    left = [type(module).__name__ for module in folded.modules()]
    assert not {"BatchNorm2d", "LayerScale2d", "RepDepthwiseConv"} & set(left)
    image = draw(2, 3, 160, 160)
    with torch.no_grad():
        answer = model(image)
        assert (folded(image) - answer).abs().max() < 1e-10 * answer.abs().max()
        statistics = [key for key in model.state_dict() if ".mixer." in key and "running_" in key]
        assert len(statistics) == (4 if name == "attention" else 6)
        for key in statistics:
            wrong = deepcopy(model)
            wrong.state_dict()[key].mul_(1.001)
            assert (rapidnet.reparameterize(wrong)(image) - answer).abs().max() > 1e-8 * answer.abs().max(), key


def test_the_products_of_attention_count() -> None:
    dim, positions = 64, 6 * 6
    convolutions = dim * 49 + 3 * dim * dim + dim * dim
    assert AttentionMixer(dim).mix.heads == 2 and AttentionMixer(112).mix.heads == 2
    assert count_macs(AttentionMixer(dim), (dim, 6, 6)) == positions * convolutions + 2 * positions**2 * dim
    graph = dim * 49 + dim * dim + 2 * dim * dim + dim * dim
    assert count_macs(GraphMixer(dim), (dim, 6, 6)) == positions * graph


@pytest.mark.parametrize("name", NAMES)
def test_the_last_stage_sees_the_whole_input(name: str) -> None:
    model = build(name).double().eval()
    views = trace_views(model)
    assert views is not None
    assert views["stages.2.1.project.conv"] == View(87, 16) and views["stages.3.2.mixer.mix"] == View(whole=True)
    fields = {stage["name"]: stage["receptive_field"] for stage in describe(model, (3, 224, 224))["stages"]}
    assert fields["stages.3"] == WHOLE_INPUT and fields["stages.2"] == 87


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_the_whole_map_or_the_cross_of_neighbours(name: str) -> None:
    torch.manual_seed(0)
    mixer = MIXERS[name](8).double().eval()
    mixer.depthwise = nn.Identity()
    given = draw(1, 8, 9, 9).requires_grad_()
    mixer(given)[0, :, 4, 4].sum().backward()
    assert given.grad is not None
    reached = {tuple(place) for place in given.grad.abs().sum((0, 1)).nonzero().tolist()}
    # By steps of two to one side, and on from the other border.
    cross = {(4, 4), *((4, i) for i in (2, 0, 7, 5)), *((i, 4) for i in (2, 0, 7, 5))}
    if name == "attention":
        assert len(reached) == 81
    else:
        # Of each channel's neighbours the largest alone counts.
        assert len(reached) > 2 and reached <= cross


def test_a_graph_is_exported_at_one_size() -> None:
    model = build("graph").eval()
    preprocessing = Preprocessing.from_model(model, 64)
    with pytest.raises(UserError, match="--max-image-size"):
        capture(model, preprocessing, "classification", InputSpec(64, 128))
    assert capture(model, preprocessing, "classification", InputSpec(64, 64, max_batch=4)).program
    assert capture(build("attention").eval(), preprocessing, "classification", InputSpec(64, 128)).program
