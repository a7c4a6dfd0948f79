"""`conditional: true`: a choice like any other, where there are labels and the objective has such a form."""

import pytest

from tests.suite.writing import loaded, marked_lines, mistakes_in, written
from vaebench.catalog.catalog import load_catalog
from vaebench.suite.expansion import compose, expand, not_applicable


def test_any_variant_may_be_given_the_label_and_the_grid_of_both_names_them():
    suite = loaded(variants="[{extends: beta-vae, conditional: [false, true]}, cvae]")
    told = {variant.name: variant.composition["conditional"] for variant in suite.variants}
    assert told == {"beta-vae[conditional=false]": False, "beta-vae[conditional=true]": True, "cvae": True}


def test_being_given_the_label_is_all_that_sets_the_cells_apart():
    suite = loaded(variants="[vae, cvae]", datasets="[digits/binary]", seeds="1", metrics="[elbo]")
    plain, told = (planned.cell for planned in expand(suite).planned)
    assert plain.id != told.id
    assert {**told.composition, "conditional": False} == plain.composition


def test_a_default_reaches_every_variant():
    suite = loaded(defaults="{conditional: true}", variants="[vae, {extends: beta-vae, conditional: false}]")
    assert [variant.composition["conditional"] for variant in suite.variants] == [True, False]


CLASSICAL = ("ppca", "ppca-em", "pca", "gmm", "gmm-full", "independent-pixels", "independent-levels")
REFUSED = {
    "no labels": ("[linear-gaussian/real]", "cvae", "conditional needs labels, linear-gaussian has none"),
    "a fitted model": ("[digits/grey]", "{extends: ppca, conditional: true}", "objective ppca has no conditional form"),
    "a mixture": ("[digits/grey]", "{extends: gmm, conditional: true}", "objective gmm has no conditional form"),
    "no truth value": ("[digits/grey]", "{extends: vae, conditional: 1}", "must be true or false"),
    "neither": ("[digits/grey]", "{extends: vae, conditional: [true, maybe]}", "must be true or false, is 'maybe'"),
}


@pytest.mark.parametrize(("datasets", "variant", "what"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_conditional_form_is_refused_with_the_reason(datasets, variant, what):
    text = written(datasets=datasets, variants=f"\n- {variant}  # here", metrics="[elbo]")
    (mistake,) = mistakes_in(text)
    assert [mistake.line] == marked_lines(text)
    assert what in str(mistake)


def test_probes_say_nothing_of_a_model_that_is_given_the_label():
    suite = loaded(variants="[vae, cvae]", metrics="[elbo, probe_accuracy]")
    plain, told = suite.variants
    assert not_applicable("probe_accuracy", plain, "digits/binary") is None
    assert "given the label" in str(not_applicable("probe_accuracy.knn", told, "digits/binary"))


def test_every_gradient_trained_vae_of_the_catalog_composes_conditionally():
    catalog = load_catalog()
    names = [name for name in catalog.variants if name not in CLASSICAL and not name.startswith("pythae-")]
    entries = "\n".join(f"- {{extends: {name}, conditional: true}}" for name in names)
    suite = loaded(variants=f"\n{entries}", metrics="[reconstruction]")
    for variant in suite.variants:
        composed = [compose(variant, source, catalog) for source in suite.datasets]
        assert any(isinstance(made, dict) and made["conditional"] for made in composed)


def contrast(theory: str, practice: str, metric: str, view: str = "digits/binary") -> str:
    return written(
        datasets=f"[{view}]",
        variants="[vae, {extends: beta-vae, conditional: true}, cvae, vae-discretized-logistic]"
        if "grey" in view
        else "[vae, {extends: beta-vae, conditional: true}, cvae]",
        metrics="[elbo, log_likelihood, kl]" if "binary" in view else "[elbo, bits_per_dim]",
        contrasts=f"\n- question: what?  # here\n  theory: {theory}\n  practice: {practice}\n  primary: {metric}",
    )


def test_likelihoods_given_the_label_are_compared_among_themselves_only():
    assert mistakes_in(contrast("cvae", "beta-vae", "elbo")) == []
    assert mistakes_in(contrast("vae", "cvae", "kl")) == []
    (mistake,) = mistakes_in(contrast("vae", "cvae", "log_likelihood"))
    assert "cvae is given the label and the other is not" in str(mistake)


def test_densities_and_masses_of_grey_levels_meet_in_bits_and_nowhere_else():
    assert mistakes_in(contrast("vae", "vae-discretized-logistic", "bits_per_dim", "digits/grey")) == []
    (mistake,) = mistakes_in(contrast("vae", "vae-discretized-logistic", "elbo", "digits/grey"))
    assert "is on the measure density, that of vae-discretized-logistic on levels" in str(mistake)
