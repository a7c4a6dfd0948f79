"""A stored model that cannot be read costs its own cell, and the next run trains it again."""

from pathlib import Path

import vaebench
from vaebench.engines.planning import Policy
from vaebench.project import Settings

SUITE = {
    "suite": "damaged",
    "datasets": ["digits/binary"],
    "seeds": 2,
    "recipe": {"extends": "quick", "epochs": 1},
    "defaults": {"network": {"hidden": [8]}, "latent": 2},
    "variants": ["vae"],
    "metrics": ["elbo"],
}


def test_a_truncated_model_is_named_removed_and_trained_again(tmp_path: Path) -> None:
    settings = Settings(results=tmp_path, debug=True)
    first = vaebench.run(SUITE, settings)
    assert first.is_complete
    victim = sorted(tmp_path.glob("cells/*/model.safetensors"))[0]
    victim.write_bytes(victim.read_bytes()[:50])
    more = {**SUITE, "metrics": ["elbo", "kl"]}
    second = vaebench.run(more, settings)
    assert len(second.outcome.done) == 1
    ((cell, message),) = second.outcome.failed
    assert cell == victim.parent.name
    assert "model.safetensors was damaged" in message
    third = vaebench.run(more, Settings(results=tmp_path, debug=True, policy=Policy(retry_failed=True)))
    assert third.is_complete
