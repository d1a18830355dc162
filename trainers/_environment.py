"""Which variables of the environment reach a command? Those on a list, and none that looks like a secret."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping

#: names, and patterns of names, that a worker and a command are given
ALLOWED = (
    *("HOME", "LANG", "LANGUAGE", "LC_*", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR"),
    *("TZ", "USER", "XDG_*"),
    *("CUBLAS_*", "CUDA_*", "CUDNN_*", "GOMP_*", "KMP_*", "MKL_*", "NCCL_*", "NUMEXPR_*", "NVIDIA_*"),
    *("OMP_*", "OPENBLAS_*", "PYTORCH_*", "TORCH_*", "TORCHINDUCTOR_*", "TRITON_*"),
    *("HF_*", "HUGGINGFACE_*", "TRANSFORMERS_*", "DATASETS_*", "TOKENIZERS_PARALLELISM", "WANDB_MODE"),
    *("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "all_proxy", "http_proxy", "https_proxy"),
    *("no_proxy", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE"),
)

_ALLOWED_PATTERN = re.compile("|".join(fnmatch.translate(pattern) for pattern in ALLOWED))

_SECRET_PATTERN = re.compile("TOKEN|KEY|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)


def allowed(environment: Mapping[str, str]) -> dict[str, str]:
    """The part of `environment` that a child may have."""
    return {
        name: value
        for name, value in environment.items()
        if _ALLOWED_PATTERN.match(name) and (not is_secret(name) or name.startswith("TOKENIZERS_"))
    }


def is_secret(name: str) -> bool:
    """Whether a variable's name says that its value must not be shown or handed on."""
    return _SECRET_PATTERN.search(name) is not None
