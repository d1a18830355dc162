"""The daemon's side of a worker: a real child behind two pipes, and what a test says to it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from trainers import _wire


class Worker:
    """Plays the daemon to one worker."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.output = tempfile.TemporaryFile()  # noqa: SIM115 closed with the worker
        to_worker, self.said = os.pipe()
        self.heard, from_worker = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trainers", "work", f"--in={to_worker}", f"--out={from_worker}"],
            cwd=home,
            stdout=self.output,
            stderr=self.output,
            pass_fds=(to_worker, from_worker),
            start_new_session=True,
        )
        os.close(to_worker)
        os.close(from_worker)
        self.buffer = b""
        self.evaluations: list[dict[str, Any]] = []

    def say(self, kind: str, **fields: Any) -> None:
        _wire.write_message(self.said, {"type": kind, **fields})

    def prepare(
        self, *, trainer: str = "fake", max_steps: int | None = 3, seconds: float = 60, **more: Any
    ) -> None:
        context = {
            "seed": 7,
            "stage": "quick",
            "max_steps": max_steps,
            "time_budget_sec": seconds,
            "eval_every": None,
            "n_eval": None,
            "bsz": more.pop("bsz", None),
            "device": "cpu",
            "threads": 1,
            "cache_dir": str(self.home / "cache"),
            **more.pop("context", {}),
        }
        message = {"mode": "train", "home": str(self.home), "trainer": trainer, "context": context}
        self.say("prepare", **{**message, "metric": "acc", "expect": None, "config": {}, **more})

    def hear(self, kind: str, timeout: float = 30.0) -> dict[str, Any]:
        """The next message of that kind; evaluations on the way are kept, any other kind is a failure."""
        deadline = time.monotonic() + timeout
        while True:
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                message = json.loads(line)
                if message["type"] == kind:
                    return message
                if message["type"] == "evaluation":
                    self.evaluations.append(message)
                elif message["type"] != "heartbeat":
                    raise AssertionError(f"expected {kind}, heard {message}")
            left = deadline - time.monotonic()
            assert left > 0, f"no {kind} within {timeout} s; output: {self.printed()}"
            if select.select([self.heard], [], [], left)[0]:
                data = os.read(self.heard, 65536)
                assert data, f"the worker ended before {kind}; output: {self.printed()}"
                self.buffer += data

    def run(self, folder: str = "run", **fields: Any) -> dict[str, Any]:
        self.prepare(**fields)
        self.hear("prepared")
        self.say("go", run_dir=str(self.home / folder))
        return self.hear("finished", timeout=max(30.0, fields.get("seconds", 0.0)))["result"]

    def hang_up(self) -> None:
        if self.said >= 0:
            os.close(self.said)
            self.said = -1

    def printed(self) -> str:
        return os.pread(self.output.fileno(), 65536, 0).decode()

    def close(self) -> None:
        self.hang_up()
        try:
            self.process.wait(timeout=10)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            os.close(self.heard)
            self.output.close()
