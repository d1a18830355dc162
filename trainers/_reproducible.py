"""How does torch compute so that the same seed gives the same bits?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from trainers.contract import Context


@contextmanager
def reproducibly(context: Context) -> Iterator[None]:
    """Within, the same seed gives the same bits on the same device, as far as torch can promise it.

    What has no deterministic form on a CUDA device warns instead of failing the run.
    """
    import torch

    torch.set_num_threads(context.threads)
    on_cuda = context.device.startswith("cuda")
    if on_cuda:
        # cuBLAS reads it when its first handle is made.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    enabled_before = torch.are_deterministic_algorithms_enabled()
    warn_only_before = torch.is_deterministic_algorithms_warn_only_enabled()
    fill_before = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=on_cuda)
    # It would write NaN into every new tensor first; nothing here reads memory before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled_before, warn_only=warn_only_before)
        torch.utils.deterministic.fill_uninitialized_memory = fill_before
