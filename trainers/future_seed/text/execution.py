"""Do the programs that a model writes pass their tests? Each runs in a sandbox of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from trainers import _sandbox
from trainers._sandbox import Ending
from trainers.future_seed.batches import onto
from trainers.future_seed.config import Config
from trainers.future_seed.measure import BATCH_POSITIONS
from trainers.future_seed.model import Rwkv7
from trainers.future_seed.text.batches import aligned
from trainers.future_seed.text.building import TextSet
from trainers.future_seed.text.tokens import END, tokenizer

#: in the run's folder: what was written at each evaluation, and how it ended, a program a line
FILE_NAME = "programs.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Executions:
    """The programs of the first so many evaluation examples."""

    config: Config
    texts: TextSet
    count: int

    @classmethod
    def of(cls, config: Config, texts: TextSet) -> Executions | None:
        """None where nothing is executed. Raises SandboxError where this machine cannot hold a program."""
        wanted = len(texts) if config.executed is None else config.executed
        if config.task != "mbpp" or wanted == 0:
            return None
        _sandbox.check()
        return cls(config=config, texts=texts, count=min(wanted, len(texts)))

    def rates(
        self, model: Rwkv7, device: torch.device, *, run_dir: Path | None, step: int
    ) -> dict[str, float]:
        """`pass_rate`, and the share of programs that were still running when their time was over."""
        programs = self.programs(model, device)
        checks = self.texts.checks
        endings = [self._ending(program, checks[example]) for example, program in enumerate(programs)]
        if run_dir is not None:
            with (run_dir / FILE_NAME).open("a", encoding="utf-8") as stream:
                for example, (program, ending) in enumerate(zip(programs, endings, strict=True)):
                    row = {
                        "step": step,
                        "example": example,
                        "ending": ending.name.lower(),
                        "program": program,
                    }
                    stream.write(f"{json.dumps(row)}\n")
        return {
            "pass_rate": endings.count(Ending.FINISHED) / self.count,
            "timeout_rate": endings.count(Ending.TIMED_OUT) / self.count,
        }

    def _ending(self, program: str, checks: dict[str, object]) -> Ending:
        tests = checks["tests"]
        assert isinstance(tests, list)
        return _sandbox.run(
            [str(checks["setup"]), program, *tests],
            seconds=self.config.execution_seconds,
            memory_mib=self.config.execution_memory_mib,
        )

    def programs(self, model: Rwkv7, device: torch.device) -> list[str]:
        """What the model writes after each prompt, always the likeliest token, up to its end."""
        tokens = tokenizer(self.config.tokenizer)
        prompts = [self.texts.prompt(example) for example in range(self.count)]
        size = max(1, BATCH_POSITIONS // max(map(len, prompts)))
        written = [
            answer
            for begin in range(0, self.count, size)
            for answer in written_answers(
                model, prompts[begin : begin + size], device, self.config.answer_tokens_max
            )
        ]
        return [tokens.decode(answer) for answer in written]


@torch.no_grad()
def written_answers(
    model: Rwkv7, prompts: Sequence[torch.Tensor], device: torch.device, longest: int
) -> list[list[int]]:
    """The likeliest token after each prompt, and after that, and so on; without the end."""
    tokens, real = onto(device, *aligned(prompts, right=True))
    hidden, states = model.read(tokens, real=real)
    chosen: list[torch.Tensor] = []
    has_ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    for _ in range(longest):
        token = model.head(hidden[:, -1]).argmax(dim=-1)
        chosen.append(token)
        has_ended |= token == END
        if has_ended.all():
            break
        hidden, states = model.read(token[:, None], states)
    rows = torch.stack(chosen, dim=1).tolist()
    return [row[: row.index(END)] if END in row else row for row in rows]
