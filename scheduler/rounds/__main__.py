"""The child that reads a spec: `python -m scheduler.rounds FILE_NAME`, the bytes on stdin, JSON on stdout.

Whatever the bytes do to a parser happens here, within limits of time and memory that end this process only.
"""

from __future__ import annotations

import os
import resource
import sys

#: seconds of processor time
CPU_SECONDS = 2
MEMORY_BYTES = 512 * 1024 * 1024


def main() -> None:
    """Answer with {"draft": ... or null, "problems": [...]}."""
    file, cpu_seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else CPU_SECONDS
    _limit(cpu_seconds)
    # no plugin of another package runs here, and looking for them costs 15 ms
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    # numpy, which comes with Optuna: a thread for each of many cores does not fit into the memory
    os.environ["OPENBLAS_NUM_THREADS"] = "1"

    import json

    from scheduler.rounds.check import check
    from scheduler.rounds.parse import MAX_BYTES, parse
    from scheduler.rounds.problems import rendered

    data = sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        draft, problems = check(parse(data, os.path.splitext(file)[1].lower()), file)
        answer = {"draft": draft.to_json() if draft is not None else None, "problems": rendered(problems)}
        text = json.dumps(answer)
    except MemoryError:
        message = f"reading the file takes more than {MEMORY_BYTES >> 20} MiB of memory; write it more simply"
        text = json.dumps({"draft": None, "problems": [message]})
    sys.stdout.write(text)


def _limit(cpu_seconds: int) -> None:
    """Bound what this process may use, after imports that a file cannot influence need no bound."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    main()
