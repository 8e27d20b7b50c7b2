"""Is every wrong study refused with its line, and is every study at hand one that can be run?"""

import shutil
from pathlib import Path
from typing import Any

import pytest

import rapidnet.experiments.study as study_module
from conftest import write_images
from rapidnet.errors import UserError
from rapidnet.experiments.effect import plan_study
from rapidnet.experiments.study import merge, read_recipe, read_study
from rapidnet.experiments.study_file import StudyFile, read_study_file
from rapidnet.experiments.trials import list_trials

STUDIES = sorted((Path(__file__).resolve().parents[2] / "studies").glob("*.yaml"))
TINY = "channels: [8, 8, 8, 8], depths: [1, 1, 1, 1], mldc_depths: [0, 0, 0, 1], head_width: 16"
HEAD = f"""\
name: small
data: builtin
seeds: 2
recipe:
  epochs: 1
  image_size: 32
  train_length: 64
  model_options: {{{TINY}}}
"""


def write(folder: Path, rest: str, head: str = HEAD) -> Path:
    path = folder / "study.yaml"
    path.write_text(head + rest)
    return path


def refuse(path: Path, data: str = "") -> str:
    with pytest.raises(UserError) as error:
        plan_study(read_study(path, data))
    return str(error.value)


@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("chnages: {a: {epochs: 2}}\n", ("line 9", "'chnages'", "did you mean 'changes'")),
        ("changes: {}\n", ("at least one change",)),
        ("changes:\n  a: {}\n", ("line 9", "'a' changes nothing")),
        ("changes:\n  a: {epochs: 2}\n  a: {epochs: 3}\n", ("line 11", "line 10", "'a'")),
        ("changes:\n  a: {epochs: 2}\n  b:\n    epoch: 2\n", ("line 12", "'epoch'", "did you mean 'epochs'")),
        ("changes:\n  b:\n    optimizer:\n      wieght_decay: 2\n", ("line 12", "wieght_decay", "weight_decay")),
        ("changes:\n  a: {epochs: 2}\n  b: {epochs: many}\n", ("line 11", "many")),
        ("changes:\n  a: {epochs: 2}\n  b: {epochs: 0}\n", ("line 11", "epochs is 0")),
        ("changes:\n  a: {seed: 2}\n", ("line 10", "'seed'", "sets it itself")),
        ("changes:\n  baseline: {epochs: 2}\n", ("line 10", "'baseline'")),
        ("changes:\n  a b: {epochs: 2}\n  a_b: {epochs: 3}\n", ("punctuation",)),
        ("changes:\n  a: {task: detect}\n", ("line 10", "classifiers")),
        ("changes:\n  a: {model_options: {dilation: [2]}}\n", ("line 10", "dilation")),
        ("changes:\n  a: {model_options: {act_layer: gelo}}\n", ("line 10", "gelo")),
        ("budget: {hours: 2}\nchanges:\n  a: {epochs: 2}\n", ("line 9", "epochs: N or steps: N")),
        ("budget: {steps: 2}\nchanges:\n  a: {epochs: 2}\n", ("line 11", "'epochs'")),
        ("grids:\n  g: {epochs: 2}\n", ("line 9", "lists of values")),
        ("grids:\n  g: {model_options.dilations: [[2, 2, a]]}\n", ("line 10",)),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(rest: str, words: tuple[str, ...], tmp_path: Path) -> None:
    message = refuse(write(tmp_path, rest))
    assert all(word in message for word in words), message
    assert "study.yaml" in message


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert "absent.yaml does not exist" in refuse(tmp_path / "absent.yaml")
    head = "name: s\nrecipe: nowhere.yaml\ndata: builtin\n"
    assert "nowhere.yaml does not exist" in refuse(write(tmp_path, "changes: {a: {epochs: 2}}\n", head))
    assert "names no data" in refuse(write(tmp_path, "changes: {a: {epochs: 2}}\n", "name: s\nrecipe: {}\n"))
    (tmp_path / "recipe.yaml").write_text("epochs: 3\noptimizer:\n  lrr: 1\n")
    message = refuse(write(tmp_path, "changes: {a: {epochs: 2}}\n", "name: s\nrecipe: recipe.yaml\ndata: builtin\n"))
    assert "recipe.yaml, line 3" in message


@pytest.mark.parametrize(
    "change",
    [
        "{epochs: 1}", "{model_options: {act_layer: gelu}}", "{model_options: {dilations: [2, 3]}}",
        "{model_options: {drop_path_rate: 0.0}, workers: 0}",
    ],
)  # fmt: skip
def test_a_change_without_effect_is_refused_by_name(change: str, tmp_path: Path) -> None:
    if "workers" in change:
        assert "'workers'" in refuse(write(tmp_path, f"changes:\n  idle: {change}\n"))
        return
    message = refuse(write(tmp_path, f"changes:\n  real: {{epochs: 2}}\n  idle: {change}\n"))
    assert "line 11" in message and "'idle' has no effect" in message


def test_the_function_counts_and_not_how_it_is_put_together(tmp_path: Path) -> None:
    one_branch = HEAD + "baseline: {model_options: {dilations: [2]}}\n"
    idle = "changes:\n  idle: {model_options: {branch_sum: before_act}}\n"
    assert "'idle' has no effect" in refuse(write(tmp_path, idle, one_branch))
    # With two branches the same change does something, be it behind a layer scale of 1e-5.
    plan_study(read_study(write(tmp_path, idle)))


@pytest.mark.parametrize(
    "options",
    ["{drop_path_rate: 0.1}", "{drop_rate: 0.1}", "{layer_scale_init: 1e-4}", "{dilations: [2]}",
     "{act_layer: relu}", "{ffn_kernel_size: 5}"],
)  # fmt: skip
def test_what_has_an_effect_passes(options: str, tmp_path: Path) -> None:
    plan_study(read_study(write(tmp_path, f"changes:\n  real: {{model_options: {options}}}\n")))


def test_a_dilation_beyond_the_feature_map_has_no_effect_and_is_refused(tmp_path: Path) -> None:
    wide = "changes: {wide: {model_options: {dilations: [2, 4]}}}\n"
    # At 32 px the last stage has one pixel, which no dilated tap but the middle one meets; at 128 px it has 4 x 4.
    assert "'wide' has no effect" in refuse(write(tmp_path, wide))
    plan_study(read_study(write(tmp_path, "baseline: {image_size: 128}\n" + wide)))


def test_options_are_merged_and_grids_leave_the_baseline_out(tmp_path: Path) -> None:
    rest = """\
baseline: {model_options: {branch_sum: after_act}}
changes: {slow: {optimizer.lr: 1e-4}}
grids: {g: {model_options.dilations: [[2], [2, 3]], model_options.branch_sum: [after_act, before_act]}}
"""
    study = read_study(
        write(tmp_path, rest.replace("branch_sum: after_act}}", "branch_sum: after_act, dilations: [2, 3]}}"))
    )
    assert list(study.configs) == [
        "baseline", "slow", "dilations 2; branch_sum after_act", "dilations 2; branch_sum before_act",
        "dilations 2,3; branch_sum before_act",
    ]  # fmt: skip
    slow = study.configs["slow"]
    assert slow.optimizer.lr == 1e-4 and slow.optimizer.name == "adamw"
    assert slow.model_options["channels"] == [8, 8, 8, 8] and slow.model_options["dilations"] == [2, 3]
    assert study.seeds == [0, 1]


def test_a_preview_never_takes_more_images_than_the_study(tmp_path: Path) -> None:
    path = write(tmp_path, "baseline: {limit_data: 30}\nchanges: {slow: {optimizer.lr: 1e-4}}\n")
    for asked, taken in ((0, 30), (10, 10), (50, 30)):
        assert {config.limit_data for config in read_study(path, "", asked).configs.values()} == {taken}
    plain = write(tmp_path, "changes: {slow: {optimizer.lr: 1e-4}}\n")
    assert read_study(plain, "", 10).configs["slow"].limit_data == 10


def test_a_budget_of_steps_ends_the_schedule_with_it(tmp_path: Path) -> None:
    rest = "budget: {steps: 5}\nchanges: {small: {batch_size: 16}}\n"
    plans = plan_study(read_study(write(tmp_path, rest)))
    # 64 scenes are one batch of 64, or four of 16.
    assert {name: plan.epochs for name, plan in plans.items()} == {"baseline": 5, "small": 2}
    trials = list_trials(read_study(tmp_path / "study.yaml"), plans, tmp_path, 0)
    assert [(trial.change, trial.config.seed, trial.config.epochs, trial.config.steps) for trial in trials] == [
        ("baseline", 0, 5, 5), ("small", 0, 2, 5), ("baseline", 1, 5, 5), ("small", 1, 2, 5),
    ]  # fmt: skip


@pytest.mark.parametrize("path", [path for path in STUDIES if path.stem != "parts_short"], ids=lambda path: path.stem)
def test_every_study_at_hand_can_be_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow: dict[str, Any] = {
        "channels": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "mldc_depths": [0, 0, 1, 1], "head_width": 16,
    }  # fmt: skip
    if path.stem == "scaling":
        # The sizes of the networks are what it is about.
        narrow = {}

    def read_narrow(file: StudyFile, data: str) -> dict[str, Any]:
        return merge(read_recipe(file, data), {"model_options": narrow})

    monkeypatch.setattr(study_module, "read_recipe", read_narrow)
    data = tmp_path / "photos"
    for part in ("train", "val"):
        write_images(data / part, {"a": 20, "b": 20}, 8)
    # Of Imagenette some images are left out by name where a teacher has not seen them.
    shutil.copy(next(data.glob("val/a/*")), data / "val" / "a" / "ILSVRC2012_val_1.png")
    study = read_study(path, str(data))
    if path.stem == "scaling":
        assert len(study.configs) == 12
        for name in [name for name, config in study.configs.items() if config.image_size != 128]:
            del study.configs[name]
    plans = plan_study(study)
    assert study.name == path.stem and len(study.seeds) == 5
    assert "command:" in path.read_text()
    assert all(plan.params_m > 0 and plan.macs_m > 0 for plan in plans.values())
    if path.stem == "parts":
        assert plans["plain FFN"].params_m < plans["baseline"].params_m > plans["MLDC without DW7x7"].params_m
        assert plans["neither 7x7"].params_m < plans["plain FFN"].params_m
    if path.stem == "hybrids":
        assert len({plan.macs_m for plan in plans.values()}) == len(study.configs) == 6
    if path.stem == "distillation":
        taught = [config for config in study.configs.values() if config.distillation.teacher]
        assert len(taught) == 9 and {config.distillation.type for config in taught} == {"hard", "soft"}
    if path.stem == "dilations":
        assert {len(config.model_options["dilations"]) for config in study.configs.values()} == {1, 2, 3}


def test_there_are_studies() -> None:
    assert {path.stem for path in STUDIES} == {
        "activations", "dilations", "dilations_short", "distillation", "hybrids", "parts", "parts_short", "resolution",
        "scaling",
    }  # fmt: skip


def test_the_short_study_has_the_changes_of_the_long_one() -> None:
    long, short = (read_study_file(path).config for path in STUDIES if path.stem in ("parts", "parts_short"))
    assert long.changes == short.changes and long.seeds == short.seeds
