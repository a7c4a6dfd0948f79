"""A trained model is taken out of a suite's folder and is the one that the suite has scored."""

from pathlib import Path

import pytest
import torch

import vaebench
from vaebench.project import Settings, UnknownName
from vaebench.reporting.runs import read_runs
from vaebench.store.files import StoreError

SUITE = {
    "suite": "tiny",
    "datasets": ["digits/binary", "digits/grey"],
    "seeds": 2,
    "recipe": {"extends": "quick", "epochs": 2},
    "defaults": {"latent": 4, "network": {"hidden": [16]}},
    "variants": [
        "vae",
        {"name": "short", "extends": "vae-gaussian", "on": ["digits/grey"], "latent": 2},
        {"name": "told", "extends": "vae", "conditional": True, "on": ["digits/binary"]},
        {"extends": "ppca", "on": ["digits/grey"]},
    ],
    "metrics": ["elbo", "kl"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("runs")
    return vaebench.run(SUITE, Settings(results=results, device="cpu", workers=1)).folder.path


@pytest.mark.parametrize(
    ("variant", "dataset", "seed"),
    [
        ("vae", "digits/grey", 0),
        ("vae", "digits/binary", 1),
        ("short", None, None),
        ("told", None, 1),
        ("ppca", None, 0),
    ],
)
def test_it_has_the_numbers_of_the_suite(folder: Path, variant: str, dataset: str | None, seed: int | None) -> None:
    model = vaebench.load_model(folder, variant, dataset, seed, device="cpu")
    runs = read_runs(folder / "runs.csv")
    mine = runs[(runs["variant"] == variant) & (runs["seed"] == (seed or 0)) & (runs["metric"] == "elbo")]
    where = dataset or {"told": "digits/binary"}.get(variant, "digits/grey")
    (expected,) = mine[mine["view"] == where.partition("/")[2]]["value"]
    assert vaebench.evaluate(model, where, ["elbo"])["elbo"].value == pytest.approx(expected, rel=1e-6)


def test_it_encodes_and_decodes(folder: Path) -> None:
    model = vaebench.load_model(str(folder), "short", device="cpu")
    z = model.prior().sample((5,))
    means = model.likelihood(z).mean
    assert (z.shape, means.shape) == ((5, 2), (5, 64))
    assert model.posterior(means.clamp(0, 1)).mean.shape == (5, 2)
    assert torch.equal(means, vaebench.load_model(folder, "short", seed=0, device="cpu").likelihood(z).mean)
    assert not torch.equal(means, vaebench.load_model(folder, "short", seed=1, device="cpu").likelihood(z).mean)


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"variant": "shrot"}, "did you mean 'short'"),
        ({"variant": "vae"}, "vae was trained on digits/binary, digits/grey; name one"),
        ({"variant": "vae", "dataset": "digits/gray"}, "did you mean 'digits/grey'"),
        ({"variant": "short", "dataset": "digits/binary"}, "did you mean 'digits/grey'"),
        ({"variant": "short", "seed": 2}, "short has no seed 2; valid: 0, 1"),
        ({"variant": "short", "device": "gpu"}, "no device 'gpu'"),
    ],
)
def test_what_is_not_there_is_told(folder: Path, asked: dict[str, object], what: str) -> None:
    with pytest.raises(UnknownName, match=what):
        vaebench.load_model(folder, **asked)  # type: ignore[arg-type]


def test_a_model_whose_file_is_gone_or_another_is_refused(folder: Path) -> None:
    runs = read_runs(folder / "runs.csv")
    cell = runs[(runs["variant"] == "ppca") & (runs["seed"] == 1)]["cell"].iloc[0]
    file = folder.parent / "cells" / cell / "model.safetensors"
    kept = file.read_bytes()
    try:
        file.write_bytes(kept[:-4] + b"abcd")
        with pytest.raises(StoreError, match="cannot be read: its checksum is another"):
            vaebench.load_model(folder, "ppca", seed=1)
        file.unlink()
        with pytest.raises(StoreError, match="no trained model is in"):
            vaebench.load_model(folder, "ppca", seed=1)
    finally:
        file.write_bytes(kept)


def test_a_folder_without_models_says_so(tmp_path: Path) -> None:
    published = Path(__file__).parents[1] / "results" / "series9"
    with pytest.raises(StoreError, match="no trained model is in"):
        vaebench.load_model(published, "ae")
    with pytest.raises(StoreError, match="no folder of a suite"):
        vaebench.load_model(tmp_path, "vae")
