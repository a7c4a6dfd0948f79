"""`profiles` of a suite: what a profile says in place of the suite, and where its mistakes are found."""

import pytest

from tests.suite.writing import FILE, loaded, marked_lines, mistakes_in, written
from vaebench.catalog.catalog import load_catalog
from vaebench.suite.expansion import expand
from vaebench.suite.loading import resolve_suite
from vaebench.suite.mistakes import SuiteError
from vaebench.suite.suite import Suite
from vaebench.suite.yaml_source import parse_source

TWO = """
cpu: {seeds: 1, recipe: {epochs: 3}, datasets: [digits/binary]}
gpu: {seeds: 4, recipe: {epochs: 70}, budget: full, defaults: {latent: 5}}
"""
RECIPE = "{extends: quick, batch: 20}"


def under(asked: str | None, **sections: str) -> Suite:
    return resolve_suite(parse_source(written(**sections).encode(), FILE), load_catalog(), profile=asked)


def test_a_profile_takes_the_place_of_what_the_suite_says_and_joins_its_mappings():
    cpu = loaded(profiles=TWO, recipe=RECIPE)
    gpu = under("gpu", profiles=TWO, recipe=RECIPE)
    assert (cpu.profile, cpu.seeds, cpu.datasets) == ("cpu", (0,), ("digits/binary",))
    assert (gpu.profile, gpu.seeds, len(gpu.datasets)) == ("gpu", (0, 1, 2, 3), 2)
    assert [(suite.recipe["epochs"], suite.recipe["batch"]) for suite in (cpu, gpu)] == [(3, 20), (70, 20)]
    assert {variant.composition["latent"] for variant in gpu.variants} == {5}
    assert (cpu.budget_name, gpu.budget_name) == ("quick", "full")


def test_the_suite_says_which_profile_is_in_force_and_without_a_word_it_is_the_first():
    assert loaded(profiles=TWO, profile="gpu").profile == "gpu"
    assert loaded(profiles=TWO).profile == "cpu"
    assert under("cpu", profiles=TWO, profile="gpu").profile == "cpu"


def test_recipe_and_budget_start_from_the_catalogs_profile_of_that_name():
    assert under("gpu", profiles="{gpu: {seeds: 2}, mine: {seeds: 3}}").recipe_name == "standard"
    assert under("mine", profiles="{gpu: {seeds: 2}, mine: {seeds: 3}}").recipe_name == "quick"


def test_a_profile_whose_mapping_names_what_it_extends_leaves_the_suites_own_behind():
    suite = loaded(profiles="{cpu: {recipe: {extends: standard}}}", recipe=RECIPE)
    assert (suite.recipe_name, suite.recipe["batch"]) == ("standard", 128)


def test_the_cells_of_a_profile_are_those_of_a_suite_that_says_the_same_itself():
    plain = loaded(
        seeds="1", recipe="{extends: quick, batch: 20, epochs: 3}", datasets="[digits/binary]", metrics="[elbo]"
    )
    assert [one.cell.id for one in expand(loaded(profiles=TWO, recipe=RECIPE)).planned] == [
        one.cell.id for one in expand(plain).planned
    ]


def test_a_suite_without_profiles_can_be_run_under_those_of_the_catalog():
    suite = under("gpu")
    assert (suite.profile, suite.recipe_name, suite.budget_name) == ("gpu", "standard", "standard")
    assert loaded().profile is None


def test_a_variant_may_be_restricted_to_a_view_that_only_another_profile_has():
    profiles = "{cpu: {datasets: [digits/binary]}, gpu: {seeds: 2}}"
    variants = "[vae, {extends: vae-gaussian, on: [digits/grey]}]"
    assert {one.variant for one in expand(under("cpu", profiles=profiles, variants=variants)).planned} == {"vae"}
    assert "vae-gaussian" in {one.variant for one in expand(under("gpu", profiles=profiles, variants=variants)).planned}


def test_what_was_resolved_survives_the_lock_file():
    suite = under("gpu", profiles=TWO)
    assert Suite.from_json(suite.to_json()).profile == "gpu"


@pytest.mark.parametrize(
    ("profiles", "path", "what"),
    [
        ("\ncpu:\n  recipe: {epoch: 3}  # here", "profiles.cpu.recipe.epoch", "did you mean 'epochs'?"),
        ("\ncpu:\n  recipe: {epochs: 0}  # here", "profiles.cpu.recipe.epochs", "must be at least 1, is 0"),
        ("\ncpu: {seeds: 2}\ngpu:\n  seeds: 0  # here", "profiles.gpu.seeds", "must be at least 1, is 0"),
        ("\ngpu:\n  datasets: [digits/gray]  # here", "profiles.gpu.datasets[0]", "did you mean 'digits/grey'?"),
        ("\ncpu:\n  budjet: quick  # here", "profiles.cpu.budjet", "unknown key (did you mean 'budget'?)"),
        (
            "\ncpu:\n  metrics: [elbo]  # here",
            "profiles.cpu.metrics",
            "valid: datasets, seeds, recipe, budget, defaults",
        ),
        ("\ncpu:\n  defaults: {latnt: 3}  # here", "profiles.cpu.defaults.latnt", "did you mean 'latent'?"),
        ("\ncpu: 3  # here", "profiles.cpu", "must be a mapping, is 3"),
        ("{}  # here", "profiles", "must not be an empty"),
        ("\na b: {seeds: 2}  # here", "profiles.'a b'", "'a b' is no name"),
    ],
)
def test_a_mistake_in_a_profile_is_found_on_its_own_line_whichever_is_in_force(profiles, path, what):
    text = written(profiles=profiles, recipe=RECIPE)
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path) == (marked_lines(text), path)
    assert what in str(mistake)


def test_a_mistake_that_only_one_profile_has_says_which():
    profiles = "{cpu: {recipe: {select: last}}, gpu: {recipe: {select: best-validation}}}"
    text = written(profiles=profiles, recipe="\n  patience: 3  # here")
    (mistake,) = mistakes_in(text)
    assert [mistake.line] == marked_lines(text)
    assert mistake.what == "needs select best-validation, here it is last (profile cpu)"


def test_what_only_speaks_of_a_view_that_another_profile_has_is_no_mistake():
    assert under("cpu", profiles=TWO, rank_by="{grey: bits_per_dim}").rank_by == {"binary": "log_likelihood"}
    (mistake,) = mistakes_in(
        written(profiles="{cpu: {}, gpu: {}}", datasets="[digits/binary]", metrics="[bits_per_dim]")
    )
    assert "applies to no variant of the suite" in mistake.what


def test_a_mistake_that_all_profiles_share_is_told_once():
    (mistake,) = mistakes_in(written(profiles=TWO, variants="[vae, vea]"))
    assert "profile" not in mistake.what


@pytest.mark.parametrize(
    ("profile", "sections", "what"),
    [
        ("gup", {"profiles": TWO}, "--profile: the suite has no profile 'gup' (did you mean 'gpu'?)"),
        ("whole", {}, "--profile: 'whole' is no profile; valid: cpu, gpu"),
        ("gpu", {"recipe": "quick", "budget": "quick"}, "--profile: changes nothing"),
    ],
)
def test_a_profile_that_cannot_be_had_is_refused(profile, sections, what):
    with pytest.raises(SuiteError) as refused:
        under(profile, **sections)
    assert what in str(refused.value)


def test_a_default_profile_that_the_suite_has_not_is_refused_on_its_line():
    text = written(profiles=TWO, profile="cpuu  # here")
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path) == (marked_lines(text), "profile")
    assert "none of the suite's profiles (did you mean 'cpu'?)" in str(mistake)
