"""Does a study train what is missing and nothing twice, shared or killed, and say what its runs say?"""

import json
import shutil
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from rich.console import Console

from rapidnet import cli
from rapidnet.config import AblateConfig
from rapidnet.environment import read_rows
from rapidnet.errors import UserError
from rapidnet.experiments import ablate
from rapidnet.experiments.comparisons import compare_changes
from rapidnet.experiments.forest import draw_forest
from rapidnet.experiments.table import print_comparisons
from rapidnet.training.progress import TrainDisplay

STUDY = """\
name: small
data: builtin
seeds: {seeds}
recipe:
  epochs: {epochs}
  image_size: 32
  batch_size: 16
  train_length: 32
  precision: 32-true
  ema_decay: 0.0
  optimizer: {{lr: 1e-2}}
  model_options: {{channels: [8, 8, 8, 8], depths: [1, 1, 1, 1], mldc_depths: [0, 0, 0, 1], head_width: 16}}
baseline: {{limit_data: 32}}
changes:
  relu: {{model_options: {{act_layer: relu}}}}
"""


def write(folder: Path, seeds: str = "2", epochs: int = 1, more: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "study.yaml"
    path.write_text(STUDY.format(seeds=seeds, epochs=epochs) + more)
    return path


def run(study: Path, output: Path, **options: object) -> tuple[int, str]:
    said = StringIO()
    console = Console(file=said, width=80)
    code = ablate.run_ablate(AblateConfig(str(study), output=str(output), **options), console)  # type: ignore[arg-type]
    return code, said.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A finished study: its file, its folder and what it said; read it, do not write into it."""
    root = tmp_path_factory.mktemp("ablation")
    code, said = run(study := write(root), root / "out")
    assert code == 0
    return study, root / "out", said


def test_a_study_leaves_rows_tables_and_a_picture(finished: tuple[Path, Path, str]) -> None:
    _, output, said = finished
    rows = read_rows(output / "ablation.jsonl")
    trials = [row for row in rows if row["study"] == "ablation"]
    assert [(row["change"], row["seed"]) for row in trials] == [
        ("baseline", 0), ("relu", 0), ("baseline", 1), ("relu", 1),
    ]  # fmt: skip
    for row in trials:
        metrics = read_rows(output / row["change"] / f"seed_{row['seed']}" / "metrics.jsonl")
        assert row["score"] == metrics[-1]["val_top1"] and row["config"]["seed"] == row["seed"]
        assert row["params_m"] > 0 and row["macs_m"] > 0 and row["environment"]["git"]
    base, relu = (row for row in rows if row["study"] == "ablation comparison")
    scores = {(row["change"], row["seed"]): row["score"] for row in trials}
    assert relu["difference"] == pytest.approx(
        np.mean([scores["relu", seed] - scores["baseline", seed] for seed in (0, 1)])
    )
    assert base["mean"] == pytest.approx((scores["baseline", 0] + scores["baseline", 1]) / 2)
    assert (output / "forest.png").stat().st_size > 5000
    assert "too few seeds for a claim in 1 of 1" in said and "relu" in said
    assert all(len(line) <= 80 for line in said.splitlines() if "study" not in line)


def test_what_is_finished_is_never_trained_again(
    finished: tuple[Path, Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study, output, _ = finished

    def refuse(*args: object) -> int:
        raise AssertionError("trained again")

    monkeypatch.setattr(ablate, "train_trial", refuse)
    before = (output / "relu/seed_1/trial.json").stat().st_mtime_ns
    assert "4 of 4 runs are finished" in run(study, output)[1]
    assert (output / "relu/seed_1/trial.json").stat().st_mtime_ns == before
    # Other options in the same folder are another study.
    with pytest.raises(UserError, match="epochs is 1, not 2"):
        run(write(tmp_path, epochs=2), output)
    # One more change does need training.
    more = "  relu6: {model_options: {act_layer: relu6}}\n"
    with pytest.raises(AssertionError, match="trained again"):
        run(write(tmp_path, more=more), output)


def test_two_workers_share_a_study(finished: tuple[Path, Path, str], tmp_path: Path) -> None:
    output = shutil.copytree(finished[1], tmp_path / "out")
    shutil.rmtree(output / "relu" / "seed_1")
    # Somebody else holds the run that is missing.
    with FileLock(output / "relu" / "seed_1.lock"):
        code, said = run(finished[0], output)
    assert code == 0 and "1 of 4 runs are not finished" in said
    assert not (output / "relu" / "seed_1").exists()
    # It has gone; whoever comes next trains what it left, and the numbers are those of one worker.
    assert run(finished[0], output)[0] == 0
    one, other = ([row["score"] for row in read_rows(folder / "ablation.jsonl") if "score" in row]
                  for folder in (finished[1], output))  # fmt: skip
    assert one == other and len(one) == 4


def test_a_study_that_crashed_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study, output = write(tmp_path, seeds="[3]", epochs=3), tmp_path / "out"
    metrics = output / "relu" / "seed_3" / "metrics.jsonl"

    def crash(self: TrainDisplay, row: dict, is_best: bool) -> None:
        if metrics.exists() and row["epoch"] == 2:
            raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(TrainDisplay, "finish_epoch", crash)
        with pytest.raises(OSError, match="power cut"):
            run(study, output)
    assert len(read_rows(metrics)) == 2
    first = (output / "baseline" / "seed_3" / "trial.json").stat().st_mtime_ns
    assert run(study, output)[0] == 0
    assert (output / "baseline" / "seed_3" / "trial.json").stat().st_mtime_ns == first
    assert len(list((output / "relu" / "seed_3").glob("environment-resumed-*.json"))) == 1
    assert [row["epoch"] for row in read_rows(metrics)] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_study_goes_on_where_it_stopped(tmp_path: Path) -> None:
    study, output = write(tmp_path, seeds="[3]", epochs=12), tmp_path / "out"
    command = [sys.executable, "-m", "rapidnet", "ablate", str(study), "--output", str(output)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    metrics = output / "relu" / "seed_3" / "metrics.jsonl"
    deadline = time.time() + 100
    while not metrics.exists() and process.poll() is None and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    done = len(metrics.read_text().splitlines())
    assert 1 <= done < 12, "it was not killed in the middle of its second run"
    first = (output / "baseline" / "seed_3" / "trial.json").stat().st_mtime_ns
    assert run(study, output)[0] == 0
    assert (output / "baseline" / "seed_3" / "trial.json").stat().st_mtime_ns == first
    assert len(list((output / "relu" / "seed_3").glob("environment-resumed-*.json"))) == 1
    assert [row["epoch"] for row in read_rows(metrics)] == list(range(1, 13))


def test_minutes_end_a_study_at_a_checkpoint(tmp_path: Path) -> None:
    study, output = write(tmp_path, seeds="1", epochs=2000), tmp_path / "out"
    code, said = run(study, output, minutes=0.03)
    assert code == 0 and "the same command goes on from here" in said and "2 of 2 runs are not finished" in said
    assert (output / "baseline" / "seed_0" / "last.safetensors").is_file()


def test_one_failed_run_does_not_stop_the_others(finished: tuple[Path, Path, str], tmp_path: Path) -> None:
    output = shutil.copytree(finished[1], tmp_path / "out")
    code, said = run(write(tmp_path, more="  wild: {optimizer.lr: 1e30}\n"), output)
    said = " ".join(said.split())
    assert code == 1 and "2 of 6 runs are not finished" in said
    assert "failed: wild, seed 0" in said and "failed: wild, seed 1" in said


def test_through_the_command_with_rows_for_results(
    finished: tuple[Path, Path, str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output, rows = shutil.copytree(finished[1], tmp_path / "out"), tmp_path / "rows.jsonl"
    command = ["ablate", str(finished[0]), "--output", str(output), "--results", str(rows)]
    assert cli.main(command) == 0
    assert [row["study"] for row in read_rows(rows)] == ["ablation"] * 4 + ["ablation comparison"] * 2
    assert cli.main([*command, "--steps", "3"]) == 2
    assert "results has no effect on a preview" in capsys.readouterr().err


def simulate(changes: dict[str, float], seeds: int) -> list[dict]:
    rng = np.random.default_rng(0)
    base = 70 + rng.normal(0, 0.5, seeds)
    scores = {"baseline": base} | {name: base + shift + rng.normal(0, 0.3, seeds) for name, shift in changes.items()}
    return [
        {"study": "ablation", "name": "s", "change": name, "seed": seed, "measure": "top-1", "score": float(score),
         "params_m": 5.6 + len(name) / 10, "macs_m": 110.0, "image_size": 96, "train_seconds": 240.0}
        for name, values in scores.items() for seed, score in enumerate(values)
    ]  # fmt: skip


def test_comparisons_pair_by_seed_and_the_picture_shows_them(tmp_path: Path) -> None:
    rows = simulate({"much better": 3, "much worse": -3, "the same": 0}, 6)
    # One run is missing: its seed counts for the others still.
    rows = [row for row in rows if (row["change"], row["seed"]) != ("much worse", 2)]
    found = {row["change"]: row for row in compare_changes(rows)}
    assert [found[name]["claim"] for name in ("much better", "much worse", "the same")] == ["better", "worse", "open"]
    assert found["much worse"]["seeds"] == [0, 1, 3, 4, 5] and len(found["much better"]["seeds"]) == 6
    shuffled = compare_changes(rows[:6] + rows[6:][::-1])
    assert {row["change"]: row.get("difference") for row in shuffled} == pytest.approx(
        {name: row.get("difference") for name, row in found.items()}
    )
    figure = draw_forest(list(found.values()))
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["much worse", "the same", "much better"]
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"worse", "open", "better"}
    said = StringIO()
    print_comparisons(list(found.values()), Console(file=said, width=80))
    assert max(map(len, said.getvalue().splitlines())) <= 80
    json.dumps(list(found.values()))
    with pytest.raises(ValueError, match="no change"):
        draw_forest([found["baseline"]])
