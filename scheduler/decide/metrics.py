"""What is there to count and to plot? The metrics of a home, from its state and a few readings.

Counters come from the records, so that neither a restart nor a crash sets them back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from policies.evidence import Outcome, VerdictName
from scheduler.decide.ended import EndedRound, verdict_counts
from scheduler.decide.failures import RULES
from scheduler.decide.state import State, open_attempts
from scheduler.decide.usage import Usage

_MIB = 2**20
#: characters of a reason that are kept as a label
_REASON_LENGTH = 200

Kind = Literal["counter", "gauge"]
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One name with its values by label."""

    name: str
    kind: Kind
    help: str
    samples: tuple[tuple[Labels, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSums:
    """What is asked of ended rounds: it changes only when one ends."""

    usage: Usage
    rounds: Mapping[str, int]
    verdicts: Mapping[str, int]
    parked: int

    @classmethod
    def of(cls, ended: Mapping[str, EndedRound]) -> EndedSums:
        verdicts: Counter[str] = Counter()
        for each in ended.values():
            verdicts.update(each.verdicts)
        return cls(
            usage=Usage.total(each.usage for each in ended.values()),
            rounds=Counter(each.outcome for each in ended.values()),
            verdicts=verdicts,
            parked=sum(len(each.parked) for each in ended.values()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What the state does not tell."""

    #: seconds since the epoch
    now: float
    #: whether a daemon serves the home
    is_up: bool
    version: str
    started_at: float
    wait_reason: str | None
    disk_free_bytes: int | None
    disk_floor_bytes: int
    #: the latest reading of the GPU, as `status` shows it
    gpu: Mapping[str, float | None] | None
    #: seconds since the epoch; None where no run ever ended
    last_run_finished_at: float | None


def usage_of(state: State, ended: EndedSums) -> Usage:
    """All that attempts of the home have taken."""
    open_tasks = (task.usage for current in state.rounds.values() for task in current.tasks.values())
    return Usage.total((ended.usage, *open_tasks))


def metrics_of(state: State, ended: EndedSums, readings: Readings) -> tuple[Metric, ...]:
    """Every metric, each with at least one sample."""
    found = (
        *_daemon(state, readings),
        *_queue(state, readings),
        *_runs(usage_of(state, ended), readings),
        *_rounds(state, ended),
        *_machine(readings),
    )
    return tuple(metric for metric in found if metric.samples)


def _daemon(state: State, readings: Readings) -> Iterator[Metric]:
    yield _gauge("up", "Whether a daemon serves the home; still 1 after a kill -9.", readings.is_up)
    yield _gauge("written_timestamp_seconds", "When this file was written.", readings.now)
    yield _gauge("start_timestamp_seconds", "When the daemon started.", readings.started_at)
    yield _by_label("gauge", "build_info", "The version.", "version", {readings.version: 1})
    dirty = {device: device in state.dirty for device in state.devices}
    yield _by_label("gauge", "device_dirty", "Whether a device is set aside.", "device", dirty)


def _queue(state: State, readings: Readings) -> Iterator[Metric]:
    reason = readings.wait_reason
    waiting = {} if reason is None else {reason[:_REASON_LENGTH]: 1}
    yield _gauge("queue_paused", "Whether a person or a failing GPU paused it.", state.paused is not None)
    yield _gauge("queue_draining", "Whether the run in progress is the last.", state.draining is not None)
    yield _gauge("queue_waiting", "Whether nothing runs.", reason is not None)
    yield _by_label("gauge", "queue_waiting_info", "Why nothing runs.", "reason", waiting)
    running = tuple((labels, 1.0) for labels in _running(state))
    yield Metric(name="roundhouse_run_info", kind="gauge", help="The run in progress.", samples=running)


def _running(state: State) -> Iterator[Labels]:
    for current, _, attempt in open_attempts(state):
        if attempt.id in state.live.workers:
            intended = attempt.intended
            yield {
                "round": current.round.id,
                "task": intended.task,
                "stage": intended.stage,
                "config": intended.config,
                "seed": str(intended.seed),
                "device": intended.device,
                "phase": "preparing" if attempt.started is None else "training",
            }


def _runs(usage: Usage, readings: Readings) -> Iterator[Metric]:
    # A counter begins at 0, so that its first step is seen.
    runs = dict.fromkeys(get_args(Outcome), 0) | dict(usage.runs)
    failures = dict.fromkeys(RULES, 0) | dict(usage.failures)
    yield _by_label("counter", "runs_total", "Attempts at runs that ended, by how.", "status", runs)
    yield _by_label("counter", "run_failures_total", "Attempts that failed, by class.", "class", failures)
    yield _counter("runs_reused_total", "Runs that were taken from the cache.", usage.reused)
    yield _counter("probes_total", "Probes of batch sizes that ended.", usage.probes)
    yield _counter("run_seconds_total", "Seconds that attempts had the device.", usage.device_seconds)
    yield _counter("run_train_seconds_total", "Seconds of them in training.", usage.train_seconds)
    yield _counter("run_eval_seconds_total", "Seconds of them in evaluation.", usage.eval_seconds)
    yield _counter("run_startup_seconds_total", "Seconds of preparation before.", usage.startup_seconds)
    yield _counter("run_energy_joules_total", "Energy, as the device told it.", usage.energy_joules)
    ended_at = readings.last_run_finished_at
    if ended_at is not None:
        yield _gauge("last_run_finished_timestamp_seconds", "When a run ended last.", ended_at)


def _rounds(state: State, ended: EndedSums) -> Iterator[Metric]:
    rounds = {"cancelled": 0, "finished": 0, "parked": 0, **ended.rounds, "open": len(state.rounds)}
    yield _by_label("gauge", "rounds", "Rounds by state.", "state", rounds)
    verdicts = Counter(dict.fromkeys(get_args(VerdictName), 0))
    verdicts.update(ended.verdicts)
    for current in state.rounds.values():
        verdicts.update(verdict_counts(current))
    yield _by_label("gauge", "verdicts", "Variants by verdict.", "verdict", verdicts)
    yield _gauge("winners", "Variants that are a WINNER.", verdicts["WINNER"])
    tasks = [task for current in state.rounds.values() for task in current.tasks.values()]
    parked = ended.parked + sum(task.parked is not None for task in tasks)
    yield _gauge("tasks_parked", "Tasks that wait for a person.", parked)


def _machine(readings: Readings) -> Iterator[Metric]:
    if readings.disk_free_bytes is not None:
        yield _gauge("disk_free_bytes", "Free space for results.", readings.disk_free_bytes)
    yield _gauge("disk_floor_bytes", "Below this much free space nothing starts.", readings.disk_floor_bytes)
    told: Mapping[str, Any] = readings.gpu or {}
    for name, key, factor, text in (
        ("gpu_memory_used_bytes", "memory_used_mib", _MIB, "Memory of the GPU in use."),
        ("gpu_memory_total_bytes", "memory_total_mib", _MIB, "Memory of the GPU."),
        ("gpu_utilisation_ratio", "utilisation_percent", 0.01, "Share of time in which the GPU computed."),
        ("gpu_temperature_celsius", "temperature_celsius", 1, "Temperature of the GPU."),
    ):
        if told.get(key) is not None:
            yield _gauge(name, text, told[key] * factor)


def _gauge(name: str, text: str, value: float) -> Metric:
    return Metric(name=f"roundhouse_{name}", kind="gauge", help=text, samples=(({}, float(value)),))


def _counter(name: str, text: str, value: float) -> Metric:
    return Metric(name=f"roundhouse_{name}", kind="counter", help=text, samples=(({}, float(value)),))


def _by_label(kind: Kind, name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    samples = tuple(({label: key}, float(value)) for key, value in sorted(values.items()))
    return Metric(name=f"roundhouse_{name}", kind=kind, help=text, samples=samples)


def exposition(metrics: tuple[Metric, ...]) -> bytes:
    """The metrics in the text format of Prometheus, version 0.0.4."""
    lines: list[str] = []
    for metric in metrics:
        lines.append(f"# HELP {metric.name} {_escaped(metric.help)}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        lines += [f"{metric.name}{_label_text(labels)} {_number(value)}" for labels, value in metric.samples]
    return ("\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _label_text(labels: Labels) -> str:
    if not labels:
        return ""
    quoted = (f'{name}="{_escaped(value, quote=True)}"' for name, value in labels.items())
    return "{" + ",".join(quoted) + "}"


def _escaped(text: str, *, quote: bool = False) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    return escaped.replace('"', '\\"') if quote else escaped


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(value)
