"""`vaebench.evaluate` and `vaebench evaluate`: what a suite would report of a model, whoever trained it."""

import json
import math
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.distributions import Bernoulli, Distribution, Independent, Normal, Uniform

import vaebench
from tests.calling import Call, caller
from vaebench.data.mnist import FILES
from vaebench.metrics.contract import ContractError
from vaebench.project import Settings, UnknownName
from vaebench.store.folders import ResultsFolder


class FairCoins:
    """Every pixel is a fair coin, whatever the code: ln p(x) = −64 ln 2."""

    def prior(self):
        return Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

    def posterior(self, x):
        return Independent(Normal(torch.zeros(len(x), 2), torch.ones(len(x), 2)), 1)

    def likelihood(self, z):
        return Independent(Bernoulli(logits=torch.zeros(*z.shape[:-1], 64)), 1)


COINS = """
import torch
from torch.distributions import Bernoulli, Independent, Normal

five = 5

class Coins:
    def prior(self):
        return Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    def posterior(self, x):
        return Independent(Normal(torch.zeros(len(x), 2), torch.ones(len(x), 2)), 1)
    def likelihood(self, z):
        return Independent(Bernoulli(logits=torch.zeros(*z.shape[:-1], 64)), 1)

class Grey(Coins):
    def likelihood(self, z):
        return Independent(Normal(torch.zeros(*z.shape[:-1], 64), 1.0), 1)

class Net(torch.nn.Linear):
    def __init__(self):
        super().__init__(3, 2)

def make():
    print("making coins")
    return Coins()

def of_width(width):
    return Coins()

def failing():
    return torch.load_nothing()

ready = Coins()
"""


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs `vaebench evaluate` in a folder that holds `coins.py`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "coins", raising=False)
    (tmp_path / "coins.py").write_text(COINS)
    return caller(monkeypatch, capsys, "evaluate")


def test_a_foreign_model_gets_its_exact_numbers():
    values = vaebench.evaluate(FairCoins(), "digits/binary", ["elbo", "log_likelihood", "kl", "active_units"])
    assert values["elbo"].value == pytest.approx(-64 * math.log(2), rel=1e-5)
    assert values["log_likelihood"].value == pytest.approx(-64 * math.log(2), rel=1e-5)
    assert values["kl"].value == pytest.approx(0.0, abs=1e-6)
    assert values["active_units"].value == 0


def test_one_metric_may_be_named_by_itself_and_a_part_brings_its_family():
    assert set(vaebench.evaluate(FairCoins(), "digits/binary", "kl")) == {"kl", "kl.code"}
    assert "sharpness.mean_ratio" in vaebench.evaluate(FairCoins(), "digits/binary", "sharpness.mean")


def test_an_evaluation_reads_as_a_table_and_is_looked_up_by_name():
    found = vaebench.evaluate(FairCoins(), "digits/binary", ["kl", "elbo"])
    assert isinstance(found, vaebench.Evaluation)
    lines = repr(found).splitlines()
    assert lines[0].split() == ["metric", "value", "±", "protocol", "note"]
    assert re.match(r"elbo +-44\.36 +0 +samples=8", next(line for line in lines if line.startswith("elbo ")))
    assert "<td>elbo" in found._repr_html_()
    assert "details" not in repr(found["elbo"])
    frame = found.to_frame().set_index("metric")
    assert frame.loc["elbo", "value"] == found["elbo"].value
    assert (frame.loc["elbo", "unit"], frame.loc["elbo", "better"]) == ("nats", "higher")
    with pytest.raises(KeyError, match="did you mean 'elbo'"):
        _ = found["elbw"]
    assert found.get("elbw") is None


def test_a_table_is_folded_to_the_width_it_is_given():
    found = vaebench.evaluate(FairCoins(), "digits/binary", ["elbo", "log_likelihood"])
    assert max(map(len, found.table(90).splitlines())) <= 90
    assert len(found.table().splitlines()) == 2 + len(found)


def test_a_metric_may_change_its_budget_as_in_a_suite():
    wanted = ["elbo", {"log_likelihood": {"samples": 7}}]
    found = vaebench.evaluate(FairCoins(), "digits/binary", wanted, budget="standard", seed=3)
    assert found["elbo"].protocol["samples"] == 32
    assert found["log_likelihood"].protocol["samples"] == 7
    assert found["log_likelihood"].protocol["images"] == 10000
    assert found["elbo"].protocol["seed"] == 3
    assert found["log_likelihood"].value == pytest.approx(-64 * math.log(2), rel=1e-5)
    assert set(vaebench.evaluate(FairCoins(), "digits/binary", {"kl": {"samples": 2}})) == {"kl", "kl.code"}


@pytest.mark.parametrize(
    ("dataset", "metric", "expected"),
    [
        ("digits/grye", "elbo", "did you mean 'digits/grey'"),
        ("digits/binary", "elbow", "did you mean 'elbo'"),
        ("digits/binary", "bits_per_dim", "views grey and dequantised"),
        ("digits/binary", {"elbo": {"sampels": 3}}, "did you mean 'samples'"),
        ("digits/binary", {"elbo": {"samples": 0}}, "must be at least 1, is 0"),
        ("digits/binary", {"elbo": 3}, "must be a mapping"),
        ("linear-gaussian/real", "sharpness", "needs images"),
    ],
)
def test_wrong_names_are_refused_with_the_nearest(dataset, metric, expected):
    with pytest.raises(UnknownName, match=expected):
        vaebench.evaluate(FairCoins(), dataset, [metric])


def test_a_class_in_place_of_a_model_and_a_model_without_numbers_are_told_in_one_line():
    with pytest.raises(ContractError, match=r"FairCoins is a class: give a model that is made of it, FairCoins\(…\)$"):
        vaebench.evaluate(FairCoins, "digits/binary")
    with pytest.raises(ContractError, match="Linear lies on the device meta, which holds no numbers"):
        vaebench.evaluate(nn.Linear(3, 2, device="meta"), "digits/binary")


def test_a_prior_of_another_precision_is_blamed_itself():
    class Net(nn.Linear):
        def __init__(self):
            super().__init__(2, 64, dtype=torch.float64)

        prior = FairCoins.prior

        def posterior(self, x):
            return Independent(Normal(x[:, :2], 1.0), 1)

        def likelihood(self, z):
            return Independent(Bernoulli(logits=self(z)), 1)

    with pytest.raises(
        ContractError, match=r"Net\.prior\(\): draws torch\.float32, where posterior\(x\) draws torch\.f"
    ):
        vaebench.evaluate(Net(), "digits/binary")


def test_a_prior_with_bounds_has_no_annealing_and_torchs_complaint_shows_no_tensor():
    class Bounded(FairCoins):
        def prior(self):
            return Independent(Uniform(-2 * torch.ones(2), 2 * torch.ones(2)), 1)

    for was_on in (True, False):  # torch's compiler turns it off
        Distribution.set_default_validate_args(was_on)
        with pytest.raises(ContractError, match="to be within the support") as refusal:
            vaebench.evaluate(Bounded(), "digits/binary")
        assert "tensor(" not in str(refusal.value)
        assert Distribution._validate_args is was_on
    Distribution.set_default_validate_args(True)
    Bounded.posterior = lambda self, x: Independent(Uniform(-torch.ones(len(x), 2), torch.ones(len(x), 2)), 1)
    found = vaebench.evaluate(Bounded(), "digits/binary", [{"log_likelihood_ais": {"images": 3, "steps": 4}}])
    assert (found["log_likelihood_ais"].status, found["log_likelihood_ais"].note) == (
        "n/a",
        "p(z) has bounds, and the chains move in all of space",
    )


def test_every_mistake_is_told_at_once():
    with pytest.raises(UnknownName) as refusal:
        vaebench.evaluate(FairCoins(), "digits/bin", ["elbow", "kll"], budget="quik", device="gpu")
    assert len(str(refusal.value).splitlines()) == 5


def test_the_names_of_the_module_are_listed():
    assert {"evaluate", "run", "Evaluation", "Leaderboard"} <= set(dir(vaebench))
    assert all(hasattr(vaebench, name) for name in dir(vaebench))


METRICS = [
    "elbo",
    "log_likelihood",
    "kl",
    "reconstruction",
    "active_units",
    "probe_accuracy",
    "sharpness",
    "parameters",
]
SUITE = {
    "suite": "doors",
    "datasets": ["digits/binary", "digits/grey"],
    "seeds": 1,
    "recipe": {"extends": "quick", "epochs": 2},
    "budget": "quick",
    "defaults": {"network": {"hidden": [16]}, "latent": 3},
    "variants": [
        {"extends": "vae", "on": ["digits/binary"]},
        {"extends": "cvae", "on": ["digits/binary"]},
        {"extends": "vae-iaf", "on": ["digits/binary"]},
        {"extends": "vae-mse", "on": ["digits/grey"]},
        {"extends": "ae", "on": ["digits/grey"]},
    ],
    "metrics": METRICS,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A suite's runs.csv, and the folders of its cells by variant."""
    results = tmp_path_factory.mktemp("runs")
    done = vaebench.run(SUITE, Settings(results=results, debug=True))
    assert done.is_complete
    folders = {planned.variant: ResultsFolder(results).cell(planned.cell.id) for planned in done.plan.cells}
    return pd.read_csv(done.folder.runs, keep_default_na=False), folders


@pytest.mark.parametrize("variant", ["vae", "cvae", "vae-iaf", "vae-mse", "ae"])
def test_a_model_by_the_door_gets_the_numbers_of_the_suite_that_trained_it(variant, trained, call):
    runs, folders = trained
    cell = folders[variant].read_cell()
    Path("made.py").write_text(
        "from vaebench.data.dataset import Shape\n"
        "from vaebench.models.composition import Composition\n\n\n"
        f"def make():\n    return Composition({cell.composition!r}, Shape(64, 8, 17, 10))\n"
    )
    state = str(folders[variant].model)
    said = call("made.py:make", "--state", state, "--dataset", cell.source, "--metrics", ",".join(METRICS), "--json")
    assert said.code == 0
    values = {entry["metric"]: entry for entry in json.loads(said.out)["values"]}
    told = runs[runs["variant"] == variant]
    assert len(told) > 8
    for run in told.itertuples():
        found = values[run.metric]
        assert found["status"] == run.status, run.metric
        assert found["value"] == (float(run.value) if run.value else None), run.metric
        assert found["stderr"] == (float(run.stderr) if run.stderr else None), run.metric


def test_the_same_weights_in_somebody_elses_module_have_the_same_numbers(trained):
    runs, folders = trained
    weights = safetensors.torch.load_file(folders["vae"].model)

    class Theirs(nn.Module):
        """The same network in torch's own words."""

        def __init__(self):
            super().__init__()
            self.encode = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 6))
            self.decode = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 64))

        def prior(self):
            return Independent(Normal(torch.zeros(3), torch.ones(3)), 1)

        def posterior(self, x):
            mean, log_scale = self.encode(x).chunk(2, dim=-1)
            return Independent(Normal(mean, log_scale.exp()), 1)

        def likelihood(self, z):
            return Independent(Bernoulli(logits=self.decode(z)), 1)

    model = Theirs()
    names = {
        "encoder.body.0": "encode.0",
        "posterior_head.mean_and_log_scale": "encode.2",
        "decoder.body.0": "decode.0",
        "likelihood_head.logits.0": "decode.2",
    }
    renamed = {f"{new}.{kind}": weights[f"{old}.{kind}"] for old, new in names.items() for kind in ("weight", "bias")}
    model.load_state_dict(renamed)
    found = vaebench.evaluate(model, "digits/binary", ["elbo", "log_likelihood", "kl"])
    told = runs[(runs["variant"] == "vae") & (runs["status"] == "done")].set_index("metric")["value"].astype(float)
    for metric in ("elbo", "log_likelihood", "kl"):
        assert found[metric].value == pytest.approx(told[metric], rel=1e-5)


def test_the_command_prints_a_table_and_says_on_stderr_what_it_is_doing(call):
    said = call("coins:make", "--dataset", "digits/binary", "--metrics", "elbo,kl", "--device", "cpu")
    assert said.code == 0
    assert said.out.splitlines()[0].split() == ["metric", "value", "±", "protocol", "note"]
    assert "-44.36" in said.out
    assert said.err.splitlines() == ["making coins", "scoring elbo", "scoring kl"]


def test_the_command_changes_the_budget_metric_by_metric(call):
    asked = "elbo,log_likelihood:samples=7:images=20,mi_lower_bound:hidden=[8, 8]:steps=4,kl"
    said = call("coins:make", "--dataset", "digits/binary", "--metrics", asked, "--json")
    assert said.code == 0
    protocols = {value["metric"]: value["protocol"] for value in json.loads(said.out)["values"]}
    assert (protocols["log_likelihood"]["samples"], protocols["log_likelihood"]["images"]) == (7, 20)
    assert protocols["mi_lower_bound.generative"]["hidden"] == [8, 8]
    assert protocols["elbo"]["samples"] == 8
    assert "kl" in protocols


@pytest.mark.parametrize(
    "reference", ["coins:make", "coins:Coins", "coins:ready", "coins.py:Coins", "./coins.py:ready"]
)
def test_a_factory_a_class_and_a_ready_model_are_all_accepted(reference, call):
    said = call(reference, "--dataset", "digits/binary", "--metrics", "kl", "--json")
    assert (said.code, json.loads(said.out)["values"][0]["value"]) == (0, 0.0)


def test_a_failed_metric_is_told_by_the_exit_code(call):
    text = COINS + "\n\nclass Late(Coins):\n    def posterior(self, x):\n        assert len(x) < 40, 'too many'\n"
    Path("late.py").write_text(text + "        return super().posterior(x)\n")
    said = call("late.py:Late", "--dataset", "digits/binary", "--metrics", "kl")
    assert said.code == 3
    assert "AssertionError: too many" in said.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["coyns:make"], "no module 'coyns'; did you mean 'coins'?"),
        (["nothing.like.it:make"], "no module 'nothing'"),
        (["coins:mak"], "coins has no 'mak'; did you mean 'make'?"),
        (["coins:five"], "coins:five is of type int: neither a model"),
        (["coins:of_width"], "coins:of_width needs width, and is called without arguments"),
        (["coin.py:make"], "coin.py: no such file; did you mean 'coins.py'?"),
        (["coins"], "'coins' names no model: give MODULE:FACTORY"),
        ([".:make"], "no module '.'"),
        (["coins:failing"], "coins.py:31: coins:failing raised AttributeError: module 'torch' has no attribute"),
        (["broken.py:make"], "broken.py:2: importing broken.py raised SyntaxError"),
        (["needy.py:make"], "needy.py:1: importing needy.py raised ModuleNotFoundError: No module named 'absent'"),
        (["coins:Grey"], "Grey.likelihood(z): draws pixels such as"),
        (["coins:Net"], "Net has no method prior()"),
        (["coins:make", "--state", "wieghts.safetensors"], "wieghts.safetensors: no such file; did you mean 'weights"),
        (["coins:make", "--state", "weights.safetensors"], "cannot be loaded into a Coins, which is no torch module"),
        (["coins:Net", "--state", "coins.py"], "coins.py: is no safetensors file"),
        (["coins:Net", "--state", "pickled.pt"], "pickles are not read"),
        (["coins:Net", "--state", "."], ".: is a folder, not a file"),
        (["coins:Net", "--state", "weights.safetensors"], "missing weight, bias; unexpected wieght"),
        (["coins:Net", "--state", "shapes.safetensors"], "weight ((2, 4) in the file, (2, 3) in the model)"),
        (["coins:Net", "--state", "double.safetensors"], "would lose digits weight (float64 in the file, float32"),
        (["coins:make", "--budget", "quik"], "did you mean 'quick'?"),
        (["coins:make", "--seed", "-1"], "must be at least 0, is -1"),
        (["coins:make", "--seed", str(2**64)], "must be at most 4294967295"),
        (["coins:make", "--metrics", "elbow"], "did you mean 'elbo'?"),
        (["coins:make", "--metrics", ","], "names no metric"),
        (["coins:make", "--metrics", "kl,elbo:sampels=3"], "did you mean 'samples'"),
        (["coins:make", "--metrics", "elbo:samples=0"], "must be at least 1, is 0"),
        (["coins:make", "--metrics", "elbo:samples"], "'samples' must be SETTING=VALUE"),
        (["coins:make", "--metrics", "elbo:samples=[3"], "must be SETTING=VALUE"),
        (["coins:make", "--device", "gpu"], "no device 'gpu'"),
    ],
)
def test_wrong_input_is_exit_code_2_with_one_line_and_never_a_traceback(arguments, message, call):
    weight, bias = torch.zeros(2, 3), torch.zeros(2)
    safetensors.torch.save_file({"wieght": weight}, "weights.safetensors")
    safetensors.torch.save_file({"weight": torch.zeros(2, 4), "bias": bias}, "shapes.safetensors")
    safetensors.torch.save_file({"weight": weight.double(), "bias": bias}, "double.safetensors")
    torch.save({"weight": weight}, "pickled.pt")
    Path("broken.py").write_text("x = 1\nx = = 2\n")
    Path("needy.py").write_text("import absent\n")
    said = call(*arguments, "--dataset", "digits/binary")
    assert said.code == 2
    assert message in said.err
    assert len([line for line in said.err.splitlines() if line != "making coins"]) == 1
    assert "Traceback" not in said.err
    assert said.out == ""


def test_wrong_names_and_missing_files_are_told_together(call):
    said = call("coin.py:make", "--dataset", "digits/grye", "--metrics", "elbow,kl", "--state", "x.safetensors")
    assert said.code == 2
    assert len(said.err.splitlines()) == 4


def test_every_missing_file_of_the_data_is_named(call, tmp_path):
    said = call("coins:make", "--dataset", "mnist/binary", "--data-root", str(tmp_path / "nowhere"))
    assert said.code == 2
    assert [line.partition(": ")[0] for line in said.err.splitlines() if "missing" in line] == [
        str(tmp_path / "nowhere/MNIST/raw" / file.name) for file in FILES["mnist"]
    ]


def test_of_two_names_of_one_tensor_a_file_may_hold_one(tmp_path):
    from vaebench.models import foreign

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.second.weight = self.first.weight

    safetensors.torch.save_file({"first.weight": torch.eye(2)}, tmp_path / "tied.safetensors")
    model = Tied()
    foreign.fill(model, tmp_path / "tied.safetensors")
    assert torch.equal(model.second.weight, torch.eye(2))


def test_what_a_factory_draws_is_decided_by_the_seed_and_leaves_torchs_generator_alone(tmp_path):
    from vaebench.models import foreign

    (tmp_path / "drawing.py").write_text("import torch\n\n\ndef make():\n    return torch.nn.Linear(3, 2)\n")
    before = torch.get_rng_state()
    first, again, other = (foreign.load(f"{tmp_path}/drawing.py:make", seed=seed).weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
