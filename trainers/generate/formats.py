"""How do a prompt, a response and a critic's question look as text? What delimits them is told here alone."""

from __future__ import annotations

INSTRUCTION = "### Instruction:"
RESPONSE = "### Response:"
JUDGE = "### Judge:"
VERDICT = "### Verdict:"
#: every mark that a finished text must not show
DELIMITERS = (INSTRUCTION, RESPONSE, JUDGE, VERDICT)
#: the critic's two answers, each a token of its own in any byte-level vocabulary
ACCEPT, REJECT = "A", "B"


def instruction_prompt(instruction: str) -> str:
    """What the model continues with its response."""
    return f"{INSTRUCTION}\n{instruction}\n{RESPONSE}\n"


def instruction_block(instruction: str, response: str) -> str:
    """An instruction with its response, as the base model reads it; a further block may follow."""
    return f"{instruction_prompt(instruction)}{response}\n\n"


def critic_prompt(instruction: str, response: str) -> str:
    """What the critic continues with `ACCEPT` or `REJECT`."""
    return f"{JUDGE}\n{instruction}\n{response}\n{VERDICT}\n"


def critic_line(instruction: str, response: str, *, is_good: bool) -> str:
    """A judged response, as the base model reads it."""
    return f"{critic_prompt(instruction, response)}{ACCEPT if is_good else REJECT}\n\n"
