"""Parameters that join the catalog later are unsaid at their defaults: what was trained before keeps its identity."""

import inspect

import pytest

from vaebench.catalog.catalog import KINDS, complete, load_catalog
from vaebench.catalog.implementation import implementation
from vaebench.catalog.parameters import Parameter
from vaebench.suite.expansion import expand, requests
from vaebench.suite.loading import load_suite, load_suite_mapping

CATALOG = load_catalog()
UNSAID = [
    (part, parameter)
    for kind in KINDS
    for part in CATALOG.parts[kind].values()
    for parameter in part.parameters.values()
    if parameter.unsaid
]
QUICKSTART = "a27cc35ea86c077b 47bcb6a9d01eec89 90746bf306247647 9ea8dd13073bfe88 c9ea6788cbcd6dcb 3ece6ba4923c7cd9"
"""Ids of its six models at seed 0."""


def test_the_models_of_quickstart_are_the_cells_that_they_were():
    """Whoever has trained them need not train them again. An id changes where a choice joins that is always said."""
    planned = expand(load_suite("quickstart")).planned
    assert [one.cell.id for one in planned if one.cell.seed == 0] == QUICKSTART.split()


def test_an_unsaid_parameter_is_written_out_where_it_is_not_at_its_default():
    parameters = {
        "old": Parameter("old", "integer", 1),
        "new": Parameter("new", "integer", 2, unsaid=True),
    }
    assert complete(parameters, {}) == complete(parameters, {"new": 2}) == {"old": 1}
    assert complete(parameters, {"new": 3}) == {"old": 1, "new": 3}


@pytest.mark.parametrize(("part", "parameter"), UNSAID, ids=lambda entry: entry.name)
def test_what_runs_has_the_unsaid_default_that_the_catalog_states(part, parameter):
    signature = inspect.signature(implementation(part.implementation))
    assert signature.parameters[parameter.name].default == parameter.default


def test_the_default_said_aloud_is_the_same_model_and_the_same_question():
    def mapping(**changes):
        return {
            "suite": "trial",
            "datasets": ["digits/binary"],
            "variants": ["vae"],
            "metrics": ["elbo"],
            "seeds": 1,
            **changes,
        }

    aloud = mapping(
        recipe={"first_images": None},
        variants=[
            {
                "extends": "vae",
                "likelihood": {"name": "bernoulli", "bias": "network"},
                "posterior": {"least_log_variance": None},
                "trainer": "vaebench",
            }
        ],
        metrics=[{"elbo": {"split": "test"}}],
    )
    pairs = [
        (load_suite_mapping(content), expand(load_suite_mapping(content)).planned[0]) for content in (mapping(), aloud)
    ]
    assert len({planned.cell.id for _, planned in pairs}) == 1
    assert len({requests(suite, planned)[0].key for suite, planned in pairs}) == 1
    another = load_suite_mapping(mapping(metrics=[{"elbo": {"split": "train"}}]))
    (asked,) = requests(another, expand(another).planned[0])
    assert asked.protocol["split"] == "train"
