"""Where the training of each member stands, on disk, so that a killed run goes on with the same numbers.

One file a member: the members of a fleet need not come back together, or in the same fleet. Streams of random
numbers have no state, so the step says where they are.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from vaebench.store.cell import Cell
from vaebench.store.files import SCHEMA, replacing
from vaebench.training.member import Member

INTERVAL_SECONDS = float(os.environ.get("VAEBENCH_CHECKPOINT_SECONDS", "20"))
"""Between two savings of a fleet; what a killed worker loses at most."""


class Checkpoints:
    """Saves members every `interval` seconds, and finds them again."""

    def __init__(
        self,
        path_of: Callable[[Cell], Path],
        fingerprints: dict[str, dict[str, str]],
        interval: float = INTERVAL_SECONDS,
    ) -> None:
        self.path_of = path_of
        self.fingerprints = fingerprints
        """Cell → hashes of the sources that train it; a checkpoint of other sources is not taken up."""
        self.interval = interval
        self.saved_at = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self.saved_at >= self.interval

    def save(self, members: Sequence[Member], step: int) -> None:
        for member in members:
            tensors = {name: value.cpu().contiguous() for name, value in member.tensors().items()}
            state = {
                "schema": SCHEMA,
                "step": step,
                "history": asdict(member.history),
                "fingerprints": self.fingerprints.get(member.cell.id, {}),
            }
            written = json.dumps(state)
            with replacing(self.path_of(member.cell)) as temporary:
                safetensors.torch.save_file(
                    tensors, temporary, {"state": written, "checksum": _checksum(tensors, written)}
                )
        self.saved_at = time.monotonic()

    def restore(self, member: Member) -> int:
        """Put the member where its checkpoint stands, and say at which step; 0 where there is none to be used."""
        path = self.path_of(member.cell)
        if not path.exists():
            return 0
        try:
            with safetensors.safe_open(path, framework="pt") as stored:
                metadata = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            if metadata["checksum"] != _checksum(tensors, metadata["state"]):
                return 0
            state = json.loads(metadata["state"])
            if state["schema"] != SCHEMA or state["fingerprints"] != self.fingerprints.get(member.cell.id, {}):
                return 0
        except (safetensors.SafetensorError, KeyError, ValueError, TypeError, OSError):
            return 0
        # outside of the block: a member that was half restored must not begin anew with what it got
        member.restore(tensors, state["history"])
        step: int = state["step"]
        return step

    def forget(self, cell: Cell) -> None:
        self.path_of(cell).unlink(missing_ok=True)


def _checksum(tensors: dict[str, Tensor], state: str) -> str:
    hashed = hashlib.sha256(state.encode())
    for name in sorted(tensors):
        hashed.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        hashed.update(tensors[name].contiguous().numpy().tobytes())
    return hashed.hexdigest()
