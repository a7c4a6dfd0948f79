"""Folders as pythae saves them, written without it."""

import json
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "name": "VAEConfig",
    "input_dim": [1, 8, 8],
    "latent_dim": 4,
    "uses_default_encoder": True,
    "uses_default_decoder": True,
    "reconstruction_loss": "bce",
}


def folder(path: Path, **config: Any) -> Path:
    """A folder with a configuration and, in place of parameters, a file that nobody should open."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "model_config.json").write_text(json.dumps({**CONFIG, **config}))
    (path / "model.pt").write_bytes(b"no tensors")
    return path
