"""Which commands are there? A table of config classes and functions; parses, then calls. Imports no torch itself."""

import errno
import json
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from rapidnet import config
from rapidnet.cli_messages import dashed, explain
from rapidnet.config.choices import ALONE
from rapidnet.errors import UserError, nearest

# command -> (config class, "module:function"); a function takes its config and returns the exit code.
COMMANDS: dict[str, tuple[type, str]] = {
    "train": (config.TrainConfig, "rapidnet.training.train:run_train"),
    "evaluate": (config.EvaluateConfig, "rapidnet.evaluation.evaluate:run_evaluate"),
    "predict": (config.PredictConfig, "rapidnet.bulk.predict:run_predict"),
    "ablate": (config.AblateConfig, "rapidnet.experiments.ablate:run_ablate"),
    "compare": (config.CompareConfig, "rapidnet.experiments.compare:run_compare"),
    "teacher cache": (config.TeacherCacheConfig, "rapidnet.training.cache_teacher:run_teacher_cache"),
    "export": (config.ExportConfig, "rapidnet.export.export:run_export"),
    "verify": (config.VerifyConfig, "rapidnet.export.verify:run_verify"),
    "doctor": (config.DoctorConfig, "rapidnet.runtimes.doctor:run_doctor"),
    "bench": (config.BenchConfig, "rapidnet.benchmark.bench:run_bench"),
    "bench import": (config.BenchImportConfig, "rapidnet.benchmark.imported:run_import"),
    "serve": (config.ServeConfig, "rapidnet.serving.serve:run_serve"),
    "demo": (config.DemoConfig, "rapidnet.serving.demo:run_demo"),
    "robustness": (config.RobustnessConfig, "rapidnet.robustness.robustness:run_robustness"),
    "explain": (config.ExplainConfig, "rapidnet.explain.explain:run_explain"),
    "info": (config.InfoConfig, "rapidnet.benchmark.info:run_info"),
    "data audit": (config.AuditConfig, "rapidnet.data.audit:run_audit"),
    "data builtin": (config.BuiltinConfig, "rapidnet.data.builtin_folder:run_builtin"),
    "data shard": (config.ShardConfig, "rapidnet.data.shard_writer:run_shard"),
    "quickstart": (config.QuickstartConfig, "rapidnet.quickstart.run:run_quickstart"),
}
# Commands whose settings can also come from a YAML file.
WITH_RECIPE = {"train", "teacher cache"}

USAGE_ERROR, INTERRUPTED = 2, 130
# What the machine refuses and a user can mend, wherever it happens; all else keeps its traceback.
DISK_ERRORS = {
    errno.ENOSPC: "free some space and run the command again",
    errno.EDQUOT: "free some of your quota and run the command again",
    errno.EACCES: "choose another place or ask for the permission",
    errno.EROFS: "choose another place",
    errno.ENOTDIR: "choose another place",
}


def main(argv: Sequence[str] | None = None) -> int:
    """The rapidnet command; returns the exit code: 0 done, 2 a user's error in one sentence, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        name, rest = split_command(arguments)
        if name is None:
            print(overview())
            return 0
        settings = parse_settings(name, rest)
        return int(load_function(COMMANDS[name][1])(settings))
    except UserError as error:
        if debug:
            raise
        print(f"rapidnet: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print("rapidnet: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe (head, less) has had enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if debug or error.errno not in DISK_ERRORS:
            raise
        where = error.filename2 or error.filename or "a file"
        print(f"rapidnet: {where} could not be used: {error.strerror}; {DISK_ERRORS[error.errno]}", file=sys.stderr)
        return USAGE_ERROR


def split_command(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The command's name (None: only help is wanted) and the arguments after it."""
    if not arguments or arguments[0] in ("-h", "--help"):
        return None, []
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"rapidnet {version('rapidnet')}")
        raise SystemExit(0)
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            return name, arguments[words:]
    group = [name for name in COMMANDS if name.startswith(f"{arguments[0]} ")]
    if group:
        raise UserError(f"'{arguments[0]}' needs one more word: {', '.join(group)}")
    raise UserError(f"there is no command '{arguments[0]}'{nearest(arguments[0], list(COMMANDS))}; see rapidnet --help")


def overview() -> str:
    lines = ["usage: rapidnet COMMAND [OPTIONS]     rapidnet COMMAND --help", ""]
    lines += [f"  {name:<14}{(cls.__doc__ or '').strip()}" for name, (cls, _) in COMMANDS.items()]
    lines += ["", "  --debug       show the traceback of an error", "  --version     print the version"]
    return "\n".join(lines)


def parse_settings(name: str, arguments: list[str]) -> Any:
    """Parse a command's options into its config object.

    Raises:
        UserError: an unknown option or recipe key (with the nearest name), a value of the wrong type.
    """
    import jsonargparse

    class Parser(jsonargparse.ArgumentParser):
        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            cause: BaseException | None = ex
            while cause is not None and not isinstance(cause, UserError):
                cause = cause.__cause__ or cause.__context__
            raise cause or UserError(explain(message, name, [action.dest for action in self._actions], recipe))

        def format_help(self, *args: Any) -> str:
            return re.sub(r"--[a-z][\w.]*", lambda option: dashed(option[0]), super().format_help(*args))

    jsonargparse.set_parsing_settings(docstring_parse_attribute_docstrings=True)
    cls = COMMANDS[name][0]
    parser = Parser(prog=f"rapidnet {name}", description=cls.__doc__, allow_abbrev=False)
    if name in WITH_RECIPE:
        parser.add_argument("--config", action="config", help="A recipe: a YAML file of the options below.")
    parser.add_class_arguments(cls, as_group=False, as_positional=True)
    options = normalise(arguments, cls)
    recipe = find_recipe(options)
    parsed = parser.instantiate(parser.parse_args(options))
    return cls(**{key: value for key, value in parsed.items() if key != "config"})


def find_recipe(options: list[str]) -> Path | None:
    """The file given with --config, so that a message can name its line."""
    for option, following in pairwise([*options, ""]):
        if option == "--config" or option.startswith("--config="):
            return Path(option.partition("=")[2] or following)
    return None


def normalise(arguments: Sequence[str], cls: type) -> list[str]:
    """Write options with underscores, as the fields are, and one that stands alone with what that means (`=true` for a
    yes/no option); values are left alone."""
    alone = {field.name: "true" if field.type is bool else field.metadata.get(ALONE) for field in fields(cls)}
    out = []
    first = fields(cls)[0]
    if first.type == list[str] and first.default is MISSING:
        # Words up to the first option are one list.
        count = next((i for i, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))
        out, arguments = [json.dumps(arguments[:count])], arguments[count:]
    for argument, following in pairwise([*arguments, ""]):
        if argument.startswith("--"):
            option, equals, value = argument.partition("=")
            name = option[2:].replace("-", "_")
            argument = f"--{name}{equals}{value}"
            meant = alone.get(name)
            followed = following in ("true", "false") if meant == "true" else following[:1] not in ("", "-")
            if not equals and meant and not followed:
                argument += f"={meant}"
        out.append(argument)
    return out


def load_function(target: str) -> Any:
    module, function = target.split(":")
    return getattr(import_module(module), function)
