"""One peer does one piece of work, in a process of its own: python _drive.py MODULE WAY WORK [--watched]."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from _leftovers import MARK, look
from _work import Peer, work_from


def drive(module: str, way_name: str, work_file: Path, is_watched: bool) -> None:
    """Do the work; write beside it when it was done and, if asked, what the peer held before and after."""
    peer: Peer = importlib.import_module(module)
    way = next(way for way in peer.WAYS if way.name == way_name)
    work = work_from(work_file.read_text())
    told: dict[str, Any] = {}
    with peer.opened(way, work.folder) as run:
        before = look(os.environ[MARK]) if is_watched else None
        run(work)
        told["done"] = time.monotonic()
        if before:
            after = look(os.environ[MARK], settled=before.processes)
            told |= {"before": asdict(before), "after": asdict(after)}
    work_file.with_name("told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    drive(sys.argv[1], sys.argv[2], Path(sys.argv[3]), is_watched="--watched" in sys.argv[4:])
