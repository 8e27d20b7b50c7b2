"""Are the attacks within their ball and worth believing, and is a network that masks its gradients found out?"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rapidnet.config import RobustnessConfig
from rapidnet.data.transforms import Preprocessing
from rapidnet.errors import UserError
from rapidnet.evaluation.trained import load_trained
from rapidnet.robustness.attacked import build_network
from rapidnet.robustness.attacks import FromPixels, add_noise, attack_in_batches, build_autoattack, build_pgd, fgsm
from rapidnet.robustness.robustness import run_robustness
from rapidnet.robustness.sanity import check_sanity, measure
from rapidnet.robustness.subjects import open_subject

PLAIN = Preprocessing(16, 1.0, "bicubic", (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


class Colours(nn.Module):
    """Names the channel that is brightest on the mean, of normalised pixels."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * self.weight * 8 * images.mean((2, 3))


def draw(count: int = 30) -> tuple[Tensor, Tensor]:
    """Pictures whose class is the channel that is a little brighter than it is used to."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (count,), generator=generator)
    base = torch.tensor(PLAIN.mean).view(1, 3, 1, 1) * 255
    images = base + 20 * torch.randn(count, 3, 16, 16, generator=generator)
    images[torch.arange(count), labels] += 12
    return images.clamp(0, 255).round().to(torch.uint8), labels


@pytest.fixture(scope="module")
def honest() -> FromPixels:
    return FromPixels(Colours(), PLAIN).eval()


@pytest.mark.parametrize("epsilon", [1, 8])
@pytest.mark.parametrize("attack", [fgsm, build_pgd(5), build_pgd(5, random_start=False), add_noise])
def test_whole_pixels_within_the_ball_and_seeded(attack: object, epsilon: int, honest: FromPixels) -> None:
    images, labels = draw()
    made = attack_in_batches(attack, honest, images, labels, epsilon, 1, 8)  # type: ignore[arg-type]
    assert made.dtype == torch.uint8 and made.shape == images.shape
    assert 0 < (made.int() - images.int()).abs().max() <= epsilon
    again = attack_in_batches(attack, honest, images, labels, epsilon, 1, 8)  # type: ignore[arg-type]
    assert torch.equal(made, again)


def test_normalisation_is_inside(finished_run: Path) -> None:
    """The attacked network gives the run's own answers to pixels; with another mean it would not."""
    subject = open_subject(str(finished_run), "best")
    network = build_network(subject)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    with torch.no_grad():
        ours = network(torch.from_numpy(pixels) / 255).cpu().numpy()
        assert subject.score is not None
        assert np.abs(ours - subject.score(pixels)).max() < 1e-3
        network.mean += 0.5
        assert np.abs(network(torch.from_numpy(pixels) / 255).cpu().numpy() - subject.score(pixels)).max() > 1e-2


def test_a_larger_ball_and_a_gradient_make_an_attack(honest: FromPixels) -> None:
    images, labels = draw()
    scores = [
        measure(honest, attack_in_batches(build_pgd(10), honest, images, labels, epsilon, 0, 16), labels, 16)
        for epsilon in (1, 6, 12)
    ]
    assert scores[0] > scores[2] and scores == sorted(scores, reverse=True)
    noise = measure(honest, attack_in_batches(add_noise, honest, images, labels, 12, 0, 16), labels, 16)
    assert noise > scores[2] + 50


def test_an_honest_network_passes_the_sanity_suite(honest: FromPixels) -> None:
    images, labels = draw()
    checks = check_sanity(honest, images, labels, 12, 0, 16)
    assert all(check.holds for check in checks), checks
    assert len(checks) == 5


@pytest.mark.parametrize("masked", ["saturated", "rounded"])
def test_masked_gradients_trip_it(masked: str) -> None:
    """Logits so large that the loss has no slope in float32; pixels rounded inside, whose derivative is zero."""

    class Rounded(Colours):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward((images * 8).round() / 8)

    network = FromPixels(Colours(factor=1e4) if masked == "saturated" else Rounded(), PLAIN)
    images, labels = draw()
    right = network(images / 255).argmax(1) == labels
    checks = {check.name: check for check in check_sanity(network, images[right], labels[right], 12, 0, 16)}
    assert not checks["gradients are not zero"].holds
    assert not checks["free to paint anything, PGD wins"].holds
    assert not checks["the attack is stronger than noise"].holds


def test_a_gradient_that_points_elsewhere_trips_it() -> None:
    """Nothing is zero here: the gradient is that of another picture, as a randomised defence's may be."""

    class Elsewhere(Colours):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.detach() - images + images.detach())

    network = FromPixels(Elsewhere(), PLAIN)
    images, labels = draw()
    checks = {check.name: check.holds for check in check_sanity(network, images, labels, 12, 0, 16)}
    assert checks["gradients are not zero"]
    assert not checks["free to paint anything, PGD wins"] and not checks["the attack is stronger than noise"]


def test_the_command_gives_a_runs_images_to_others(finished_run: Path, capsys: pytest.CaptureFixture) -> None:
    config = RobustnessConfig(
        [str(finished_run)], kinds="none", attacks="fgsm,pgd", epsilons="2,64", pgd_steps=5, attack_images=9, json=True
    )  # fmt: skip
    assert run_robustness(config) == 0
    (row,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    lines = {(line["attack"], line["epsilon"]): line["top1"] for line in row["attacked"]["attacks"]}
    assert set(lines) == {("clean", 0), *((a, e) for a in ("noise", "fgsm", "pgd") for e in (2, 64))}
    assert lines["clean", 0] == row["clean"]["top1"]
    assert lines["pgd", 64] <= lines["pgd", 2] and lines["pgd", 64] < lines["noise", 64]
    assert row["attacked"]["void"] is not all(check["holds"] for check in row["attacked"]["checks"])


def test_a_masked_run_is_called_void(
    finished_run: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scaled(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor) -> Tensor:
            return 1e6 * self.model(images)

    monkeypatch.setattr("rapidnet.robustness.attacked.reparameterize", Scaled)
    config = RobustnessConfig([str(finished_run)], kinds="none", attacks="pgd", pgd_steps=3, attack_images=9)
    assert run_robustness(config) == 0
    shown = capsys.readouterr().out
    assert "The attack numbers of A are void" in shown and "fails" in shown


def test_what_attacks_need(finished_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    with pytest.raises(UserError, match=r"AutoAttack was not run: .*rapidnet\[attacks\]"):
        run_robustness(RobustnessConfig([str(finished_run)], attacks="autoattack"))
    assert load_trained(finished_run).model.training is False


def train_small(pooled: int, images: Tensor, labels: Tensor) -> FromPixels:
    """A linear classifier of pooled x pooled colours, trained on all of the pictures."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.AdaptiveAvgPool2d(pooled), nn.Flatten(), nn.Linear(3 * pooled**2, 3))
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(PLAIN.normalize(images)), labels).backward()
        optimizer.step()
    return FromPixels(model, PLAIN).eval()


@pytest.mark.slow
def test_autoattack_is_no_weaker_than_pgd_and_ranks_trained_networks_alike() -> None:
    images, labels = draw(36)
    left: dict[str, list[float]] = {"pgd": [], "autoattack": []}
    for pooled in (1, 4, 16):
        network = train_small(pooled, images, labels)
        assert measure(network, images, labels, 36) > 90
        for name, attack in (("pgd", build_pgd(40)), ("autoattack", build_autoattack(0, 3))):
            made = attack_in_batches(attack, network, images, labels, 5, 0, 36)
            assert made.dtype == torch.uint8 and (made.int() - images.int()).abs().max() <= 5
            left[name].append(measure(network, made, labels, 36))
    assert all(auto <= pgd for auto, pgd in zip(left["autoattack"], left["pgd"], strict=True)), left
    assert len(set(left["pgd"])) == 3, "three networks that PGD tells apart"
    assert np.argsort(left["pgd"]).tolist() == np.argsort(left["autoattack"]).tolist(), left
