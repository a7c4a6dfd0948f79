"""`vaebench check --plugin`: what is right passes, and each promise has a plugin that breaks it and nothing else."""

from pathlib import Path
from string import Template

import pytest

from tests.conformance.breaking import (
    DATASET,
    LIKELIHOOD,
    METRIC,
    NETWORK,
    OBJECTIVE,
    POSTERIOR,
    PRIOR,
    RIGHT,
    source,
)
from tests.plugins.writing import LAPLACE, load
from vaebench.catalog.catalog import load_catalog
from vaebench.conformance.conformance import CHECKS, examine, examined
from vaebench.conformance.finding import Examined, Finding
from vaebench.plugins.declaring import Declaration

CAUCHY = """
class Wide(torch.distributions.Cauchy):
    mean = property(lambda self: self.loc)
    def cdf(self, value): return torch.distributions.Cauchy(self.loc, 1.1 * self.scale).cdf(value)
"""
LOGISTIC = """
class Logistic(torch.distributions.Distribution):
    arg_constraints = {}
    def __init__(self, loc, scale):
        super().__init__(loc.shape, validate_args=False)
        self.loc, self.scale = loc, scale
    mean = property(lambda self: self.loc)
    def log_prob(self, value):
        t = (value - self.loc) / self.scale
        return -t - 2 * nn.functional.softplus(-t) - self.scale.log()
    def cdf(self, value): return torch.sigmoid((value - self.loc) / self.scale)
    def icdf(self, value): return self.loc + self.scale * torch.logit(value)
"""
LOG_MASS = """
from vaebench.models.likelihoods.bins import log_mass


@log_mass.register
def _(pixel: Logistic, lower, upper):
    a, b = ((edge.double() - pixel.loc) / pixel.scale for edge in (lower, upper))
    share = torch.log(-torch.expm1(a - b))
    return (nn.functional.logsigmoid(b) + nn.functional.logsigmoid(-a) + share).to(lower.dtype)
"""

BREAKS: dict[str, tuple[Template, str, dict[str, str], str]] = {
    "a likelihood's pixels are not summed over": (
        LIKELIHOOD,
        "shapes",
        {"distribution": "Normal(mean, width.expand_as(mean))"},
        "log_prob must sum over pixels, as that of Independent",
    ),
    "a likelihood draws numbers of its own": (
        LIKELIHOOD,
        "determinism",
        {"forward": "mean = mean + torch.rand(())"},
        "methods must draw no random numbers of their own",
    ),
    "a likelihood's density has a wrong constant": (
        LIKELIHOOD,
        "normalisation",
        {
            "method": "def log_prob(self, value): return super().log_prob(value) + 0.1",
            "distribution": "Other(mean, width.expand_as(mean))",
        },
        "expected the density on the view grey to integrate to 1; came 1.105",
    ),
    "a likelihood's draws are too wide": (
        LIKELIHOOD,
        "draws",
        {
            "method": "def from_noise(self, noise): return super().from_noise(1.2 * noise)",
            "distribution": "Other(mean, width.expand_as(mean))",
        },
        "expected draws of likelihood(z) to follow its log_prob",
    ),
    "a likelihood's bins lose their digits": (
        LIKELIHOOD,
        "bins",
        {"before": LOGISTIC, "distribution": "IndependentPixels(Logistic(mean, width.expand_as(mean)))"},
        "expected the mass of every bin in float32; came Logistic: F(b) − F(a) of its cdf leaves no digits",
    ),
    "a likelihood's bins are another's": (
        LIKELIHOOD,
        "bins",
        {"before": CAUCHY, "distribution": "IndependentPixels(Wide(mean, width.expand_as(mean), validate_args=False))"},
        "the density's integral; came e^",
    ),
    "a likelihood's gradient is cut off": (
        LIKELIHOOD,
        "gradients",
        {"forward": "mean = mean.detach()"},
        "expected the loss to move likelihood_head.mean",
    ),
    "a likelihood rounds to float32 on its way": (
        LIKELIHOOD,
        "float64",
        {"forward": "mean = mean.float()"},
        "expected likelihood(z) to tell 1e-11 apart in float64; came equal numbers",
    ),
    "a likelihood keeps a tensor that does not move": (
        LIKELIHOOD,
        "devices",
        {"init": "self.offset = torch.zeros(1)", "forward": "mean = mean + self.offset"},
        "keep tensors in register_buffer",
    ),
    "a likelihood keeps a random tensor that is not stored": (
        LIKELIHOOD,
        "storing",
        {
            "init": 'self.register_buffer("offset", torch.randn(1), persistent=False)',
            "forward": "mean = mean + self.offset",
        },
        "expected the same likelihood(z).log_prob(x) after load_state_dict",
    ),
    "a likelihood keeps a setting as a number": (
        LIKELIHOOD,
        "fleet",
        {"forward": "width = torch.full_like(mean, self.number)"},
        "expected member 1 of a fleet to be trained as it is alone, in float64",
    ),
    "a posterior says a wrong size of its noise": (
        POSTERIOR,
        "shapes",
        {"noise_size": "latent + 1"},
        "expected a posterior drawn from 4 standard normals",
    ),
    "a posterior that cannot be drawn from given noise": (
        POSTERIOR,
        "shapes",
        {"distribution": "Independent(Normal(mean, scale), 1)"},
        "expected a posterior whose distribution has from_noise(noise), noise_size and noise_law; came Independent",
    ),
    "a posterior looks at its neighbours": (
        POSTERIOR,
        "determinism",
        {"forward": "mean = mean - mean.mean(0)"},
        "it must depend on the image alone",
    ),
    "a posterior's density has a wrong constant": (
        POSTERIOR,
        "normalisation",
        {
            "method": "def log_prob(self, value): return super().log_prob(value) - 0.1",
            "distribution": "Other(mean, scale)",
        },
        "expected q(z|x) to integrate to 1; came 0.904",
    ),
    "a posterior's draws are not its own": (
        POSTERIOR,
        "draws",
        {
            "method": "def from_noise(self, noise): return super().from_noise(noise) + 0.2",
            "distribution": "Other(mean, scale)",
        },
        "expected draws of posterior(x) to follow its log_prob",
    ),
    "a posterior's divergence is not its own": (
        POSTERIOR,
        "kl",
        {
            "before": "@register_kl(Other, DiagonalNormal)\n"
            "def _(q, p): return 1.1 * (0.5 * (q.mean ** 2 + q.variance - 1) - q.stddev.log()).sum(-1)\n",
            "distribution": "Other(mean, scale)",
        },
        "as ∫ q ln q/p dz by quadrature; came",
    ),
    "a posterior has no divergence": (
        POSTERIOR,
        "kl",
        {
            "before": "class Bare(torch.distributions.Distribution):\n"
            "    arg_constraints, noise_law = {}, 'normal'\n"
            "    def __init__(self, inner):\n"
            "        self.inner, self.noise_size = inner, inner.noise_size\n"
            "        super().__init__(inner.batch_shape, inner.event_shape, validate_args=False)\n"
            "    loc = property(lambda self: self.inner.mean)\n"
            "    mean = loc\n"
            "    def log_prob(self, value): return self.inner.log_prob(value)\n"
            "    def from_noise(self, noise): return self.inner.from_noise(noise)\n",
            "distribution": "Bare(DiagonalNormal(mean, scale))",
        },
        "expected a closed form of KL(q ‖ p), by torch.distributions.kl.register_kl, or analytic_kl=False",
    ),
    "a posterior's parameters are never used": (
        POSTERIOR,
        "gradients",
        {"forward": "scale = torch.ones_like(mean)"},
        "expected the loss to move posterior_head.log_scale.weight; came a gradient of 0",
    ),
    "a prior's density has a wrong constant": (
        PRIOR,
        "normalisation",
        {
            "method": "def log_prob(self, value): return super().log_prob(value) + 1.0",
            "distribution": "Other(loc, scale)",
        },
        "expected p(z) to integrate to 1; came 2.71",
    ),
    "a prior's draws are not its own": (
        PRIOR,
        "draws",
        {
            "method": "def from_noise(self, noise): return super().from_noise(noise.abs())",
            "distribution": "Other(loc, scale)",
        },
        "expected draws of prior() to follow its log_prob",
    ),
    "a prior keeps a tensor that does not move": (
        PRIOR,
        "devices",
        {"init": "self.ones = torch.ones(latent)", "forward": "scale = self.ones + 0 * loc"},
        "keep tensors in register_buffer",
    ),
    "a network normalises over the batch": (
        NETWORK,
        "determinism",
        {"init": "self.norm = nn.BatchNorm1d(outputs, affine=False)", "forward": "features = _normed(self, features)"},
        "it must depend on the image alone",
    ),
    "a network promises other features": (NETWORK, "shapes", {"features": "9"}, "mat1 and mat2 shapes cannot"),
    "a network has a layer that it never uses": (
        NETWORK,
        "gradients",
        {"init": "self.idle = nn.Linear(2, 2)"},
        "expected the loss to move encoder.body.idle.weight",
    ),
    "an objective is a number": (
        OBJECTIVE,
        "shapes",
        {"objective": "3"},
        "expected a vaebench.objectives.player.Objective; came int",
    ),
    "an objective's loss is no scalar": (
        OBJECTIVE,
        "shapes",
        {"after": "loss = loss.expand(3)"},
        "expected loss of player model to be a scalar tensor; came shape (3,)",
    ),
    "an objective draws numbers of its own": (
        OBJECTIVE,
        "determinism",
        {"forward": "z = torch.randn_like(z)"},
        "expected the loss of player model to draw from the noise it is given alone",
    ),
    "an objective leaves parameters to nobody": (
        OBJECTIVE,
        "gradients",
        {"owns": '("model.decoder", "model.likelihood_head")'},
        "expected every parameter to be owned by a player; came model.encoder",
    ),
    "an objective owns what there is not": (
        OBJECTIVE,
        "gradients",
        {"owns": '("modle",)'},
        "expected player model to own some of model, model.encoder",
    ),
    "two players own the same": (
        OBJECTIVE,
        "gradients",
        {
            "objective": "Objective((type('Rival', (Player,), {'name': 'rival'})(model.noise_size, 1.0), player), {})",
        },
        "expected player model to own what no other player owns; came model.encoder",
    ),
    "a loss changes a parameter": (
        OBJECTIVE,
        "gradients",
        {"after": "[parameter.data.mul_(1.01) for parameter in system.parameters()]"},
        "expected the loss of player model to leave parameters as they are",
    ),
    "a loss calls backward": (
        OBJECTIVE,
        "gradients",
        {"after": "loss.backward(retain_graph=True) if loss.requires_grad else None"},
        "call backward() on nothing; came a gradient on",
    ),
    "a loss reaches nothing": (
        OBJECTIVE,
        "gradients",
        {"after": "loss = loss.detach() + 0 * sum(p.sum() for p in system.parameters())"},
        "expected the loss of player model to reach the parameters that it owns",
    ),
    "an objective's loss is rounded": (
        OBJECTIVE,
        "float64",
        {"after": "loss = loss.float()"},
        "expected loss of player model in float64; came float32",
    ),
    "an objective makes tensors on the host": (
        OBJECTIVE,
        "devices",
        {"after": "loss = loss + 0 * torch.ones(2, dtype=x.dtype).mul(x[0, :2]).sum()"},
        "expected a loss on the device where the system is",
    ),
    "an objective reads its setting too early": (
        OBJECTIVE,
        "fleet",
        {"forward": "weight = self.weight"},
        "expected member 1 of a fleet to be trained as it is alone",
    ),
    "an objective cannot be mapped": (
        OBJECTIVE,
        "fleet",
        {"after": "loss = loss if x.device.type == 'meta' or float(loss.detach()) > 0 else 2 * loss"},
        "expected a loss that torch.func.vmap can map over the members of a fleet",
    ),
    "a data set has other levels": (
        DATASET,
        "shapes",
        {"dataset": "Dataset(name, splits, pixels=16, side=4, levels=17)"},
        "expected levels = 4, as declared; came 17",
    ),
    "a data set has too few images": (
        DATASET,
        "shapes",
        {"after": "content, labels = content[1:], labels[1:]"},
        "expected content of train, (image, pixel) = (40, 16), as declared; came (39, 16)",
    ),
    "a data set has levels that are none": (
        DATASET,
        "shapes",
        {"after": "content[3, 3] = 4"},
        "expected grey levels 0 … 3 in train; came 4",
    ),
    "a data set has floats for levels": (
        DATASET,
        "shapes",
        {"after": "content = content.double()"},
        "expected content of train = torch.uint8, as declared; came torch.float64",
    ),
    "a data set is another each time": (
        DATASET,
        "determinism",
        {"after": "content = torch.randint(0, 4, (count, 16), dtype=torch.uint8)"},
        "expected the same images and labels each time",
    ),
    "a metric answers what nobody declared": (
        METRIC,
        "shapes",
        {"answers": '[Answer(value, 0.0, part="extra")]'},
        "expected answers for the columns trial; came trial.extra",
    ),
    "a metric gives a bare number": (
        METRIC,
        "shapes",
        {"answers": "value"},
        "expected a list of vaebench.metrics.answer.Answer; came a float",
    ),
    "a metric's error is negative": (
        METRIC,
        "shapes",
        {"answers": "[Answer(value, -1.0)]"},
        "expected a standard error of trial that is None or not below 0; came -1.0",
    ),
    "a metric draws numbers of its own": (
        METRIC,
        "determinism",
        {"after": "value += float(torch.rand(()))"},
        "drawn from streams that the protocol's seed names",
    ),
    "a metric changes the model": (
        METRIC,
        "determinism",
        {"after": "subject.model.train()"},
        "expected the model to be left as it was; came training mode",
    ),
    "a metric averages blocks of unequal size": (
        METRIC,
        "blocks",
        {"after": "value = float(torch.stack([each.mean() for each in sums]).mean())"},
        "expected the same number with 7 images at a time for trial",
    ),
    "a metric looks at the first images": (
        METRIC,
        "order",
        {"after": "value = float(torch.cat(sums)[:5].mean())"},
        "expected the same number with the images in another order for trial",
    ),
}
NORMED = (
    "\ndef _normed(module, x):\n    flat = x.reshape(-1, x.shape[-1])\n    return module.norm(flat).reshape(x.shape)\n"
)

VARIANTS = {
    "fits": ('extends="ppca", latent=60000', "latent must be below the"),
    "trains": (
        'extends="vae", posterior={"name": "constant-variance", "sigma": 1e-6}, objective={"beta": 1e308}',
        "expected a finite loss over 2 epochs; came divergence",
    ),
}


def breaches(findings: list[Finding]) -> dict[str, str]:
    return {found.check: found.breach for found in findings if found.breach}


@pytest.mark.parametrize(
    "template", RIGHT, ids=["likelihood", "posterior", "prior", "network", "objective", "dataset", "metric"]
)
def test_what_is_right_passes_every_check(tmp_path: Path, template: Template) -> None:
    found = list(examine(load(tmp_path, source(template))))
    assert breaches(found) == {}
    assert {finding.check for finding in found if finding.passed} == {check.name for check in CHECKS[kind_of(found)]}


def kind_of(findings: list[Finding]) -> str:
    return findings[0].thing.partition(" ")[0]


@pytest.mark.parametrize("case", BREAKS)
def test_a_plugin_that_breaks_one_promise_fails_that_check_alone(tmp_path: Path, case: str) -> None:
    template, check, wrong, expected = BREAKS[case]
    text = source(template, **wrong)
    found = list(examine(load(tmp_path, NORMED + text if "_normed" in text else text)))
    assert list(breaches(found)) == [check], breaches(found)
    assert expected in breaches(found)[check]
    assert found[0].place.rpartition(":")[2].isdigit()


def test_every_check_is_broken_by_some_plugin() -> None:
    """Checks that several kinds share by one function are broken for one of them at least."""
    kinds = {LIKELIHOOD: "likelihood", POSTERIOR: "posterior", PRIOR: "prior", NETWORK: "network"}
    kinds |= {OBJECTIVE: "objective", DATASET: "dataset", METRIC: "metric"}
    broken = {(kinds[template], name) for template, name, _, _ in BREAKS.values()} | {("variant", "fits")}
    broken |= {("variant", "trains")}
    shown = {check.ask for kind in CHECKS for check in CHECKS[kind] if (kind, check.name) in broken}
    missing = {(kind, c.name) for kind in CHECKS for c in CHECKS[kind] if c.ask not in shown}
    assert missing == {("variant", "fleet")}  # what breaks it is a part, and that part's own check shows it


@pytest.mark.parametrize("check", VARIANTS)
def test_a_variant_that_cannot_be_trained_is_told(tmp_path: Path, check: str) -> None:
    arguments, expected = VARIANTS[check]
    found = list(examine(load(tmp_path, f'import vaebench\nvaebench.variant("trial", {arguments})\n')))
    assert list(breaches(found)) == [check]
    assert expected in breaches(found)[check]


def test_a_variant_made_of_a_part_that_no_fleet_takes_fails_too(tmp_path: Path) -> None:
    text = source(LIKELIHOOD, forward="mean = mean if float(mean.detach().sum()) > -1e9 else -mean")
    text += '\nvaebench.variant("trial-vae", extends="vae-gaussian", likelihood="trial")\n'
    found = [finding for finding in examine(load(tmp_path, text)) if finding.thing == "variant trial-vae"]
    assert list(breaches(found)) == ["fleet"]


def test_the_tutorials_decoder_passes(tmp_path: Path) -> None:
    assert breaches(list(examine(load(tmp_path, LAPLACE)))) == {}


def test_bins_are_right_once_their_mass_is_registered(tmp_path: Path) -> None:
    """As the message advises."""
    wrong = {"before": LOGISTIC, "distribution": "IndependentPixels(Logistic(mean, width.expand_as(mean)))"}
    assert breaches(list(examine(load(tmp_path, source(LIKELIHOOD, **wrong) + LOG_MASS)))) == {}


def test_a_density_that_knows_its_pixels_lie_between_0_and_1_may_say_what_it_likes_elsewhere() -> None:
    """Built-in likelihoods are held to the same promises; two of the kinds that are hard to integrate."""
    for name in ("truncated-gaussian", "gaussian-lowrank", "discretised-logistic"):
        assert breaches(list(examined(Declaration("likelihood", name, {}, "x.py", 1)))) == {}, name


def test_questions_that_build_on_a_broken_promise_are_not_asked(tmp_path: Path) -> None:
    text = source(LIKELIHOOD, distribution="Normal(mean, width.expand_as(mean))")
    found = list(examine(load(tmp_path, text)))
    assert {finding.check for finding in found if finding.not_asked} == {
        check.name for check in CHECKS["likelihood"]
    } - {"shapes"}


def test_what_a_plugin_raises_is_told_with_its_line(tmp_path: Path) -> None:
    text = source(LIKELIHOOD, init='raise ValueError("not today")')
    line = next(number for number, content in enumerate(text.splitlines(), start=1) if "not today" in content)
    (said,) = breaches(list(examine(load(tmp_path, text)))).values()
    assert said.startswith("expected an answer; came ValueError: not today")
    assert f"mine.py:{line}" in said


def test_the_report_names_what_holds_what_does_not_and_what_was_not_asked() -> None:
    findings = (
        Finding("a.py:3", "likelihood a", "shapes"),
        Finding("a.py:3", "likelihood a", "bins", not_asked="it is no density"),
        Finding("a.py:3", "likelihood a", "normalisation", breach="expected 1; came 2"),
        Finding("a.py:3", "likelihood a", "draws", not_asked="needs normalisation", waits=True),
        Finding("a.py:3", "likelihood a", "fleet", not_asked="needs draws", waits=True),
    )
    assert Examined(findings).lines == [
        "likelihood a: holds: shapes",
        "likelihood a: bins: not asked: it is no density",
        "a.py:3: likelihood a: normalisation: expected 1; came 2",
        "likelihood a: not asked before that is mended: draws, fleet",
        "checks: 1 passed, 1 failed",
    ]
    assert not Examined(findings).passed
    assert Examined(findings[:2]).passed


def test_the_catalog_is_left_as_it_is_by_an_examination(tmp_path: Path) -> None:
    plugin = load(tmp_path, source(DATASET))
    before = load_catalog()
    list(examine(plugin))
    assert load_catalog() is before
