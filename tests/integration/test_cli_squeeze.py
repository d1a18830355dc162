"""Does `schedctl squeeze` read adapters of every kind, run none of their code, and mark the rank to take?"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from real_home import Ask

torch = pytest.importorskip("torch")

from trainers import _squeeze  # noqa: E402


def factors(strengths: list[float]) -> dict[str, torch.Tensor]:
    """A layer whose product has these singular values."""
    random = torch.Generator().manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(12, len(strengths), generator=random))
    right, _ = torch.linalg.qr(torch.randn(10, len(strengths), generator=random))
    return {
        "model.0.q_proj.lora_A.weight": right.T.contiguous(),
        "model.0.q_proj.lora_B.weight": left * torch.tensor(strengths),
    }


def write_safetensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.contiguous().view(torch.uint8).numpy().tobytes()
        kind = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}[tensor.dtype]
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_the_rank_to_take_is_marked(ask: Ask, tmp_path: Path) -> None:
    adapter = tmp_path / "run" / "checkpoint"
    adapter.mkdir(parents=True)
    write_safetensors(adapter / "adapter_model.safetensors", factors([4.0, 3.0, 0.5, 0.1]))
    status, out, err = ask("squeeze", tmp_path / "run")
    assert (status, err) == (0, "")
    assert [line[:6] for line in out.splitlines() if line.startswith("->")] == ["->   2"]
    assert "rank 2 is the smallest power of two with a mean V of 0.95" in out


@pytest.mark.parametrize("kind", ["pth", "nested", "safetensors", "bfloat16", "lower case"])
def test_every_kind_of_file_tells_the_same(tmp_path: Path, kind: str) -> None:
    strengths, tensors, path = [4.0, 2.0, 1.0], factors([4.0, 2.0, 1.0]), tmp_path / "a.pth"
    match kind:
        case "pth":
            torch.save(tensors, path)
        case "nested":
            torch.save({"step": 3, "model": tensors}, path)
        case "lower case":
            layer = "model.0.q_proj"
            up, down = tensors[f"{layer}.lora_B.weight"], tensors[f"{layer}.lora_A.weight"]
            torch.save({f"{layer}.lora_a": up, f"{layer}.lora_b": down}, path)
        case _:
            path = tmp_path / "a.safetensors"
            dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
            write_safetensors(path, {name: tensor.to(dtype) for name, tensor in tensors.items()})
    told = _squeeze.answer(path, None)
    assert told["problem"] is None
    (squares,) = told["squares"].values()
    assert np.sqrt(squares) == pytest.approx(strengths, rel=2e-2 if kind == "bfloat16" else 1e-5)


def test_whole_matrices_are_held_against_their_base(tmp_path: Path) -> None:
    base, tuned = {"w": torch.eye(4), "bias": torch.ones(4)}, {"w": torch.eye(4), "bias": torch.ones(4)}
    tuned["w"] = tuned["w"] + 2.0 * torch.outer(torch.ones(4), torch.ones(4)) / 4
    torch.save(base, tmp_path / "base.pth")
    torch.save(tuned, tmp_path / "tuned.pth")
    told = _squeeze.answer(tmp_path / "tuned.pth", tmp_path / "base.pth")
    assert told["squares"]["w"] == pytest.approx([4.0, 0.0, 0.0, 0.0], abs=1e-9)
    assert "--base" in _squeeze.answer(tmp_path / "tuned.pth", None)["problem"]


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.path}",)


def test_a_file_that_holds_code_is_refused_and_runs_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    assert _squeeze.answer(tmp_path / "bad.pth", None)["problem"]
    assert not (tmp_path / "ran").exists()


def test_what_cannot_be_analysed_is_told_with_what_to_do(ask: Ask, tmp_path: Path) -> None:
    assert "there is no checkpoint at" in _squeeze.answer(tmp_path / "none", None)["problem"]
    assert "holds no checkpoint" in _squeeze.answer(tmp_path, None)["problem"]
    for name in ("a.pth", "b.pth"):
        torch.save(factors([1.0]), tmp_path / name)
    assert "name one of them" in _squeeze.answer(tmp_path, None)["problem"]
    status, _, err = ask("squeeze", tmp_path)
    assert status == 2
    assert "name one of them" in err
