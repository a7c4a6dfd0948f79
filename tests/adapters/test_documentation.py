"""docs/foreign_models.md: its code runs, its suite is sound, its table is the catalog's."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import vaebench
from vaebench.catalog.catalog import load_catalog
from vaebench.suite.loading import load_suite

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "foreign_models.md").read_text(encoding="utf-8")
PYTHAE, PYRO = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
(SUITE,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
SIGMA = {"unit-variance": "Gaussian, σ = 1", "training-error": "Gaussian, σ² = training squared error"}


def test_the_table_says_of_every_class_what_the_catalog_says():
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in TEXT.splitlines() if line[:3] == "| `"]
    said = {name: row for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    reads = load_catalog().libraries["pythae"].reads
    assert set(said) == set(reads)
    for name, reading in reads.items():
        _, posterior, prior, sigma = said[name]
        assert posterior.startswith({"point": "a point"}.get(reading.posterior, "Gaussian"))
        assert prior == (
            "N(0, I)" if reading.prior == "standard-normal" else "mixture of posteriors at its pseudo-inputs"
        )
        assert sigma.rstrip(" |") == SIGMA[reading.squared_error]


def test_the_suite_is_sound(tmp_path):
    (tmp_path / "two_trainers.yaml").write_text(SUITE, encoding="utf-8")
    suite = load_suite(tmp_path / "two_trainers.yaml")
    assert suite.variant("pythae-vae").composition == {**suite.variant("vae").composition, "trainer": "pythae"}


def test_the_code_for_pythae_runs_and_the_command_says_the_same(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pythae")
    monkeypatch.chdir(tmp_path)
    told: dict[str, Any] = {}
    exec(PYTHAE, told)
    again = vaebench.project.evaluate_reference("pythae:my_model", "digits/static-binary")
    assert "log_likelihood" in capsys.readouterr().out
    assert {name: value.value for name, value in told["found"].items()} == {
        name: value.value for name, value in again.items()
    }


def test_the_suite_runs_and_both_rows_are_scored(tmp_path, monkeypatch):
    pytest.importorskip("pythae")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two_trainers.yaml").write_text(SUITE, encoding="utf-8")
    settings = vaebench.project.Settings(debug=True)
    run = vaebench.project.run(load_suite("two_trainers.yaml", seeds=1), settings)
    assert run.is_complete
    assert vaebench.project.missing_libraries(run.plan.suite) == []
    table = run.leaderboard.table.set_index("variant")
    assert abs(table.loc["vae", "elbo"] - table.loc["pythae-vae", "elbo"]) < 3.0
    lock = vaebench.store.files.read_json(run.folder.lock)
    assert lock["versions"]["pythae"]
    contrasts = (run.folder.path / "contrasts.csv").read_text(encoding="utf-8")
    assert ",trainer," in contrasts


def test_the_recipe_for_pyro_scores_a_model_of_its_kind():
    pytest.importorskip("pyro")
    told: dict[str, Any] = {}
    exec(PYRO, told)

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(64, 16)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mean, log_scale = self.layer(x).chunk(2, dim=-1)
            return mean, log_scale.exp()

    torch.manual_seed(0)
    decoder = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.Sigmoid())
    model = told["FromPyro"](Encoder(), decoder, latent=8)
    found = vaebench.evaluate(model, "digits/static-binary", ["elbo", "log_likelihood", "kl", "active_units"])
    assert found["log_likelihood"].value > found["elbo"].value
    assert all(value.status != "failed" for value in found.values())
