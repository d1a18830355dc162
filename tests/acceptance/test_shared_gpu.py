"""A real daemon on a GPU that others use too, that gets hot, fails and comes back; its driver is a fake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from fakes.gpu import IDLE_MIB, FakeGpu
from real_home import SETTINGS, Home, wait_until

HEAT_BY_HARDWARE = 0x40
FALLEN_OFF_THE_BUS, PAGE_FAULT = 79, 31
STRANGER = 4123

#: says its score twice, and in between waits while the test holds it, and fails where the test wants it to
TRAIN = """
import os, sys, time
name, score = sys.argv[1], float(sys.argv[2])
print(f"Step 1 | val_acc: {score / 2:.4f}", flush=True)
while os.path.exists(f"hold-{name}"):
    time.sleep(0.02)
if os.path.exists(f"fail-{name}"):
    sys.exit("CUDA error: unspecified launch failure")
print(f"Step 2 | val_acc: {score:.4f}", flush=True)
"""

SPEC = """
round = "night"
[stages.quick]
time_budget_sec = 120
[policy]
name = "threshold"
d_acc = 0.3
[[tasks]]
name = "sums"
trainer = "command"
[tasks.args]
inputs = ["train.py"]
argv = ["python3", "train.py", "{name}", "{score}"]
metrics = { acc = 'val_acc: (?P<value>[0-9.]+)' }
[tasks.baseline]
name = "baseline"
score = 0.5
[tasks.variants.good]
name = "good"
score = 0.6
"""


@pytest.fixture
def gpu(tmp_path: Path, nvml_library: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    made = FakeGpu(tmp_path, nvml_library)
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


class Night:
    """A round on that GPU. Its runs wait in their midst for as long as the test holds them."""

    def __init__(self, home: Home, gpu: FakeGpu) -> None:
        self.home, self.gpu = home, gpu
        (home.paths.root / "train.py").write_text(TRAIN)
        home.paths.settings.write_text(SETTINGS.replace('device = "cpu"', f'device = "{gpu.uuid}"'))

    def begin(self, *held: str) -> None:
        for name in held:
            self.mark("hold", name)
        self.home.start()
        self.home.drop("night", SPEC)

    def mark(self, what: str, name: str) -> None:
        (self.home.paths.root / f"{what}-{name}").touch()

    def let_go(self, name: str) -> None:
        (self.home.paths.root / f"hold-{name}").unlink()

    def training(self, config: str) -> int:
        """The pid of the worker of that run, once it trains."""

        def pid() -> int | None:
            started = [each for each in self.home.events("night", "run_started") if each["config"] == config]
            return started[-1]["pid"] if started else None

        found: int = wait_until(pid, f"the run of {config}")
        return found

    def look_around(self, times: int = 6) -> None:
        """Wait until the device was looked at so often, by the run's meter mostly, once a second."""
        before = self.gpu.questions
        wait_until(lambda: self.gpu.questions >= before + times, "a look at the device")

    def log_says(self, words: str) -> str:
        def line() -> str | None:
            return next((line for line in self.home.log().splitlines() if words in line), None)

        found: str = wait_until(line, f"{words!r} in launcher.log\n{self.home.log()}\n{self.home.output()}\n")
        return found

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = orjson.loads(self.home.paths.status.read_bytes())
        return told

    def says(self, condition: Callable[[dict[str, Any]], Any]) -> Any:
        return wait_until(lambda: condition(self.status()), f"status: {self.status()}\n{self.home.log()}\n")

    def ends_of(self, config: str) -> list[dict[str, Any]]:
        return [each for each in self.home.events("night", "run_finished") if each["config"] == config]

    def ends_well(self) -> None:
        [finished] = self.home.wait_for("night")
        assert finished["outcome"] == "finished"
        [decided] = self.home.events("night", "variant_held")
        assert decided["d_acc"] == pytest.approx(10.0)


@pytest.fixture
def night(home: Home, gpu: FakeGpu) -> Night:
    return Night(home, gpu)


@pytest.mark.fault(
    "another process computes on the GPU",
    moment="before a run, and while it trains",
    outcome="it is waited for by name; the run beside it is marked contaminated and made once more",
)
def test_a_stranger_is_waited_for_and_a_run_beside_it_is_made_once_more(night: Night, gpu: FakeGpu) -> None:
    gpu.runs(STRANGER, "/usr/bin/python", 2310)
    night.begin("good")
    busy = "GPU busy: python (pid 4123, 2310 MiB) is not ours"
    night.log_says(f"WAIT reason={busy}")
    night.says(lambda told: str(told["why"]).startswith(busy))
    assert night.home.events("night", "run_intended") == []
    gpu.runs_no_more(STRANGER)

    own = night.training("good")
    gpu.runs(own, "python3", 900)
    gpu.slows_down(HEAT_BY_HARDWARE)
    gpu.runs(STRANGER, "/usr/bin/python", 2310)
    gpu.holds(IDLE_MIB + 900 + 2310)
    night.says(lambda told: "pid 4123" in (told["devices"][0]["gpu"] or {}).get("strangers", ""))
    night.look_around()
    night.let_go("good")
    done = night.log_says("contaminated=")
    assert "DONE task=sums stage=quick cfg=good" in done
    gpu.runs_no_more(own)
    gpu.holds(IDLE_MIB + 2310)
    night.log_says(
        "WARN task=sums stage=quick cfg=good seed=0 contaminated: python (pid 4123) computed on cuda:0"
    )
    night.says(lambda told: str(told["why"]).startswith(busy))
    [shared] = night.ends_of("good")
    assert shared["status"] == "ok"
    [stranger] = shared["contaminated"]["by"]
    assert (stranger["pid"], stranger["name"], stranger["memory_mib"]) == (STRANGER, "python", 2310.0)
    assert 0.0 < shared["contaminated"]["share"] <= 1.0
    assert shared["throttled"]["by"].keys() == {"heat (by the hardware)"}
    assert shared["peak_memory_mib"] == 900.0

    gpu.runs_no_more(STRANGER)
    gpu.holds(IDLE_MIB)
    night.ends_well()
    assert [(end["attempt"], end["contaminated"]) for end in night.ends_of("good")[1:]] == [(2, None)]
    summary = night.home.paths.round("night").summary_text
    wait_until(lambda: "run again, and this one does not count" in " ".join(summary.read_text().split()))


@pytest.mark.fault(
    "the GPU falls off the bus (Xid 79)",
    moment="while a run trains",
    outcome="the queue stops with the reason; the failure is the GPU's, and the run is tried again",
)
def test_an_error_of_the_device_stops_the_queue_until_a_person_resumes_it(night: Night, gpu: FakeGpu) -> None:
    night.begin("good")
    night.training("good")
    gpu.reports(PAGE_FAULT)
    told = night.log_says("GPU device=cuda:0 reports Xid 31: ")
    assert told.endswith("during night/sums.quick.good.s0.a1")
    gpu.reports(FALLEN_OFF_THE_BUS)
    night.log_says("PAUSE cuda:0 reported Xid 79: the GPU has fallen off the bus; see `journalctl -k")
    night.mark("fail", "good")
    night.let_go("good")
    night.log_says(
        "FAIL class=gpu task=sums stage=quick cfg=good seed=0 Xid 79: the GPU has fallen off the bus"
    )
    night.says(lambda told: str(told["why"]).startswith("paused: cuda:0 reported Xid 79"))
    (night.home.paths.root / "fail-good").unlink()
    assert night.home.schedctl("resume").returncode == 0
    night.ends_well()
    assert [(end["failure_class"], end["xids"]) for end in night.ends_of("good")] == [
        ("gpu", [PAGE_FAULT, FALLEN_OFF_THE_BUS]),
        (None, []),
    ]


@pytest.mark.fault(
    "the GPU's memory does not come back",
    moment="after a run",
    outcome="the device is dirty and the queue waits with the reason; it goes on by itself when it is back",
)
@pytest.mark.fault(
    "the GPU no longer answers",
    moment="while a run trains",
    outcome="nothing starts and status says why; after a reset the queue goes on by itself",
)
def test_a_device_that_keeps_memory_or_is_lost_is_waited_for(night: Night, gpu: FakeGpu) -> None:
    night.begin("baseline", "good")
    night.training("baseline")
    gpu.holds(20_000)  # too much for another run beside it
    night.look_around()
    night.let_go("baseline")
    told = night.log_says("GPU device=cuda:0 dirty: ")
    assert "20000 MiB are in use by no process that can be seen, where 300 MiB are normal" in told
    night.says(lambda told: "cuda:0 is dirty: GPU memory" in str(told["why"]))
    assert night.home.log().count("RUN task=") == 1
    gpu.holds(IDLE_MIB)
    night.log_says("GPU device=cuda:0 clean again")

    night.training("good")
    gpu.is_lost()
    night.says(lambda told: "is lost" in told["devices"][0]["gpu"].get("lost", ""))
    night.let_go("good")
    night.log_says("GPU device=cuda:0 dirty: GPU cuda:0 (NVIDIA GeForce RTX 4090")
    gpu.is_reset()
    wait_until(lambda: night.home.log().count("clean again") == 2, "the second time that it is clean")
    night.ends_well()
    assert [end["status"] for end in night.ends_of("good")] == ["ok"]
