"""A real daemon meets programs that fail as programs do: it mends what it can, waits, or says what helps."""

from __future__ import annotations

import pytest
from real_home import PATIENCE_SECONDS, Home

TRAIN = """
import os, sys
bsz, n, score, what = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
print("loading", flush=True)
if what == "large" and bsz > 40:
    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 23.65 GiB in all")
if n > 374:
    raise RuntimeError(f"Only built 374 examples (wanted {n})")
if what == "full" and not os.path.exists("was_full"):
    open("was_full", "w").close()
    raise OSError(28, "No space left on device", "checkpoint.pt")
print(f"Step 1 | val_acc: {score}")
"""

SPEC = """
round = "{name}"
[stages.quick]
max_steps = 1
time_budget_sec = 60
[stages.medium]
max_steps = 2
time_budget_sec = 60
[policy]
name = "threshold"
d_acc = 0.3
[[tasks]]
name = "sums"
trainer = "command"
bsz = [64, 32]
[tasks.args]
inputs = ["fails.py"]
n_train = {n_train}
argv = ["python3", "fails.py", "{{bsz}}", "{{n_train}}", "{{score}}", "{{what}}"]
metrics = {{ acc = 'val_acc: (?P<value>[0-9.]+)' }}
[tasks.baseline]
score = 0.5
what = "plain"
[tasks.variants.other]
score = 0.7
what = "{what}"
"""


def drop(home: Home, name: str, *, n_train: int = 100, what: str = "plain") -> None:
    (home.paths.root / "fails.py").write_text(TRAIN)
    home.drop(name, SPEC.format(name=name, n_train=n_train, what=what))


def ended(home: Home, name: str) -> list[tuple[str, str, int, str]]:
    return [(e["stage"], e["config"], e["bsz"], e["status"]) for e in home.events(name, "run_finished")]


@pytest.mark.fault(
    "a run is out of memory",
    moment="when some runs of its task have finished",
    outcome="the whole task runs with the next smaller batch, baseline first; finished runs are kept",
)
def test_out_of_memory_lowers_the_batch_size_of_the_whole_task_baseline_first(home: Home) -> None:
    drop(home, "night", what="large")
    assert home.start("--until-idle").wait(timeout=PATIENCE_SECONDS) == 0
    runs = ended(home, "night")
    failed = runs.index(("quick", "other", 64, "failed"))
    assert runs[:failed] == [("quick", "baseline", 64, "ok")]
    again = [("quick", "baseline"), ("quick", "other"), ("medium", "baseline"), ("medium", "other")]
    assert runs[failed + 1 :] == [(stage, config, 32, "ok") for stage, config in again]
    [rebatched] = home.events("night", "task_rebatched")
    assert {e["protocol"] for e in home.events("night", "run_finished") if e["bsz"] == 64} <= {
        *rebatched["superseded"]
    }
    summary = home.paths.round("night").summary_text.read_text()
    assert "superseded, and kept: 2 runs at bsz=64" in " ".join(summary.split())
    verdicts = {e["config"]: e["verdict"] for e in home.events("night", "verdict_reached")}
    assert verdicts == {"other": "SUGGESTIVE"}


@pytest.mark.fault(
    "the data has fewer examples than asked for, and then a disk is full",
    moment="when runs meet it",
    outcome="the suggested spec runs; the queue waits for space and goes on by itself",
)
def test_a_round_that_asks_for_too_much_leads_to_one_that_ends_although_a_disk_is_full(
    home: Home,
) -> None:
    with home.paths.settings.open("a") as settings:
        settings.write("disk_backoff_seconds = 0.3\n")
    drop(home, "night", n_train=900, what="full")
    assert home.start("--until-idle").wait(timeout=PATIENCE_SECONDS) == 0
    paths = home.paths.round("night")
    told = home.schedctl("why", "night", "sums").stdout
    for words in (
        "sums is parked (data)",
        "Only built 374 examples (wanted 900)",
        "n_train = 374 instead of 900",
        "error.txt",
        "    loading\n",
        "schedctl retry night sums",
        f"schedctl submit {paths.suggested}",
    ):
        assert words in told
    for text in (home.log(), paths.summary_text.read_text(), home.schedctl("why").stdout):
        assert "results/night/suggested.toml" in text
    before = paths.suggested.read_bytes()
    paths.suggested.unlink()
    assert home.schedctl("rebuild", "night").returncode == 0
    assert paths.suggested.read_bytes() == before
    assert home.schedctl("submit", str(paths.suggested)).returncode == 0
    assert home.start("--until-idle").wait(timeout=PATIENCE_SECONDS) == 0
    assert [fact["outcome"] for fact in home.events("night-fix", "round_finished")] == ["finished"]
    assert "WAIT reason=disk: a run of night-fix/sums found no space" in home.log()
    ends = [e for e in home.events("night-fix", "run_finished") if e["config"] == "other"]
    assert [(e["attempt"], e["status"]) for e in ends][:2] == [(1, "failed"), (2, "ok")]
