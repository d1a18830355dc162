"""With which model and vocabulary are samples written? A base model, trained once and kept by content."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import tokenizers
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from trainers._reproducible import reproducibly
from trainers.contract import Context
from trainers.generate import world
from trainers.generate.config import RECIPE_VERSION
from trainers.generate.model import ModelShape, Transformer
from trainers.prepared_data import prepared_arrays

#: a second thread would change the order of sums, and so the weights of everybody after it
_THREADS = 1
#: ends a document
END = "<|end|>"
_BATCH, _WINDOW = 8, 128
#: characters from which the vocabulary is made
_VOCABULARY_CHARACTERS = 400_000
_MUON_LR, _ADAMW_LR, _WARMUP, _CLIP = 0.02, 4e-3, 30, 1.0
#: the last share of the steps, over which both learning rates fall to zero
_DECAY_SHARE = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that the weights depend on, beside versions."""

    steps: int = 1300
    seed: int = 0
    n_vocab: int = 1024
    d_model: int = 96
    n_layer: int = 3
    n_head: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A model that continues texts, and its vocabulary."""

    model: Transformer
    tokenizer: Tokenizer

    @property
    def end_token(self) -> int:
        """The token that ends a document."""
        return token_of(self.tokenizer, END)


def token_of(tokenizer: Tokenizer, text: str) -> int:
    """The one token that is `text`."""
    token = tokenizer.token_to_id(text)
    assert token is not None, f"{text!r} is no token"
    return int(token)


def base_model(recipe: Recipe, context: Context) -> Base:
    """The base model of `recipe`, on the CPU: read where it is kept, else trained (83 s of one thread)."""
    key = {
        "what": "generate base model",
        "recipe": asdict(recipe),
        "versions": [RECIPE_VERSION, world.WORLD_VERSION, torch.__version__, tokenizers.__version__],
    }
    kept = prepared_arrays(context.cache_dir, key, lambda: _made(recipe, context))
    tokenizer = Tokenizer.from_str(kept["tokenizer"].tobytes().decode())
    model = _model(recipe, tokenizer)
    weights = {name: torch.from_numpy(np.array(kept[name])) for name in model.state_dict()}
    model.load_state_dict(weights)
    return Base(model=model.eval(), tokenizer=tokenizer)


def make_tokenizer(recipe: Recipe) -> Tokenizer:
    """Byte-level BPE over the first documents: every text can be written, and read back as it was."""
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.n_vocab,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(recipe, _VOCABULARY_CHARACTERS), trainer)
    return tokenizer


def training_tokens(recipe: Recipe, tokenizer: Tokenizer, count: int) -> Tensor:
    """The first `count` tokens of the documents, int64, each document with its end."""
    end = token_of(tokenizer, END)
    found: list[int] = []
    documents = world.documents(recipe.seed)
    while len(found) < count:
        for encoding in tokenizer.encode_batch(list(itertools.islice(documents, 1000))):
            found += [*encoding.ids, end]
    return torch.tensor(found[:count])


def _texts(recipe: Recipe, characters: int) -> list[str]:
    texts, size = [], 0
    for text in world.documents(recipe.seed):
        if size >= characters:
            break
        texts.append(text)
        size += len(text)
    return texts


def _model(recipe: Recipe, tokenizer: Tokenizer) -> Transformer:
    shape = ModelShape(
        n_vocab=tokenizer.get_vocab_size(),
        d_model=recipe.d_model,
        n_layer=recipe.n_layer,
        n_head=recipe.n_head,
    )
    return Transformer(shape)


def _made(recipe: Recipe, context: Context) -> Mapping[str, np.ndarray]:
    tokenizer = make_tokenizer(recipe)
    model = _model(recipe, tokenizer)
    model.initialise(torch.Generator().manual_seed(recipe.seed))
    tokens = training_tokens(recipe, tokenizer, recipe.steps * _BATCH * _WINDOW + 1)
    with reproducibly(replace(context, device="cpu", threads=_THREADS)):
        _train(model, tokens, recipe.steps)
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    return {"tokenizer": np.frombuffer(tokenizer.to_str().encode(), dtype=np.uint8), **weights}


def _train(model: Transformer, tokens: Tensor, steps: int) -> None:
    """One pass over `tokens`. Row k of a batch goes through its own part of them, so that nothing repeats."""
    rows = tokens[:-1].view(_BATCH, steps, _WINDOW), tokens[1:].view(_BATCH, steps, _WINDOW)
    matrices = [weight for name, weight in model.named_parameters() if name != "embedding.weight"]
    optimizers = (
        torch.optim.Muon(matrices, lr=_MUON_LR, weight_decay=0.0),
        torch.optim.AdamW([model.embedding.weight], lr=_ADAMW_LR, betas=(0.9, 0.98), weight_decay=0.0),
    )
    peaks = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    for step in range(steps):
        factor = min(1.0, (step + 1) / _WARMUP, (steps - step) / max(1.0, _DECAY_SHARE * steps))
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * factor
        logits = model(rows[0][:, step])
        loss = functional.cross_entropy(logits.flatten(0, 1), rows[1][:, step].flatten())
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
        for optimizer in optimizers:
            optimizer.step()
