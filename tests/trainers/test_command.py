"""The trainer that runs any program: its config, its fingerprint, and real programs."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from trainers import command
from trainers._failures import failure_of
from trainers.command import _template
from trainers.command._program import Invocation, Program
from trainers.contract import (
    BadArgumentsError,
    Context,
    DataError,
    Evaluation,
    StopObserved,
    TimeBudgetReached,
)

DESIGN_EXAMPLE = {
    "cwd": ".",
    "env": {"WANDB_MODE": "offline"},
    "inputs": ["train.py", "data/*.txt"],
    "argv": [
        *("python3", "train.py", "--lr", "{lr}", "--seed", "{seed}", "--steps", "{steps}"),
        *("--out", "{run_dir}"),
    ],
    "metrics": {"loss": "val_loss: (?P<value>[0-9.eE+-]+)"},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    return tmp_path


def context(home: Path, **changes: Any) -> Context:
    fields: dict[str, Any] = {
        "seed": 7,
        "stage": "quick",
        "max_steps": 30,
        "time_budget_sec": 30.0,
        "eval_every": None,
        "n_eval": None,
        "bsz": 16,
        "device": "cpu",
        "threads": 1,
        "cache_dir": home / "cache",
        "run_dir": home / "run",
    }
    return Context(**{**fields, **changes})


def config(**fields: Any) -> command.Config:
    return command.Config.model_validate(fields)


def run(home: Path, *, given: Context | None = None, **fields: Any) -> list[Evaluation]:
    given = given or context(home)
    prepared = command.prepare(config(**fields), dataclasses.replace(given, run_dir=None))
    return list(command.train(prepared, given))


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def problems(**fields: Any) -> list[tuple[str | None, str]]:
    with pytest.raises(ValidationError) as caught:
        config(**fields)
    (detail,) = caught.value.errors()
    return [tuple(problem) for problem in detail["ctx"]["problems"]]


# The config


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("{lr}", "0.0005"),
        ("--lr={lr}", "--lr=0.0005"),
        ("{{lr}}", "{lr}"),
        ("{{{lr}}}", "{0.0005}"),
        ('{{"a": {lr}}}', '{"a": 0.0005}'),
        ("{on}{off}", "truefalse"),
        ("{max-len}", "9"),
        ("plain", "plain"),
    ],
)
def test_a_template_is_filled(template: str, filled: str) -> None:
    values = {"lr": 5e-4, "on": True, "off": False, "max-len": 9}
    assert _template.fill(template, values) == filled


def test_every_placeholder_that_is_given_can_be_used() -> None:
    config(argv=["p", "{seed}{steps}{seconds}{bsz}{run_dir}{device}"])


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"argv": ["p", "{sed}"]}, "argv.1", "unknown placeholder {sed}; did you mean 'seed'?"),
        ({"argv": ["p", "{x"]}, "argv.1", "a lone {"),
        ({"argv": ["p", "x}"]}, "argv.1", "write }} for the character"),
        ({"argv": ["p"], "env": {"A": "{b}"}}, "env.A", "unknown placeholder {b}"),
        ({"argv": ["p", "{lr}"], "lr": 1, "rl": 2}, "rl", "use no {rl}"),
        ({"argv": ["p"], "metrcs": "x"}, "metrcs", "did you mean 'metrics'?"),
        ({"argv": ["p", "{lr}"], "lr": [1, 2]}, "lr", "must be text, a number or a boolean, not list"),
        ({"argv": ["p", "{seed}"], "seed": 1}, "seed", "given by the round"),
        ({"argv": ["p"], "metrics": {"loss": "("}}, "metrics.loss", "no regular expression"),
        ({"argv": ["p"], "metrics": {"loss": "x"}}, "metrics.loss", "no group (?P<value>...)"),
        ({"argv": ["p"], "metrics_file": "m.csv"}, "metrics_file", ".jsonl or .json"),
    ],
)
def test_a_config_that_cannot_work_is_refused(fields: dict[str, Any], field: str, said: str) -> None:
    ((named, message),) = problems(**fields)
    assert named == field
    assert said in message


def test_all_problems_of_a_command_come_at_once() -> None:
    found = problems(argv=["p", "{sed}"], env={"A": "{b}"}, extra=3, metrics={"loss": "x"})
    assert [field for field, _ in found] == ["argv.1", "env.A", "extra", "metrics.loss"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"argv": ["p", "{steps}"]}, True),
        ({"argv": ["p"], "env": {"STEPS": "{steps}"}}, True),
        ({"argv": ["p", "{seconds}"]}, False),
        ({"argv": ["p", "{{steps}}"]}, False),
    ],
)
def test_steps_mean_something_where_they_are_asked_for(fields: dict[str, Any], expected: bool) -> None:
    assert command.HAS_STEPS(config(**fields)) is expected


# The fingerprint


def git(home: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=e@x.example"]
    subprocess.run(["git", "-C", str(home), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(home: Path) -> Path:
    git(home, "init", "-q")
    for folder in ("queue", "results", "data"):
        (home / folder).mkdir()
    (home / ".gitignore").write_text("ignored/\n")
    (home / "train.py").write_text("print(1)\n")
    (home / "queue/spec.toml").write_text("")
    git(home, "add", ".")
    git(home, "commit", "-q", "-m", "first")
    return home


def test_a_variants_values_are_not_in_the_fingerprint(home: Path) -> None:
    one = command.fingerprint(config(argv=["p", "{lr}"], lr=1))
    other = command.fingerprint(config(argv=["p", "{lr}"], lr=2))
    assert one == other
    assert not one.is_complete


@pytest.mark.parametrize(
    "change",
    [
        {"argv": ["q", "{lr}"]},
        {"env": {"A": "1"}},
        {"metrics_file": "m.json"},
        {"metrics": {"loss": "(?P<value>x)"}},
    ],
)
def test_what_is_executed_and_read_is_in_the_fingerprint(home: Path, change: dict[str, Any]) -> None:
    base = {"argv": ["p", "{lr}"], "lr": 1}
    assert command.fingerprint(config(**base)) != command.fingerprint(config(**{**base, **change}))


def test_inputs_are_hashed_by_content_and_name(home: Path) -> None:
    (home / "data").mkdir()
    (home / "data/a.txt").write_text("a")
    wanted = config(argv=["p"], inputs=["data/*.txt", str(home / "data")])
    first = command.fingerprint(wanted)
    assert first.is_complete
    assert set(first.parts) == {"command", "data/*.txt", str(home / "data")}
    os.utime(home / "data/a.txt", ns=(1, 1))
    assert command.fingerprint(wanted) == first
    (home / "data/a.txt").write_text("b")
    second = command.fingerprint(wanted)
    assert second.parts["data/*.txt"] != first.parts["data/*.txt"]
    assert second.digest != first.digest
    (home / "data/a.txt").rename(home / "data/c.txt")
    assert command.fingerprint(wanted).digest != second.digest


def test_every_input_that_matches_nothing_is_listed(home: Path) -> None:
    with pytest.raises(DataError, match=r"no\.py, data/\*\.txt") as caught:
        command.fingerprint(config(argv=["p"], inputs=["no.py", "data/*.txt"]))
    assert caught.value.field == "inputs"


def test_a_checkout_is_enough_to_know_what_a_result_depends_on(checkout: Path) -> None:
    assert command.fingerprint(config(argv=["p"])).is_complete


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("train.py", True),
        ("new.py", True),
        ("data/new.txt", True),
        ("ignored/x", False),
        ("queue/spec.toml", False),
        ("queue/active/spec.toml", False),
        ("results/launcher.log", False),
    ],
)
def test_a_change_in_the_checkout_counts_but_not_one_of_the_spool(
    checkout: Path, path: str, counts: bool
) -> None:
    before = command.fingerprint(config(argv=["p"]))
    (checkout / path).parent.mkdir(exist_ok=True)
    (checkout / path).write_text("changed\n")
    assert (command.fingerprint(config(argv=["p"])) != before) is counts


def test_a_commit_counts(checkout: Path) -> None:
    before = command.fingerprint(config(argv=["p"]))
    git(checkout, "commit", "-q", "--allow-empty", "-m", "second")
    assert command.fingerprint(config(argv=["p"])) != before


def test_an_ignored_folder_of_a_checkout_is_not_kept_by_git(checkout: Path) -> None:
    (checkout / "ignored").mkdir()
    assert not command.fingerprint(config(argv=["p"], cwd="ignored")).is_complete


# Preparation


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"argv": ["no-such-program"]}, "is not on the PATH of commands"),
        ({"argv": ["./no/such"]}, "does not exist"),
        ({"argv": ["./plain.txt"]}, "is not executable"),
        ({"argv": ["sh"], "cwd": "nowhere"}, "cwd 'nowhere' is no folder"),
    ],
)
def test_a_command_that_cannot_be_started_is_refused(home: Path, fields: dict[str, Any], said: str) -> None:
    (home / "plain.txt").write_text("")
    with pytest.raises(BadArgumentsError, match=said):
        command.prepare(config(**fields), context(home))


@pytest.mark.parametrize(("field", "name"), [("max_steps", "steps"), ("bsz", "bsz")])
def test_a_placeholder_without_a_value_is_refused(home: Path, field: str, name: str) -> None:
    with pytest.raises(BadArgumentsError, match=f"asks for {{{name}}}"):
        command.prepare(config(argv=["sh", f"{{{name}}}"]), context(home, **{field: None}))


def test_preparation_starts_and_writes_nothing(home: Path) -> None:
    before = sorted(home.rglob("*"))
    command.prepare(config(argv=shell("touch ran")), context(home, run_dir=None))
    assert sorted(home.rglob("*")) == before


# Running


def test_the_example_of_the_design_runs_as_it_stands(home: Path) -> None:
    (home / "data").mkdir()
    (home / "data/a.txt").write_text("a")
    (home / "train.py").write_text(
        "import os, sys\nassert os.environ['WANDB_MODE'] == 'offline'\nprint(sys.argv[1:])\n"
        "print('val_loss: 2.5')\nprint('val_loss: 1.5e0')\n"
    )
    last = run(home, **DESIGN_EXAMPLE, lr=0.01)[-1]
    assert (last.step, last.loss, last.acc, last.extra) == (2, 1.5, None, {})


def test_placeholders_are_filled_for_the_program(home: Path) -> None:
    argv = [
        "sh",
        "-c",
        'echo "$@" $E > seen; echo METRIC loss=1',
        "sh",
        "{seed} {steps} {seconds} {bsz} {device} {lr}",
    ]
    run(home, argv=argv, env={"E": "{run_dir}"}, lr=1e-3)
    assert (home / "seen").read_text() == f"7 30 30 16 cpu 0.001 {home}/run/command\n"


def test_the_last_value_wins(home: Path) -> None:
    found = run(home, argv=shell("for i in 3 2 4; do echo step $i val_loss: $i; done"))
    assert [(e.step, e.loss) for e in found] == [(3, 3.0), (2, 2.0), (4, 4.0)]


@pytest.mark.parametrize("end", ["\\n", "\\r", "\\r\\n", ""])
def test_a_line_may_end_in_any_way(home: Path, end: str) -> None:
    assert run(home, argv=shell(f"printf 'val_loss: 1{end}'"))[-1].loss == 1.0


def test_stderr_is_read_too(home: Path) -> None:
    assert run(home, argv=shell("echo val_loss: 1 >&2"))[-1].loss == 1.0


def test_a_run_without_a_metric_has_failed(home: Path) -> None:
    with pytest.raises(BadArgumentsError, match="reported no metric: no line reads like"):
        run(home, argv=shell("echo loss: 3"))


@pytest.mark.parametrize("name", ["metrics.jsonl", "metrics.json"])
def test_a_metrics_file_lies_in_the_commands_folder(home: Path, name: str) -> None:
    script = 'echo \'{{"step": 4, "loss": 0.5}}\' > "$1"/' + name
    found = run(home, argv=[*shell(script), "sh", "{run_dir}"], metrics_file=name)
    assert [(e.step, e.loss) for e in found] == [(4, 0.5)]


def test_a_metrics_file_may_be_anywhere_and_must_be_of_this_run(home: Path) -> None:
    path = home / "metrics.jsonl"
    path.write_text('{"loss": 9}\n')
    fields = {"argv": shell("echo '{{\"loss\": 1}}' >> metrics.jsonl"), "metrics_file": str(path)}
    assert [e.loss for e in run(home, **fields)] == [1.0]
    with pytest.raises(BadArgumentsError, match=r"metrics\.jsonl was not written"):
        run(home, argv=shell("true"), metrics_file=str(path))


@pytest.mark.parametrize(
    ("script", "failure_class", "message"),
    [
        ("echo val_loss: 1; echo 'it broke'; exit 3", "crash", "the program ended with status 3: it broke"),
        ("exit 1", "crash", "the program ended with status 1"),
        ("echo 'torch.OutOfMemoryError: CUDA out of memory.'; exit 1", "oom", "CUDA out of memory"),
        ("echo 'OSError: [Errno 28] No space left on device'; exit 1", "disk", "No space left"),
        ("echo 'httpx.ConnectError: x'; exit 1", "network", "httpx"),
        ("kill -9 $$", "killed", "was killed by signal 9"),
        ("kill -SEGV $$", "crash", "was killed by signal 11"),
    ],
)
def test_a_program_that_fails_fails_the_run_whatever_it_reported(
    home: Path, script: str, failure_class: str, message: str
) -> None:
    with pytest.raises(command.ProgramError) as caught:
        run(home, argv=shell(script))
    failure = failure_of(caught.value)
    assert failure.failure_class == failure_class
    assert message in failure.message


@pytest.mark.fault(
    "the kernel's out-of-memory killer ends a program",
    moment="while it trains",
    outcome="the run failed as oom, and the batch size is lowered",
)
@pytest.mark.parametrize("script", ["kill -9 $$", "sh -c 'kill -9 $$'; exit 137"])
def test_a_program_that_the_kernel_ended_for_want_of_memory_ran_out_of_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    counts = iter((4, 5))
    monkeypatch.setattr(command, "oom_kills", lambda: next(counts))
    with pytest.raises(command.ProgramError, match="out of memory") as caught:
        run(home, argv=shell(script))
    assert failure_of(caught.value).failure_class == "oom"


def test_the_message_is_the_exception_and_not_what_is_printed_below_it(home: Path) -> None:
    script = "try:\n  raise ValueError('wrong width')\nfinally:\n  import atexit\n"
    script += "  atexit.register(print, 'synced 3 files')"
    with pytest.raises(command.ProgramError, match=r"status 1: ValueError: wrong width$"):
        run(home, argv=[sys.executable, "-c", script])


def test_the_failures_text_is_what_the_program_said(home: Path) -> None:
    with pytest.raises(command.ProgramError) as caught:
        run(home, argv=[sys.executable, "-c", "raise ValueError('wrong width')"])
    text = failure_of(caught.value).text
    assert text.startswith("Traceback")
    assert text.endswith("ValueError: wrong width")
    assert "_program.py" not in text


def test_the_time_budget_ends_a_program_and_keeps_its_readings(home: Path) -> None:
    script = "trap 'echo val_loss: 1; exit 0' TERM; echo val_loss: 2; while :; do sleep 0.05; done"
    prepared = command.prepare(config(argv=shell(script)), context(home))
    found: list[float | None] = []
    with pytest.raises(TimeBudgetReached):
        found.extend(e.loss for e in command.train(prepared, context(home, time_budget_sec=0.3)))
    assert found == [2.0, 1.0]


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace_period(home: Path) -> None:
    fields = {"argv": shell("trap '' TERM; while :; do sleep 0.05; done"), "grace_seconds": 0.3}
    began_at = time.monotonic()
    with pytest.raises(TimeBudgetReached):
        run(home, given=context(home, time_budget_sec=0.2), **fields)
    assert 0.5 <= time.monotonic() - began_at < 3


def test_a_stop_is_observed_while_the_program_is_silent(home: Path) -> None:
    began_at = time.monotonic()
    given = context(home, is_stopping=lambda: time.monotonic() - began_at > 0.2)
    with pytest.raises(StopObserved):
        run(home, given=given, argv=shell("sleep 600"))
    assert time.monotonic() - began_at < 5


def test_closing_the_generator_ends_the_program(home: Path) -> None:
    script = "echo $$ > pid; echo val_loss: 1; exec sleep 600"
    evaluations = command.train(command.prepare(config(argv=shell(script)), context(home)), context(home))
    next(iter(evaluations))
    pid = int((home / "pid").read_text())
    assert psutil.pid_exists(pid)
    evaluations.close()
    assert not psutil.pid_exists(pid)


def test_much_output_is_read_to_its_end(home: Path) -> None:
    script = "for i in range(50_000): print('filler', i)\nprint('val_loss: 0.5')"
    assert run(home, argv=[sys.executable, "-c", script])[-1].loss == 0.5


def test_a_program_dies_with_the_thread_that_runs_it(home: Path) -> None:
    found = []

    def start() -> None:
        invocation = Invocation(program="/bin/sleep", argv=("sleep", "600"), cwd=home, environment={})
        found.append(Program(invocation, 1.0))
        wait_for(lambda: psutil.Process(found[0]._process.pid).name() == "sleep")

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert found[0]._process.wait(timeout=10) == -9
    with found[0]:
        pass


def test_a_program_sees_neither_our_paths_nor_our_virtual_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("VIRTUAL_ENV", "/ours/venv")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("HF_HOME", "/models")
    monkeypatch.setenv("PATH", f"/ours/venv/bin:{Path(sys.prefix, 'bin')}:{os.defpath}")
    run(home, argv=shell("env > seen; echo val_loss: 1"), env={"MINE": "{x}"}, x=3)
    seen = dict(line.split("=", 1) for line in (home / "seen").read_text().splitlines())
    assert not {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONSAFEPATH"} & seen.keys()
    assert seen["PATH"] == os.defpath
    assert (seen["MINE"], seen["HF_HOME"]) == ("3", "/models")


def test_a_program_starts_with_signals_as_a_shell_would_give_them(home: Path) -> None:
    code = "import signal; print('METRIC loss=%d' % (signal.getsignal(signal.SIGINT) == signal.SIG_IGN))"
    assert run(home, argv=[sys.executable, "-c", code])[-1].loss == 0.0
    # `yes` is ended by SIGPIPE; with the signal ignored it would complain about a broken pipe
    run(home, argv=shell("yes 2>err | head -1; echo val_loss: 1"))
    assert (home / "err").read_text() == ""


def wait_for(condition: Callable[[], Any], timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    wait_for(lambda: not [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE])


CHECKPOINTS = "mkdir -p {run_dir}/ckpt/a; echo w > {run_dir}/ckpt/a/w.pt; echo w > {run_dir}/last.pt"


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_checkpoints_are_set_apart_once_the_program_has_ended_well(home: Path) -> None:
    script = f'{CHECKPOINTS}; echo \'{{{{"step": 1, "loss": 2}}}}\' > {{run_dir}}/metrics.jsonl'
    patterns = ["ckpt", "ckpt/a/*.pt", "*.pt", "metrics.jsonl", "never-written-*"]
    run(home, argv=shell(script), metrics_file="metrics.jsonl", checkpoints=patterns)
    assert below(home / "run" / "checkpoint") == {"ckpt/a/w.pt", "last.pt"}
    assert below(home / "run" / "command") == {"metrics.jsonl"}


@pytest.mark.parametrize("ending", ["exit 3", "true", "kill -9 $$"])
def test_a_failed_program_keeps_its_checkpoints_where_it_wrote_them(home: Path, ending: str) -> None:
    with pytest.raises(Exception, match="the program"):
        run(home, argv=shell(f"{CHECKPOINTS}; {ending}"), checkpoints=["ckpt", "*.pt"])
    assert below(home / "run" / "command") == {"ckpt/a/w.pt", "last.pt"}
    assert not (home / "run" / "checkpoint").exists()


def test_nothing_behind_a_link_is_taken_for_a_checkpoint(home: Path) -> None:
    (home / "precious").mkdir()
    (home / "precious" / "model.pt").write_text("mine")
    script = "ln -s ../../precious {run_dir}/ckpt; echo 'val_loss: 1'"
    run(home, argv=shell(script), checkpoints=["ckpt/*.pt"])
    assert (home / "precious" / "model.pt").exists()
    assert not (home / "run" / "checkpoint").exists()


@pytest.mark.parametrize("pattern", ["/etc/*", "../other", "a/../../b", ""])
def test_checkpoints_lie_below_the_run(pattern: str) -> None:
    with pytest.raises(ValidationError, match="must lead to files below"):
        config(argv=["true"], checkpoints=[pattern])
