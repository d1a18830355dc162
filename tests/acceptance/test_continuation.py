"""Real training goes on where the quick run was, and ends as if it had never stopped."""

from __future__ import annotations

import pytest
from real_home import Home

SPEC = """
round = "{name}"
[policy]
name = "threshold"
d_acc = -100.0
{stages}
[[tasks]]
name = "recall"
trainer = "future_seed"
bsz = 8
[tasks.args]
task = "retrieval"
length = 3
symbols = 4
d_model = 16
n_layer = 2
lr_schedule = "wsd"
[tasks.baseline]
gate = "none"
"""

QUICK = "[stages.quick]\nmax_steps = 20\ntime_budget_sec = 60\neval_every = 10\nn_eval = 64\n"
MEDIUM = "[stages.medium]\nmax_steps = 60\ntime_budget_sec = 60\neval_every = 20\nn_eval = 64\n"


@pytest.mark.timeout(200)
def test_a_medium_run_inherits_the_steps_of_quick_and_ends_bit_for_bit_as_without(home: Home) -> None:
    home.paths.settings.write_text(f"{home.paths.settings.read_text()}reuse_baselines = false\n")
    home.start()
    home.drop("whole", SPEC.format(name="whole", stages=MEDIUM))
    home.drop("parts", SPEC.format(name="parts", stages=QUICK + MEDIUM))
    home.wait_for("whole")
    home.wait_for("parts")
    [whole] = home.events("whole", "run_finished")
    quick, medium = home.events("parts", "run_finished")
    assert (whole["inherited_steps"], whole["kept_step"]) == (0, None)
    assert 0 < quick["kept_step"] <= 20
    assert medium["inherited_steps"] == quick["kept_step"]
    assert (medium["steps"], whole["steps"]) == (60, 60)
    assert whole["protocol"] == medium["protocol"]
    same = ("loss", "acc", "scores_digest")
    assert [medium[name] for name in same] == [whole[name] for name in same]
    assert not home.paths.round("parts").run(quick["run_dir"]).checkpoint.exists()
    started = {event["stage"]: event for event in home.events("parts", "run_started")}
    assert started["medium"]["made_for"] == "parts/recall.quick.baseline.s0.a1"
    assert started["medium"]["pid"] == started["quick"]["pid"], "the same worker"
    assert f"inherited={quick['kept_step']}" in home.log()
