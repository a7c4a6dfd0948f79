"""From a suite to its cells, what they are asked, and the fleets that train them."""

import subprocess
import sys

import pytest

from tests.suite.writing import loaded, mistakes_in, written
from vaebench.catalog.catalog import load_catalog
from vaebench.store.cell import Cell
from vaebench.suite.expansion import CHECKS, Planned, expand, not_applicable, requests
from vaebench.suite.fleets import group
from vaebench.suite.loading import load_suite
from vaebench.suite.suite import Suite


def ids(suite: Suite) -> dict[tuple[str, str, int], str]:
    return {(p.variant, p.cell.source, p.cell.seed): p.cell.id for p in expand(suite).planned}


def cells(suite: Suite) -> list[Cell]:
    return [planned.cell for planned in expand(suite).planned]


def planned(suite: Suite, variant: str, source: str) -> Planned:
    return next(p for p in expand(suite).planned if p.variant == variant and p.cell.source == source)


def test_cells_come_by_data_set_then_variant_then_seed() -> None:
    suite = loaded(variants="[vae, beta-vae]", seeds="[5, 3]")
    assert [(p.cell.source, p.variant, p.cell.seed) for p in expand(suite).planned][:5] == [
        ("digits/binary", "vae", 5),
        ("digits/binary", "vae", 3),
        ("digits/binary", "beta-vae", 5),
        ("digits/binary", "beta-vae", 3),
        ("digits/grey", "vae", 5),
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"variants": "[ppca, vae-gaussian, {name: other, extends: vae, latent: 3}, vae, beta-vae]"},
        {"metrics": "[elbo, log_likelihood, sharpness, {kl: {samples: 3}}]"},
        {"seeds": "[4, 1, 0]"},
        {"datasets": "[digits/threshold, digits/grey, digits/binary]"},
        {"suite": "renamed", "budget": "full", "description": "Another one."},
        {"contrasts": "[{question: '?', theory: vae, practice: beta-vae, primary: elbo}]"},
    ],
    ids=["a variant", "a metric", "a seed", "a data set", "a name", "a contrast"],
)
def test_adding_to_a_suite_changes_no_other_cell(more: dict[str, str | None]) -> None:
    before = ids(loaded(variants="[vae, beta-vae]"))
    after = ids(loaded(**{"variants": "[vae, beta-vae]", **more}))
    assert {key: after[key] for key in before} == before


def test_variants_of_one_composition_share_their_cells() -> None:
    suite = loaded(variants="[vae, {name: twin, extends: beta-vae, title: Twin, objective: {beta: 1}}]")
    found = ids(suite)
    assert len(found) == 8
    assert all(
        found[("twin", source, seed)] == found[("vae", source, seed)] for source in suite.datasets for seed in (0, 1)
    )


@pytest.mark.parametrize("way", ["output: mean", "prior: normal", "prior: fitted-gmm", "around: x"])
def test_the_way_to_generate_is_no_part_of_a_cell(way: str) -> None:
    suite = loaded(variants=f"[vae, {{name: other, extends: vae, generation: {{{way}}}}}]")
    assert len(set(ids(suite).values())) == 4


def test_the_way_to_generate_belongs_to_the_protocol_of_what_looks_at_generated_images() -> None:
    suite = loaded(
        metrics="[elbo, frechet]",
        variants="[vae, {name: other, extends: vae, generation: {prior: fitted-gmm, around: x}}]",
    )
    asked = {r.metric: r.protocol for r in requests(suite, planned(suite, "other", "digits/binary"))}
    assert (asked["frechet"]["generation_prior"], asked["frechet"]["generation_around"]) == ("fitted-gmm", "x")
    assert "generation_prior" not in asked["elbo"]


@pytest.mark.parametrize(
    ("source", "likelihood"),
    [
        ("digits/binary", "bernoulli"),
        ("digits/threshold", "bernoulli"),
        ("digits/grey", "gaussian-shared"),
        ("linear-gaussian/real", "gaussian-shared"),
    ],
)
def test_the_view_resolves_the_default_likelihood(source: str, likelihood: str) -> None:
    suite = loaded(datasets=f"[{source}]", metrics="[elbo]")
    assert {cell.composition["likelihood"]["name"] for cell in cells(suite)} == {likelihood}


def test_what_is_given_with_the_default_likelihood_goes_to_the_one_that_has_it() -> None:
    suite = loaded(variants="[{extends: vae, likelihood: {sigma_floor: 0.1}}]")
    likelihoods = {cell.view: cell.composition["likelihood"] for cell in cells(suite)}
    assert likelihoods["binary"] == {"name": "bernoulli"}
    assert likelihoods["grey"] == {"name": "gaussian-shared", "sigma_floor": 0.1}


def test_a_likelihood_that_counts_levels_has_those_of_the_data_set() -> None:
    suite = loaded(datasets="[digits/grey, mnist/grey]", variants="[independent-levels]")
    levels = {
        planned.cell.dataset: planned.cell.composition["likelihood"]["levels"] for planned in expand(suite).planned
    }
    assert levels == {"digits": 17, "mnist": 256}


def test_levels_that_are_not_the_data_sets_are_refused_with_theirs() -> None:
    wrong = "[vae, {extends: independent-levels, likelihood: {levels: 256}}]"
    (mistake,) = mistakes_in(written(datasets="[digits/grey]", variants=wrong))
    assert "levels must be the 17 grey levels of digits, is 256" in mistake.what


def test_a_pair_that_cannot_be_is_not_planned_but_listed_with_its_reason() -> None:
    expansion = expand(loaded(variants="[vae, vae-gaussian]"))
    assert [(pair.variant, pair.source) for pair in expansion.impossible] == [("vae-gaussian", "digits/binary")]
    assert expansion.impossible[0].reason == "likelihood gaussian is for the views grey, dequantised and real"
    assert len(expansion.planned) == 6


def test_a_pair_outside_of_on_is_not_even_listed() -> None:
    expansion = expand(loaded(variants="[vae, {extends: vae-gaussian, on: [digits/grey]}]"))
    assert expansion.impossible == ()


def test_every_check_that_the_catalog_names_exists() -> None:
    named = {check for parts in load_catalog().parts.values() for part in parts.values() for check in part.checks}
    assert named <= set(CHECKS)


def test_every_variant_of_the_catalog_fits_a_data_set() -> None:
    catalog = load_catalog()
    listed = ", ".join(catalog.variants)
    suite = loaded(datasets=f"[{', '.join(catalog.sources)}]", variants=f"[{listed}]", metrics="[elbo]", seeds="1")
    assert {p.variant for p in expand(suite).planned} == set(catalog.variants)


def test_a_cell_is_asked_once_for_each_family_with_its_protocol_written_out() -> None:
    suite = loaded(metrics="[{elbo: {samples: 3}}, sharpness.mean, sharpness.data, train_seconds]")
    asked = requests(suite, planned(suite, "vae", "digits/binary"))
    assert {request.metric: request.protocol for request in asked} == {
        "elbo": {"samples": 3, "kl": "analytic", "split": "test", "seed": 0},
        "sharpness": {
            "images": 1000,
            "split": "test",
            "seed": 0,
            "generation_prior": "own",
            "generation_around": "prior",
        },
        "train_seconds": {},
    }


def test_the_floor_of_sigma_belongs_to_the_protocol_of_a_density() -> None:
    suite = loaded(metrics="[elbo, kl, bits_per_dim]", variants="[vae-gaussian, vae-mse]")
    protocols = {r.metric: r.protocol for r in requests(suite, planned(suite, "vae-gaussian", "digits/grey"))}
    assert protocols["elbo"]["sigma_floor"] == 0.001
    assert "sigma_floor" not in protocols["kl"]
    assert "sigma_floor" not in protocols["bits_per_dim"]
    fixed = {r.metric: r.protocol for r in requests(suite, planned(suite, "vae-mse", "digits/grey"))}
    assert "sigma_floor" not in fixed["elbo"]


def test_a_metric_that_does_not_apply_is_not_asked_and_says_why() -> None:
    suite = loaded(
        datasets="[digits/binary, digits/grey, linear-gaussian/real]", metrics="[elbo, bits_per_dim, sharpness]"
    )
    asked = {source: [r.metric for r in requests(suite, planned(suite, "vae", source))] for source in suite.datasets}
    assert asked == {
        "digits/binary": ["elbo", "sharpness"],
        "digits/grey": ["elbo", "bits_per_dim", "sharpness"],
        "linear-gaussian/real": ["elbo"],
    }
    vae = suite.variant("vae")
    assert (
        not_applicable("bits_per_dim", vae, "digits/binary")
        == "bits_per_dim is defined on the views grey and dequantised"
    )
    assert not_applicable("sharpness.mean", vae, "linear-gaussian/real") is not None
    assert not_applicable("elbo", vae, "linear-gaussian/real") is None


def test_a_fleet_holds_seeds_and_settings_of_one_graph() -> None:
    suite = loaded(
        datasets="[digits/binary]",
        metrics="[elbo]",
        variants="""
        - vae
        - {extends: beta-vae, objective: {beta: [0.25, 4]}}
        - {name: wide, extends: vae, network: {hidden: [500]}}
        - {name: two-draws, extends: vae, objective: {samples: 2}}
        """,
    )
    fleets = group(cells(suite))
    assert [len(fleet.cells) for fleet in fleets] == [6, 2, 2]
    assert {cell.composition["objective"]["beta"] for cell in fleets[0].cells} == {0.25, 1.0, 4.0}


def test_views_and_recipes_are_never_mixed_in_a_fleet_but_learning_rates_are() -> None:
    assert len(group(cells(loaded()))) == 2
    slow, fast = (loaded(recipe=f"{{learning_rate: {rate}}}") for rate in (0.001, 0.01))
    assert len(group(cells(slow) + cells(fast))) == 2
    assert len(group(cells(slow) + cells(loaded(recipe="{epochs: 2}")))) == 4


def test_a_fleet_s_key_depends_on_what_its_members_share_alone() -> None:
    small, large = loaded(seeds="1"), loaded(seeds="4", variants="[beta-vae, vae]")
    assert [fleet.key for fleet in group(cells(small))] == [fleet.key for fleet in group(cells(large))]
    assert [fleet.key for fleet in group(reversed(cells(small)))] == [fleet.key for fleet in group(cells(small))][::-1]


def test_a_cell_that_two_variants_share_is_one_member() -> None:
    suite = loaded(variants="[vae, {name: twin, extends: vae}]", seeds="3")
    assert [len(fleet.cells) for fleet in group(cells(suite))] == [3, 3]


def test_a_fleet_that_is_too_large_is_split() -> None:
    fleets = group(cells(loaded(seeds="5", datasets="[digits/grey]")), max_members=2)
    assert [len(fleet.cells) for fleet in fleets] == [2, 2, 1]
    assert len({fleet.key for fleet in fleets}) == 3
    with pytest.raises(ValueError, match="at least 1"):
        group([], max_members=0)


def test_quickstart_asks_for_every_metric_of_its_six_variants() -> None:
    suite = load_suite("quickstart")
    assert [variant.name for variant in suite.variants] == [
        "vae",
        "beta-vae",
        "vmi-vae",
        "vae-gaussian",
        "vae-mse",
        "ppca",
    ]
    assert suite.families == suite.metrics
    assert len(suite.metrics) == 10
    assert suite.rank_by == {"binary": "log_likelihood", "grey": "bits_per_dim"}
    assert len(cells(suite)) == 30
    assert {cell.composition["latent"] for cell in cells(suite)} == {8}
    assert [len(fleet.cells) for fleet in group(cells(suite))] == [10, 5, 5, 5, 5]


def test_reading_and_expanding_a_suite_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from vaebench.suite.loading import load_suite\n"
        "from vaebench.suite.expansion import expand, requests\n"
        "from vaebench.suite.fleets import group\n"
        "suite = load_suite('quickstart')\n"
        "planned = expand(suite).planned\n"
        "assert group(p.cell for p in planned) and requests(suite, planned[0])\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'pandas', 'numpy', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr
