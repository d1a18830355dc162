"""The hardened unit at work: real training, a replay of many records, one power cut after another."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from systemd_machine import USER, Machine
from systemd_service import SPEC, Service, machine_with_the_unit

from scheduler.effects.record_lines import VERSION, encode

TRAINING = """
round = "night"
[policy]
name = "threshold"
[stages.quick]
max_steps = 40
time_budget_sec = 120
eval_every = 20
n_eval = 64
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
[tasks.baseline]
gate = "none"
[tasks.variants.scalar]
gate = "scalar"
"""
#: of a start, where a replay takes longer
SHORT_SECONDS = 4


@pytest.fixture
def machine() -> Iterator[Machine]:
    booted = machine_with_the_unit()
    yield booted
    booted.close()


def test_the_hardened_unit_trains_with_torch(machine: Machine) -> None:
    service = Service(machine, "roundhouse")
    service.start()
    service.drop(TRAINING)
    service.wait_for("round_finished")
    ends = service.events("run_finished")
    assert [(end["config"], end["status"], end["steps"]) for end in ends] == [
        ("baseline", "ok", 40),
        ("scalar", "ok", 40),
    ]


@pytest.mark.amount("records")
@pytest.mark.fault(
    "a start that has many records to read",
    moment="beyond the time that systemd gives a start",
    outcome="systemd is asked for more, and waits",
)
def test_a_long_replay_is_no_failed_start(machine: Machine, amount: int) -> None:
    service = Service(machine, "roundhouse")
    service.drop_in(f"TimeoutStartSec={SHORT_SECONDS}s")
    fields = {"ts": "2026-01-01T00:00:00.000Z", "event": "queue_paused", "reason": "lunch"}
    with service.home.journal.open("wb") as file:
        file.writelines(encode({"v": VERSION, "seq": seq + 1, **fields}) for seq in range(amount))
    owner = service.home.results.stat()
    os.chown(service.home.journal, owner.st_uid, owner.st_gid)
    began = time.monotonic()
    service.start(seconds=600)
    seconds = time.monotonic() - began
    print(f"\n{amount} records, active after {seconds:.1f} s; a start may take {SHORT_SECONDS} s")
    assert service.state() == ("active", "0")


@pytest.mark.fault(
    "a power cut of the whole machine",
    moment="while a run trains",
    outcome="after the next boot the attempt is lost, the run is tried again and the round ends",
)
def test_a_round_of_the_group_goes_on_after_a_power_cut(machine: Machine) -> None:
    service = Service(machine, "roundhouse")
    machine.systemctl("enable", "--now", "roundhouse")
    machine.write(f"/home/{USER}/night.toml", SPEC.format(before="test -e /rebooted || sleep 4321; "))
    submit = ("--home", "/var/lib/roundhouse", "submit", f"/home/{USER}/night.toml")
    assert "no permission" in machine.schedctl(*submit, user=USER).stderr
    machine.run("usermod", "--append", "--groups", "roundhouse", USER)
    submitted = machine.schedctl(*submit, user=USER)
    assert submitted.returncode == 0, submitted.stderr
    service.wait_for("run_started")
    machine.cut_power()
    machine.write("/rebooted", "")
    machine.boot()
    service.wait_for("round_finished")
    lost, *rest = service.events("run_finished")
    assert (lost["status"], lost["attempt"]) == ("lost", 1)
    assert [end["status"] for end in rest] == ["ok", "ok"]
    assert service.state() == ("active", "0")
    machine.systemctl("disable", "--now", "roundhouse")


@pytest.mark.amount("reboots")
@pytest.mark.fault(
    "power cuts of the whole machine, one after another",
    moment="at any moment of a round",
    outcome="the round ends with the verdicts it would have had",
)
def test_a_round_ends_however_often_the_machine_loses_its_power(machine: Machine, amount: int) -> None:
    service = Service(machine, "roundhouse")
    settings = service.home.settings
    settings.write_text(f"{settings.read_text()}max_attempts = 100\n")  # each cut may cost one
    machine.systemctl("enable", "--now", "roundhouse")
    service.drop(SPEC.format(before="sleep 1; "))
    boots = []
    for number in range(amount):
        time.sleep(0.25 * (number % 12))
        machine.cut_power()
        boots.append(machine.boot())
    service.wait_for("round_finished")
    verdicts = {each["config"]: each["verdict"] for each in service.events("verdict_reached")}
    assert verdicts == {"good": "INCONCLUSIVE"}
    assert service.state()[0] == "active"
    lost = sum(end["status"] == "lost" for end in service.events("run_finished"))
    median = sorted(boots)[len(boots) // 2]
    print(f"\n{amount} power cuts, {lost} attempts lost; a boot and the start take {median:.2f} s (median)")
