"""How does a published model answer and learn? By `transformers`, and in the adapters of `peft`.

Nothing is downloaded: the model and its tokenizer lie in a folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainers.contract import BadArgumentsError, DataError
from trainers.rl.config import Config
from trainers.rl.policy import Prompts


class Pretrained:
    """A causal language model with LoRA adapters, which alone are trained."""

    def __init__(self, config: Config, *, seed: int) -> None:
        transformers, peft = _packages()
        folder = Path(config.model or "")
        if not (folder / "config.json").is_file():
            raise DataError(f"there is no model in {folder}: it has no config.json; download it there first")
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        if self.tokenizer.eos_token_id is None:
            raise DataError(
                f"the tokenizer in {folder} has no end-of-sequence token: an answer could not end"
            )
        self.end = int(self.tokenizer.eos_token_id)
        dtype = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True, trust_remote_code=False
        )
        adapters = peft.LoraConfig(
            r=config.lora_rank,
            lora_alpha=config.lora_alpha or 2 * config.lora_rank,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # of the adapters' first weights
            self.model = peft.get_peft_model(model, adapters)
        # Dropout would make the probabilities others than those of the drawing.
        self.model.eval()

    def to(self, device: torch.device) -> None:
        self.model.to(device)

    def prompts(self, questions: Sequence[str]) -> Prompts:
        rows = [self._encoded(question) for question in questions]
        longest = max(len(row) for row in rows)
        tokens = torch.full((len(rows), longest), self.end, device=self.model.device)
        read = torch.zeros_like(tokens, dtype=torch.bool)
        for place, row in enumerate(rows):
            tokens[place, longest - len(row) :] = torch.tensor(row, device=self.model.device)
            read[place, longest - len(row) :] = True
        return Prompts(tokens=tokens, read=read)

    def _encoded(self, question: str) -> list[int]:
        if self.tokenizer.chat_template is None:
            return list(self.tokenizer(question)["input_ids"])
        message = [{"role": "user", "content": question}]
        told = self.tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=True)
        return list(told["input_ids"])

    def reader(self, prompts: Prompts, n_more: int) -> Callable[[Tensor], Tensor]:
        read, remembered = prompts.read, None

        def go_on(tokens: Tensor) -> Tensor:
            nonlocal read, remembered
            if remembered is not None:
                read = torch.cat((read, torch.ones_like(tokens, dtype=torch.bool)), dim=1)
            told = self.model(
                input_ids=tokens,
                attention_mask=read.long(),
                position_ids=_positions(read)[:, -tokens.shape[1] :],
                past_key_values=remembered,
                use_cache=True,
                logits_to_keep=1,
            )
            remembered = told.past_key_values
            return told.logits[:, -1].float()

        return go_on

    def logits(self, prompts: Prompts, tokens: Tensor) -> Tensor:
        given = tokens[:, :-1]
        read = torch.cat((prompts.read, torch.ones_like(given, dtype=torch.bool)), dim=1)
        told = self.model(
            input_ids=torch.cat((prompts.tokens, given), dim=1),
            attention_mask=read.long(),
            position_ids=_positions(read),
            use_cache=False,
            logits_to_keep=tokens.shape[1],
        )
        return told.logits.float()

    def text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def words(self, tokens: Sequence[int]) -> list[str]:
        return [str(self.tokenizer.decode([token])) for token in tokens]

    def trained(self) -> Mapping[str, nn.Parameter]:
        return {name: each for name, each in self.model.named_parameters() if each.requires_grad}

    def save_adapters(self, folder: Path) -> None:
        """As `peft` reads them."""
        self.model.save_pretrained(folder)


def _positions(read: Tensor) -> Tensor:
    """Each position's number among those that are read; what is filled up in front has none of its own."""
    return (read.long().cumsum(dim=1) - 1).clamp(min=0)


def _packages() -> tuple[Any, Any]:
    try:
        import peft
        import transformers
    except ImportError as error:
        raise BadArgumentsError(
            f"a pretrained model needs the packages transformers and peft ({error}): install roundhouse[rl]"
        ) from error
    return transformers, peft
