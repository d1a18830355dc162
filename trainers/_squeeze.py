"""Which singular values have the adapters of a checkpoint? Read as tensors, never as code.

On stdin {"path", "base": path or null}; on stdout {"problem": text or null, "file": text, "squares": {layer:
[squared singular value, ...]}}.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainers._failures import one_line
from trainers._processes import die_with_parent

if TYPE_CHECKING:
    import numpy as np

#: `q_proj.lora_A.weight`, `q_proj.lora_B.default.weight`, `q_proj.lora_a`
_FACTOR = re.compile(r"^(?P<layer>.*?)\.?lora_(?P<side>[ABab])(?:\..*)?$")
#: names of files in a folder, first found first
_PREFERRED = ("adapter_model.safetensors", "adapter_model.bin")
_KINDS = (".safetensors", ".pth", ".pt", ".bin")
#: numbers of a safetensors file by the name of their type; bfloat16 is the upper half of a float32
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class _UnfitError(Exception):
    """There is nothing to analyse. The message says why, and what to do."""


def squeeze() -> None:
    """Answer the one request on stdin. Writes nothing."""
    die_with_parent()
    answer_fd = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not garble the answer
    request = json.loads(sys.stdin.buffer.read())
    with os.fdopen(answer_fd, "w") as stream:
        json.dump(answer(Path(request["path"]), request["base"] and Path(request["base"])), stream)


def answer(path: Path, base: Path | None) -> dict[str, Any]:
    """The answer to a request."""
    try:
        file, matrices = _matrices(path)
        if base is None:
            squares = dict(_of_adapters(file, matrices))
        else:
            squares = dict(_of_differences(file, matrices, *_matrices(base)))
    except Exception as error:  # a damaged file fails in any way
        text = str(error) if isinstance(error, _UnfitError) else f"{path}: {one_line(error)}"
        return {"problem": text, "file": "", "squares": {}}
    return {"problem": None, "file": str(file), "squares": squares}


def _of_adapters(file: Path, matrices: Mapping[str, np.ndarray]) -> Iterator[tuple[str, list[float]]]:
    sides: dict[str, dict[str, np.ndarray]] = {}
    for name, matrix in matrices.items():
        if match := _FACTOR.match(name):
            sides.setdefault(match["layer"], {})[match["side"]] = matrix
    pairs = {layer: pair for layer, pair in sides.items() if len(pair) == 2}
    if not pairs:
        raise _UnfitError(
            f"{file} holds no pairs of LoRA factors (lora_A, lora_B); for a checkpoint of whole matrices name"
            " the one that its training began with as --base"
        )
    for layer, pair in pairs.items():
        # `A` is [rank, in] and `B` [out, rank]; in lower case both are the other way round
        up, down = (pair["B"], pair["A"]) if "B" in pair else (pair["a"], pair["b"])
        yield layer, _squares_of_product(layer, up, down)


def _squares_of_product(layer: str, up: np.ndarray, down: np.ndarray) -> list[float]:
    """Of `up` [out, rank] times `down` [rank, in], without making the product."""
    import numpy as np

    if up.shape[1] != down.shape[0]:
        raise _UnfitError(f"{layer}: factors of shapes {up.shape} and {down.shape} have no rank in common")
    left, right = np.linalg.qr(up, mode="r"), np.linalg.qr(down.T, mode="r")
    return [float(value) for value in np.linalg.svd(left @ right.T, compute_uv=False) ** 2]


def _of_differences(
    file: Path, matrices: Mapping[str, np.ndarray], base_file: Path, base: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, list[float]]]:
    import numpy as np

    shared = [name for name, each in matrices.items() if name in base and base[name].shape == each.shape]
    if not shared:
        raise _UnfitError(f"{file} and {base_file} have no matrix of one name and shape in common")
    for name in shared:
        values = np.linalg.svd(matrices[name] - base[name], compute_uv=False)
        yield name, [float(value) for value in values**2]


def _matrices(path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """The file, and what in it has two sides, as float64 by name."""
    file = _file_of(path)
    read = _safetensors if file.suffix == ".safetensors" else _torch_file
    return file, {name: matrix for name, matrix in read(file) if matrix.ndim == 2}


def _file_of(path: Path) -> Path:
    """The checkpoint itself, or the one in a folder of an adapter or a run."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise _UnfitError(f"there is no checkpoint at {path}")
    found = sorted(file for file in path.rglob("*") if file.suffix in _KINDS and file.is_file())
    adapters = [file for file in found if file.name in _PREFERRED]
    chosen = adapters or found
    if len(chosen) == 1:
        return chosen[0]
    if not chosen:
        raise _UnfitError(f"{path} holds no checkpoint ({', '.join(_KINDS)})")
    names = ", ".join(str(file.relative_to(path)) for file in chosen[:5])
    raise _UnfitError(f"{path} holds {len(chosen)} checkpoints ({names}): name one of them")


def _torch_file(file: Path) -> Iterator[tuple[str, np.ndarray]]:
    import torch

    def tensors(value: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
        if isinstance(value, torch.Tensor):
            yield name, value
        elif isinstance(value, Mapping):
            for key, part in value.items():
                yield from tensors(part, f"{name}.{key}" if name else str(key))

    # a file that holds code is refused before any of it runs
    whole = torch.load(file, map_location="cpu", weights_only=True)
    for name, tensor in tensors(whole, ""):
        if tensor.is_floating_point():
            yield name, tensor.detach().double().numpy()


def _safetensors(file: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The format: 8 bytes with the length of a JSON header, the header, the numbers."""
    import numpy as np

    data = np.memmap(file, dtype=np.uint8, mode="r")
    length = int.from_bytes(data[:8].tobytes(), "little")
    header = json.loads(data[8 : 8 + length].tobytes())
    for name, told in header.items():
        if name == "__metadata__" or told["dtype"] not in _TYPES:
            continue
        begin, end = (8 + length + offset for offset in told["data_offsets"])
        raw = np.frombuffer(data[begin:end].tobytes(), dtype=_TYPES[told["dtype"]])
        if told["dtype"] == "BF16":
            raw = (raw.astype(np.uint32) << 16).view(np.float32)
        yield name, raw.astype(np.float64).reshape(told["shape"])
