"""How is this daemon to behave? `roundhouse.toml`, every key optional (see docs/settings.md)."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scheduler.rounds.errors import SettingsError
from scheduler.rounds.notice import NOTICE_KINDS, NotifySettings, is_address
from scheduler.rounds.problems import NOTHING, Problem, printable, rendered, unknown_words
from scheduler.rounds.retention_settings import KEPT_CHECKPOINTS, RetentionSettings
from scheduler.rounds.windows import Window

#: longer than any wait that makes sense, short enough for every clock: a year
MAX_SECONDS = 31_536_000.0

MAX_ADDRESS_LENGTH = 2000

_DEVICE = re.compile(r"auto|cpu|cuda:[0-9]{1,3}|GPU-[0-9A-Fa-f-]{4,60}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


#: how a value is read; raises ValueError where it cannot be used
Rule = Callable[[Any], Any]
Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list, each entry of which is read by the rule."""

    rule: Rule


Rules = Mapping[str, Rule | ListOf]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The daemon's settings. A field's default holds where the file does not set it."""

    #: "auto" (the first GPU, or else the CPU), "cpu", "cuda:N" as nvidia-smi counts, or a GPU's uuid
    device: str = "auto"
    #: CPU threads of one run; part of the protocol
    threads: int = 1
    #: a copied file that cannot be read as a spec is rejected after this long without a change
    quiet_period_seconds: float = 30.0
    #: queue, free space and windows are looked at this often even when nothing was heard of them
    rescan_seconds: float = 5.0
    #: what a run has between being asked to stop and being killed
    grace_seconds: float = 10.0
    #: below this much free space below `results/` nothing starts
    disk_floor_mib: float = 1024.0
    #: runs start only within these; empty means always
    windows: tuple[Window, ...] = ()
    #: whether `queue/` and `results/` may lie on a network file system, where locks and renames promise less
    allow_network_filesystem: bool = False
    #: tries of a run that infrastructure ended, the first included
    max_attempts: int = 3
    #: wait before the second try after a network failure; doubled for each further one
    network_backoff_seconds: float = 60.0
    #: wait of the queue after a run found a disk full; doubled for each further one, up to an hour
    disk_backoff_seconds: float = 30.0
    #: environment variables that runs see beside the usual ones
    environment: tuple[str, ...] = ()
    #: a run that was not heard of for this long, and used no CPU time either, is ended as hung
    heartbeat_timeout_seconds: float = 60.0
    #: a run that made no evaluation for this long, and used no CPU time either, is ended as hung; 0 for never
    hung_timeout_seconds: float = 3600.0
    #: whether the run predicted to be next is prepared on the CPU while one trains
    prepare_ahead: bool = True
    #: whether it opens its CUDA context then, too
    context_ahead: bool = False
    #: whether a baseline that ran in an earlier round is taken from the ledger, and not run again
    reuse_baselines: bool = True
    #: whether any run that an earlier round made is taken from its records, and not run again
    reuse_results: bool = True
    #: one in so many reused runs of baselines is run anew and compared with what is stored; 0 for none
    baseline_check_every: int = 0
    #: whether a run that shared its GPU with foreign processes is made once more
    repeat_contaminated: bool = True
    #: a run that is still preparing (imports, data, model) after this long is ended as hung
    prepare_timeout_seconds: float = 3600.0
    #: where a person who is away is told of what happens, and of what; the table [notify]
    notify: NotifySettings = field(default_factory=NotifySettings)
    #: how long what takes room stays; the table [retention]
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    #: launcher.log begins a new file before it grows beyond this; 0 for never
    log_max_mib: float = 16.0
    #: older files of launcher.log that are kept
    log_files_kept: int = 5
    #: what an hour of this machine costs, for cost ledgers; 0 where nobody says
    cost_per_hour: float = 0.0
    #: in which the cost is told
    currency: str = "USD"


def load_settings(path: Path) -> Settings:
    """The settings in the file at `path`; the defaults when there is none.

    Raises SettingsError with every problem of the file.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        data = tomllib.loads(text)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not TOML: {printable(str(error))}") from error
    problems: list[Problem] = []
    values = _values(data, problems)
    if problems:
        lines = "".join(f"\n  {problem}" for problem in rendered(problems))
        raise SettingsError(
            f"{path} has settings that cannot be used:{lines}\ndocs/settings.md tells every key."
        )
    return Settings(**values)


def _values(data: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    return _table(_RULES, (), data, problems)


def _table(rules: Rules, path: Place, data: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in data.items():
        place = (*path, key)
        if key in rules:
            values[key] = _read(rules[key], place, value, problems)
        elif not path and key in _TABLES:
            values[key] = _inner(key, value, problems)
        else:
            known = [*rules, *(() if path else _TABLES)]
            problems.append(_problem(place, unknown_words("key", key, known), value))
    return values


def _inner(key: str, value: Any, problems: list[Problem]) -> Any:
    if not isinstance(value, dict):
        problems.append(_problem((key,), f"must be a table, [{key}]", value))
        return NOTHING
    made, rules = _TABLES[key]
    count = len(problems)
    values = _table(rules, (key,), value, problems)
    return made(**values) if len(problems) == count else NOTHING


def _read(rule: Rule | ListOf, path: Place, value: Any, problems: list[Problem]) -> Any:
    if isinstance(rule, ListOf):
        if not isinstance(value, list):
            problems.append(_problem(path, "must be a list of strings", value))
            return ()
        return tuple(_read(rule.rule, (*path, i), item, problems) for i, item in enumerate(value))
    try:
        return rule(value)
    except ValueError as error:
        problems.append(_problem(path, str(error), value))
        return NOTHING


def _problem(path: Place, message: str, value: Any) -> Problem:
    """An address is a secret even where it is wrong, or in the wrong place."""
    is_secret = path[0] == "notify" or "://" in str(value)
    return Problem(path=path, message=message, found=NOTHING if is_secret else value)


def _device(value: Any) -> str:
    if not isinstance(value, str) or not _DEVICE.fullmatch(value):
        raise ValueError('must be "auto", "cpu", "cuda:N" or the uuid of a GPU')
    return value


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def rule(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return rule


def _number(least: float, most: float) -> Callable[[Any], float]:
    def rule(value: Any) -> float:
        is_number = type(value) in (int, float) and math.isfinite(value)
        if not is_number or not least <= value <= most:
            raise ValueError(f"must be a number from {least:g} to {most:g}")
        return float(value)

    return rule


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _window(value: Any) -> Window:
    if not isinstance(value, str):
        raise ValueError('must be a string like "22:00-07:00"')
    return Window.parse(value)


def _currency(value: Any) -> str:
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise ValueError('must be a code of three letters, such as "EUR"')
    return value


def _variable(value: Any) -> str:
    if not isinstance(value, str) or not _VARIABLE.fullmatch(value):
        raise ValueError("must be the name of an environment variable")
    return value


def _address(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_ADDRESS_LENGTH or not is_address(value):
        raise ValueError('must be an address such as "discord://...", or "env:NAME" of a variable')
    return value


def _notice_kind(value: Any) -> str:
    if value not in NOTICE_KINDS:
        raise ValueError(f"must be one of {', '.join(NOTICE_KINDS)}")
    return str(value)


def _kept_checkpoints(value: Any) -> str:
    if value not in KEPT_CHECKPOINTS:
        raise ValueError(f"must be one of {', '.join(KEPT_CHECKPOINTS)}")
    return str(value)


#: how each key is read
_RULES: Rules = {
    "device": _device,
    "threads": _whole(1, 1024),
    "quiet_period_seconds": _number(0.0, MAX_SECONDS),
    "rescan_seconds": _number(1.0, MAX_SECONDS),
    "grace_seconds": _number(0.0, MAX_SECONDS),
    "disk_floor_mib": _number(0.0, 1e9),
    "windows": ListOf(_window),
    "allow_network_filesystem": _flag,
    "max_attempts": _whole(1, 100),
    "network_backoff_seconds": _number(0.0, MAX_SECONDS),
    "disk_backoff_seconds": _number(0.0, MAX_SECONDS),
    "environment": ListOf(_variable),
    # a worker is heard of every two seconds
    "heartbeat_timeout_seconds": _number(5.0, MAX_SECONDS),
    "hung_timeout_seconds": _number(0.0, MAX_SECONDS),
    "prepare_ahead": _flag,
    "context_ahead": _flag,
    "reuse_baselines": _flag,
    "reuse_results": _flag,
    "baseline_check_every": _whole(0, 1_000_000),
    "repeat_contaminated": _flag,
    "prepare_timeout_seconds": _number(5.0, MAX_SECONDS),
    "log_max_mib": _number(0.0, 1e6),
    "log_files_kept": _whole(0, 100),
    "cost_per_hour": _number(0.0, 1e6),
    "currency": _currency,
}

#: what a table is made into, and how its keys are read
_TABLES: dict[str, tuple[Callable[..., Any], Rules]] = {
    "notify": (NotifySettings, {"urls": ListOf(_address), "on": ListOf(_notice_kind)}),
    "retention": (
        RetentionSettings,
        {
            "keep_checkpoints": _kept_checkpoints,
            "keep_run_folders_days": _number(0.0, 1e6),
            "keep_rounds": _whole(0, 1_000_000),
            "max_results_gib": _number(0.0, 1e9),
        },
    ),
}
