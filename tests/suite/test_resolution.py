"""What a sound suite means: defaults, extends, grids, names, recipes, budgets, rankings."""

import copy
from pathlib import Path

import pytest

from tests.suite.writing import FILE, loaded, written
from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.parameters import Parameter
from vaebench.suite.loading import load_suite, load_suite_mapping, resolve_suite, shipped
from vaebench.suite.mistakes import SuiteError
from vaebench.suite.suite import Suite
from vaebench.suite.yaml_source import parse_source


def names(suite: Suite) -> list[str]:
    return [variant.name for variant in suite.variants]


def test_a_plain_name_is_the_catalog_s_variant_with_every_parameter_written_out() -> None:
    (variant,) = loaded(variants="[beta-vae]").variants
    assert (variant.name, variant.extends, variant.stance, variant.title) == (
        "beta-vae",
        "beta-vae",
        "practice",
        "β-VAE",
    )
    assert variant.composition["network"]["hidden"] == [400, 400]
    assert variant.composition["latent"] == 32
    chosen = {"beta": 4.0, "kl": "analytic", "samples": 1, "train_on": "view"}
    assert variant.composition["objective"] == {"name": "elbo", **chosen}
    assert variant.generation == {"prior": "own", "output": "draw", "around": "prior"}


def test_a_default_goes_over_the_catalog_and_an_entry_over_the_default() -> None:
    suite = loaded(
        defaults="{latent: 8, network: {hidden: [64]}, objective: {beta: 2}}",
        variants="[beta-vae, {name: mine, extends: beta-vae, latent: 4, objective: {beta: 3}}]",
    )
    given, own = (suite.variant(name).composition for name in ("beta-vae", "mine"))
    assert (given["latent"], given["network"]["hidden"], given["objective"]["beta"]) == (8, [64], 2.0)
    assert (own["latent"], own["network"]["hidden"], own["objective"]["beta"]) == (4, [64], 3.0)


def test_a_default_reaches_only_the_variants_whose_part_has_the_parameter() -> None:
    suite = loaded(
        datasets="[digits/grey]", defaults="{likelihood: {sigma: 0.5}}", variants="[vae-mse, vae-gaussian, ppca]"
    )
    likelihoods = {variant.name: variant.composition["likelihood"] for variant in suite.variants}
    assert likelihoods["vae-mse"]["sigma"] == 0.5
    assert "sigma" not in likelihoods["vae-gaussian"]
    assert "sigma" not in likelihoods["ppca"]


def test_a_default_part_takes_the_place_of_those_that_are_not_fixed() -> None:
    suite = loaded(datasets="[digits/grey]", defaults="{network: linear, latent: 3}", variants="[vae, vae-mse, ppca]")
    networks = {variant.name: variant.composition["network"]["name"] for variant in suite.variants}
    assert networks == {"vae": "linear", "vae-mse": "linear", "ppca": "none"}
    assert {variant.composition["latent"] for variant in suite.variants} == {3}


def test_a_default_reaches_the_likelihood_that_the_view_puts_in() -> None:
    suite = loaded(defaults="{likelihood: {sigma_floor: 0.1}}", variants="[vae]")
    assert suite.variant("vae").composition["likelihood"] == {"name": "default", "sigma_floor": 0.1}
    named = loaded(defaults="{likelihood: {name: default, sigma_floor: 0.1}}", variants="[vae-mse]")
    assert named.variant("vae-mse").composition["likelihood"] == {"name": "default", "sigma_floor": 0.1}


def test_a_mapping_joins_its_part_unless_it_gives_another_name() -> None:
    suite = loaded(
        variants="""
        - {name: joined, extends: vmi-vae, objective: {lambda: 3}}
        - {name: same, extends: vmi-vae, objective: {name: vmi, lambda: 3}}
        - {name: other, extends: vmi-vae, objective: {name: elbo, beta: 3}}
        """
    )
    joined, same, other = (suite.variant(name).composition["objective"] for name in ("joined", "same", "other"))
    assert joined == same == {**joined, "lambda": 3.0, "source": "encoder", "subcode": [0, 1]}
    assert other == {"name": "elbo", "beta": 3.0, "kl": "analytic", "samples": 1, "train_on": "view"}


def test_entries_extend_one_another_in_any_order() -> None:
    suite = loaded(
        variants="""
        - {name: c, extends: b, objective: {beta: 3}}
        - {name: b, extends: a, latent: 5, on: [digits/grey]}
        - {name: a, extends: vae, network: {hidden: [7]}, title: Mine}
        """
    )
    composition = suite.variant("c").composition
    assert (composition["network"]["hidden"], composition["latent"], composition["objective"]["beta"]) == ([7], 5, 3.0)
    assert (suite.variant("c").on, suite.variant("c").title, suite.variant("c").extends) == (
        ("digits/grey",),
        "Mine",
        "b",
    )
    assert suite.variant("a").on is None


def test_an_entry_of_the_name_that_it_extends_extends_the_catalog() -> None:
    assert loaded(variants="[{name: vae, extends: vae, latent: 3}]").variant("vae").composition["latent"] == 3


def test_a_variant_can_be_written_without_extending_anything() -> None:
    suite = loaded(
        variants="""
        - name: mine
          stance: theory
          network: {name: mlp, hidden: [9]}
          latent: 3
          likelihood: default
          posterior: diagonal-gaussian
          prior: standard-normal
          objective: elbo
        """
    )
    (variant,) = suite.variants
    assert (variant.title, variant.extends, variant.generation["output"]) == ("mine", None, "draw")
    assert variant.composition["network"]["hidden"] == [9]


def test_a_list_where_a_scalar_is_expected_is_a_grid() -> None:
    suite = loaded(variants="[{extends: beta-vae, objective: {beta: [0.25, 1, 4]}}]")
    assert names(suite) == ["beta-vae[beta=0.25]", "beta-vae[beta=1]", "beta-vae[beta=4]"]
    assert [variant.composition["objective"]["beta"] for variant in suite.variants] == [0.25, 1.0, 4.0]
    assert suite.variants[0].title == "β-VAE [beta=0.25]"


def test_a_list_parameter_is_gridded_with_a_list_of_lists() -> None:
    suite = loaded(variants="[{extends: vae, network: {hidden: [[400, 400], [100]], activation: [relu, tanh]}}]")
    assert names(suite) == [
        "vae[hidden=400-400,activation=relu]",
        "vae[hidden=400-400,activation=tanh]",
        "vae[hidden=100,activation=relu]",
        "vae[hidden=100,activation=tanh]",
    ]
    assert suite.variants[-1].composition["network"]["hidden"] == [100]


def test_a_list_of_parts_is_a_grid_named_by_its_kind() -> None:
    suite = loaded(
        datasets="[digits/grey]",
        variants="[{name: g, extends: vae, likelihood: [gaussian, gaussian-shared], latent: [2, 3]}]",
    )
    assert names(suite)[:2] == ["g[latent=2,likelihood=gaussian]", "g[latent=3,likelihood=gaussian]"]
    assert len(suite.variants) == 4


def test_small_numbers_in_a_name_are_written_as_python_writes_them() -> None:
    suite = loaded(variants="[{extends: vae, objective: {kl: [analytic, monte-carlo], beta: [1.0e-5]}}]")
    assert names(suite) == ["vae[beta=1e-05,kl=analytic]", "vae[beta=1e-05,kl=monte-carlo]"]


def test_gridded_keys_that_read_the_same_are_written_in_full() -> None:
    catalog = copy.deepcopy(load_catalog())
    catalog.parts["network"]["mlp"].parameters["beta"] = Parameter("beta", "number", 0.0)
    grids = "{extends: vae, network: {beta: [1]}, latent: [3], objective: {beta: [2, 4]}}"
    suite = resolve_suite(parse_source(written(variants=f"[{grids}]").encode(), FILE), catalog)
    assert names(suite) == [
        "vae[network.beta=1,latent=3,objective.beta=2]",
        "vae[network.beta=1,latent=3,objective.beta=4]",
    ]


def test_a_grid_is_inherited() -> None:
    suite = loaded(variants="[{name: a, extends: vae, latent: [2, 3]}, {name: b, extends: a, objective: {beta: 2}}]")
    assert names(suite) == ["a[latent=2]", "a[latent=3]", "b[latent=2]", "b[latent=3]"]


def test_seeds_are_a_number_or_a_list() -> None:
    assert loaded(seeds="3").seeds == (0, 1, 2)
    assert loaded(seeds="[7, 3]").seeds == (7, 3)
    assert loaded(seeds=None).seeds == (0, 1, 2, 3, 4)


def test_what_is_left_out_is_quick() -> None:
    catalog = load_catalog()
    suite = loaded()
    assert (suite.recipe_name, suite.recipe) == ("quick", catalog.recipes["quick"])
    assert (suite.budget_name, suite.budget["elbo"]) == ("quick", catalog.budgets["quick"]["elbo"])


def test_a_recipe_beside_a_profile_takes_the_place_of_that_half() -> None:
    catalog = load_catalog()
    suite = loaded(profile="gpu", recipe="quick")
    assert (suite.recipe_name, suite.budget_name) == ("quick", "standard")
    assert suite.budget["elbo"] == catalog.budgets["standard"]["elbo"]


def test_a_recipe_extends_another_and_says_what_it_changes() -> None:
    suite = loaded(recipe="{extends: standard, epochs: 7, schedule: cosine, clip: 5}")
    assert suite.recipe_name == "standard, epochs 7, schedule cosine, clip 5"
    assert (suite.recipe["epochs"], suite.recipe["clip"], suite.recipe["batch"]) == (7, 5.0, 128)


def test_an_entry_of_metrics_goes_over_the_budget() -> None:
    suite = loaded(budget="{extends: full, elbo: {samples: 3}}", metrics="[elbo, {log_likelihood: {samples: 50}}]")
    assert suite.budget["elbo"]["samples"] == 3
    assert suite.budget["log_likelihood"] == {"samples": 50, "images": 10000, "defensive": 0.0, "refine": 0}
    assert suite.budget_name == "full, elbo.samples 3"
    assert load_catalog().budgets["full"]["log_likelihood"]["samples"] == 5000


def test_a_view_is_ranked_by_its_default_only_if_that_is_scored() -> None:
    assert loaded(metrics="[elbo, bits_per_dim]").rank_by == {"grey": "bits_per_dim"}
    assert loaded(metrics="[kl]").rank_by == {}


def test_rank_by_of_binary_and_grey_cover_the_views_of_their_kind() -> None:
    suite = loaded(
        datasets="[digits/binary, digits/threshold, digits/dequantised]",
        metrics="[elbo, kl]",
        rank_by="{binary: elbo, threshold: reconstruction, grey: probe_accuracy.knn}",
    )
    assert suite.rank_by == {"binary": "elbo", "threshold": "reconstruction", "dequantised": "probe_accuracy.knn"}


def test_what_rank_by_and_contrasts_name_is_scored_even_if_unlisted() -> None:
    suite = loaded(
        metrics="[sharpness, elbo]",
        variants="[vae, beta-vae]",
        rank_by="{grey: reconstruction.squared_error}",
        contrasts="""
        - {question: a?, theory: vae, practice: beta-vae, primary: sharpness.mean_ratio}
        - {question: b?, theory: "vae:elbo", practice: "vae:log_likelihood"}
        """,
    )
    assert suite.metrics == ("sharpness", "elbo", "reconstruction.squared_error", "log_likelihood")
    assert set(suite.budget) == {"sharpness", "elbo", "reconstruction", "log_likelihood"}
    assert suite.contrasts[1].practice_side == ("vae", "log_likelihood")


def test_texts_are_brought_to_one_line() -> None:
    suite = loaded(written() + "description: >\n  Two\n  lines.\n\n  And a third.\n")
    assert suite.description == "Two lines. And a third."


def test_a_mapping_means_what_the_file_means() -> None:
    mapping = {"suite": "trial", "datasets": ("digits/grey",), "seeds": 2, "variants": ["vae"], "metrics": ["elbo"]}
    assert load_suite_mapping(mapping) == loaded(datasets="[digits/grey]", metrics="[elbo]")


def test_a_suite_is_found_by_path_and_by_its_shipped_name(tmp_path: Path) -> None:
    path = tmp_path / "trial.yaml"
    path.write_text(written(), encoding="utf-8")
    assert load_suite(path).file == path
    assert load_suite(str(path), seeds=7).seeds == tuple(range(7))
    assert load_suite("quickstart").file == shipped()["quickstart"]


def test_a_suite_that_is_nowhere_is_answered_with_those_that_are(tmp_path: Path) -> None:
    for source, what in (
        ("quikstart", "quikstart: no such file, and no suite of this name is shipped (did you mean 'quickstart'?)"),
        (tmp_path, f"{tmp_path}: is a folder, not a suite file; shipped: "),
        ("x" * 5000, "cannot be read: File name too long"),
        ("a\x00b", "no such file, and no suite of this name is shipped"),
    ):
        with pytest.raises(SuiteError) as caught:
            load_suite(source)
        assert what in str(caught.value)


@pytest.mark.parametrize("seeds", [0, -1, 10**9])
def test_a_number_of_seeds_from_outside_is_checked_too(seeds: int) -> None:
    with pytest.raises(SuiteError, match="--seeds: must be at"):
        load_suite("quickstart", seeds=seeds)


def test_every_shipped_suite_is_sound() -> None:
    assert "quickstart" in shipped()
    for name, path in shipped().items():
        suite = load_suite(path)
        assert suite.name == name
        assert suite.variants
