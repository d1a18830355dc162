"""A baseline that a real daemon ran once serves its later rounds, until the code or the machine changes."""

from __future__ import annotations

from real_home import TRAIN, Home

#: reads what no protocol knows of, as a driver or a hot GPU would be
DRIFTING_TRAIN = """
import pathlib, random, sys
shift = pathlib.Path("hidden")
score, seed = float(sys.argv[1]), int(sys.argv[2])
score += random.Random(seed).gauss(0.0, 0.01) + (float(shift.read_text()) if shift.exists() else 0.0)
print(f"Step 1 | val_acc: {score:.4f}", flush=True)
"""

MEASURING = """
round = "{name}"
[stages.medium]
time_budget_sec = 60
[[tasks]]
name = "sums"
trainer = "command"
seeds = [0, 1, 2, 3]
[tasks.args]
inputs = ["drifting.py"]
argv = ["python3", "drifting.py", "{{score}}", "{{seed}}"]
metrics = {{ acc = 'val_acc: (?P<value>[0-9.]+)' }}
[tasks.baseline]
score = 0.5
"""


def ran(home: Home, round_id: str) -> list[tuple[str, str]]:
    return [(record["stage"], record["config"]) for record in home.events(round_id, "run_started")]


def test_the_second_round_of_a_task_runs_its_variants_only(home: Home) -> None:
    home.paths.settings.write_text(f"{home.paths.settings.read_text()}reuse_results = false\n")
    home.start()
    home.drop("one", home.spec("one"))
    home.wait_for("one")
    home.kill()
    home.start()
    home.drop("two", home.spec("two"))
    home.wait_for("two")
    assert ran(home, "two") == [("quick", "good"), ("medium", "good"), ("quick", "bad")]
    assert "CACHE task=sums stage=quick cfg=baseline seed=0 acc=50.00%" in home.log()
    assert "from=one/sums.quick.baseline.s0.a1" in home.log()
    verdicts = [
        [(record["config"], record["verdict"]) for record in home.events(name, "verdict_reached")]
        for name in ("one", "two")
    ]
    assert verdicts[0] == verdicts[1]
    cached = [record for record in home.events("two", "run_finished") if record["cached_from"]]
    original = home.events("one", "run_finished")[0]
    assert [cached[0][name] for name in ("value", "curve", "evaluations", "protocol")] == [
        original[name] for name in ("value", "curve", "evaluations", "protocol")
    ]
    assert home.paths.round("two").run(cached[0]["run_dir"]).result.exists()


def test_changed_code_has_its_baseline_run_again(home: Home) -> None:
    home.start()
    home.drop("one", home.spec("one"))
    home.wait_for("one")
    (home.paths.root / "train.py").write_text(f"{TRAIN}\n# changed\n")
    home.drop("two", home.spec("two"))
    home.wait_for("two")
    assert ran(home, "two") == ran(home, "one")


def test_a_baseline_that_ends_elsewhere_is_a_drift_and_nothing_older_is_used(home: Home) -> None:
    (home.paths.root / "drifting.py").write_text(DRIFTING_TRAIN)
    settings = home.paths.settings.read_text()
    home.paths.settings.write_text(f"{settings}baseline_check_every = 4\n")
    home.start()
    home.drop("one", MEASURING.format(name="one"))
    home.wait_for("one")
    home.drop("two", MEASURING.format(name="two"))
    home.wait_for("two")
    assert ran(home, "two") == [("medium", "baseline")]
    assert "CHECK task=sums" in home.log()
    (home.paths.root / "hidden").write_text("0.3")
    home.drop("three", MEASURING.format(name="three"))
    home.wait_for("three")
    assert "DRIFT task=sums" in home.log()
    assert all(
        record["value"] > 0.7
        for record in home.events("three", "run_finished")
        if record["cached_from"] is None
    )
    values = {r["seed"]: r["value"] for r in home.events("three", "run_finished")}
    assert sorted(values) == [0, 1, 2, 3]
    assert all(value > 0.7 for value in values.values())
