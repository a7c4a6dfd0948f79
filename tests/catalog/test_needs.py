"""What a metric needs of q(z|x) stands in the catalog before a model is trained, and its evaluator says the same."""

import pytest
import torch

from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.consistency import NEEDS
from vaebench.data.dataset import load_dataset
from vaebench.data.source import Source
from vaebench.metrics.evaluation import evaluate
from vaebench.metrics.subject import Subject
from vaebench.models.composition import Composition
from vaebench.store.record import MetricRequest
from vaebench.suite.expansion import compose, declined
from vaebench.suite.loading import load_suite_mapping
from vaebench.suite.mistakes import SuiteError

SUITE = {
    "suite": "needs",
    "datasets": ["digits/grey"],
    "seeds": 5,
    "defaults": {"latent": 12, "network": {"hidden": [8]}},
    "variants": ["ae", "vae-gaussian", "joint-vae"],
    "metrics": ["reconstruction"],
}
SMALL = {"images": 12, "samples": 4, "steps": 4, "draws": 4, "batch": 8, "hidden": [8], "elbo_samples": 2}


def needs_anything(metric):
    return metric.needs or any(part.needs for part in metric.parts.values())


@pytest.mark.parametrize("name", SUITE["variants"])
def test_what_is_declined_beforehand_is_what_the_evaluators_decline(name):
    """Of every metric that needs anything, on a model that nobody trained."""
    catalog, torch_state = load_catalog(), torch.random.get_rng_state()
    variant = load_suite_mapping(SUITE).variant(name)
    torch.manual_seed(0)
    source = Source(load_dataset("digits"), "grey", dtype=torch.float64)
    model = Composition(compose(variant, "digits/grey", catalog), source.dataset.shape).double().eval()
    torch.random.set_rng_state(torch_state)
    families = [metric for metric in catalog.metrics.values() if needs_anything(metric)]
    assert len(families) > 10
    requests = [
        MetricRequest(metric.name, {name: SMALL.get(name, each.default) for name, each in metric.parameters.items()})
        for metric in families
    ]
    shared = {"split": "test", "seed": 0}
    answers = evaluate(Subject(model, source), [MetricRequest(r.metric, {**r.protocol, **shared}) for r in requests])
    reasons = (*NEEDS.values(), "the code has no category")
    found = {answer.metric for answer in answers if answer.status == "n/a" and answer.note in reasons}
    columns = [column for metric in families for column in metric.columns]
    assert not [answer for answer in answers if answer.status == "failed"]
    assert found == {column for column in columns if declined(column, variant) is not None}
    assert bool(found) == (name != "joint-vae")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metrics": ["elbo"], "variants": ["ae"]}, "elbo applies to no variant of the suite: q is a point"),
        ({"metrics": ["code_entropy"], "variants": ["ae", "vae-gaussian"]}, "code_entropy applies to no variant"),
        ({"rank_by": {"grey": "code_accuracy.majority"}, "variants": ["ae"]}, "code_accuracy.majority applies to no"),
        (
            {"contrasts": [{"question": "?", "theory": "vae-gaussian", "practice": "ae", "primary": "elbo"}]},
            "no elbo for ae on digits/grey: q is a point",
        ),
        (
            {
                "metrics": ["reconstruction", "kl"],
                "expected": [
                    {"of": "ae:kl", "on": "digits/grey", "value": 0, "band": 1, "source": "ours", "kind": "exact"}
                ],
            },
            "no kl for ae on digits/grey: q is a point",
        ),
    ],
)
def test_what_no_model_will_answer_is_told_before_any_is_trained(changes, said):
    with pytest.raises(SuiteError) as wrong:
        load_suite_mapping({**SUITE, **changes})
    assert said in str(wrong.value)


def test_a_metric_that_one_of_them_answers_is_none_of_their_mistakes():
    assert load_suite_mapping({**SUITE, "metrics": ["elbo", "code_entropy"]}).families == ("elbo", "code_entropy")
