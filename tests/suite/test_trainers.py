"""`trainer: pythae`: who trains a composition is one more choice of a variant."""

import pytest

from tests.suite.writing import loaded, marked_lines, mistakes_in, written
from vaebench.catalog.catalog import load_catalog
from vaebench.catalog.library import ForeignModel
from vaebench.reporting.contrasts import differing_parts
from vaebench.suite import trainers
from vaebench.suite.expansion import compose, expand
from vaebench.suite.suite import Suite
from vaebench.suite.trainers import foreign_model, missing_libraries

STATIC = "digits/static-binary"
PYTHAE = load_catalog().libraries["pythae"]


def suite(variants: str, datasets: str = f"[{STATIC}]") -> Suite:
    return loaded(variants=variants, datasets=datasets, metrics="[reconstruction]", seeds="1")


def chosen(variants: str, source: str = STATIC) -> tuple[str, dict[str, object]]:
    """The class that trains a variant, and its configuration."""
    (variant,) = suite(variants, f"[{source}]").variants
    composition = compose(variant, source, load_catalog())
    assert isinstance(composition, dict)
    model = foreign_model(PYTHAE, composition)
    assert isinstance(model, ForeignModel)
    return model.name, PYTHAE.configuration(model, composition)


def test_a_cell_that_vaebench_trains_is_the_same_whether_its_trainer_is_named_or_not():
    plain, named, foreign = (planned.cell for planned in expand(suite(THREE)).planned)
    assert plain.id == named.id
    assert "trainer" not in plain.composition
    assert foreign.composition == {**plain.composition, "trainer": "pythae"}
    assert foreign.id != plain.id


THREE = """
- vae
- {name: named, extends: vae, trainer: vaebench}
- {name: foreign, extends: vae, trainer: pythae}
"""


def test_a_grid_of_trainers_sets_the_two_side_by_side_and_they_differ_in_nothing_else():
    ours, theirs = suite("[{extends: iwae, trainer: [vaebench, pythae]}]").variants
    assert (ours.name, theirs.name) == ("iwae[trainer=vaebench]", "iwae[trainer=pythae]")
    assert differing_parts(ours, theirs, STATIC) == {"trainer": (None, "pythae")}
    assert differing_parts(theirs, ours, STATIC) == {"trainer": ("pythae", None)}


@pytest.mark.parametrize(
    ("variants", "source", "name", "configuration"),
    [
        ("[{extends: vae, trainer: pythae}]", STATIC, "VAE", {"reconstruction_loss": "bce"}),
        (
            "[{extends: beta-vae, trainer: pythae}]",
            STATIC,
            "BetaVAE",
            {"reconstruction_loss": "bce", "beta": 4.0},
        ),
        (
            "[{extends: iwae, trainer: pythae, objective: {samples: 7}}]",
            STATIC,
            "IWAE",
            {"reconstruction_loss": "bce", "number_samples": 7},
        ),
        (
            "[{extends: beta-tcvae-column, trainer: pythae}]",
            STATIC,
            "BetaTCVAE",
            {"reconstruction_loss": "bce", "alpha": 1.0, "beta": 6.0, "gamma": 1.0, "use_mss": True},
        ),
        (
            "[{extends: beta-tcvae, trainer: pythae, objective: {estimator: mws}}]",
            STATIC,
            "BetaTCVAE",
            {"reconstruction_loss": "bce", "alpha": 1.0, "beta": 6.0, "gamma": 1.0, "use_mss": False},
        ),
        (
            "[{extends: factor-vae-leak, trainer: pythae}]",
            STATIC,
            "FactorVAE",
            {"reconstruction_loss": "bce", "gamma": 6.0},
        ),
        (
            "[{extends: vampprior-vae, trainer: pythae, prior: {components: 30}}]",
            STATIC,
            "VAMP",
            {"reconstruction_loss": "bce", "number_components": 30},
        ),
        (
            "[{extends: info-vae, trainer: pythae}]",
            STATIC,
            "INFOVAE_MMD",
            {"reconstruction_loss": "bce", "alpha": 0.0, "lbd": 1000.0, "kernel_choice": "imq"},
        ),
        ("[{extends: vae-mse, trainer: pythae}]", "digits/grey", "VAE", {"reconstruction_loss": "mse"}),
        ("[{extends: ae, trainer: pythae}]", "digits/grey", "AE", {}),
        (
            "[{extends: wae-mmd, trainer: pythae}]",
            "digits/grey",
            "WAE_MMD",
            {"reg_weight": 10.0, "kernel_choice": "imq"},
        ),
        (
            "[{extends: aae, trainer: pythae}]",
            "digits/grey",
            "Adversarial_AE",
            {"reconstruction_loss": "mse", "adversarial_loss_scale": 1.0, "reconstruction_loss_scale": 2.0},
        ),
    ],
)
def test_each_composition_is_trained_by_the_class_whose_loss_it_names(variants, source, name, configuration):
    assert chosen(variants, source) == (name, configuration)


def test_every_class_of_the_table_trains_a_composition_or_two_and_is_read():
    assert {model.name for model in PYTHAE.models} == set(PYTHAE.reads)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("{extends: dip-vae-i, trainer: pythae}", "trainer pythae has no objective dip; it has elbo, iwae"),
        (
            "{extends: beta-tcvae, trainer: pythae}",
            "trains its BetaTCVAE with objective.estimator mss-column or mws, here it is mss",
        ),
        ("{extends: factor-vae, trainer: pythae}", "its FactorVAE with objective.leak true, here it is false"),
        ("{extends: iwae-wrong-sign, trainer: pythae}", "its IWAE with objective.weights bound, here it is losses"),
        ("{extends: cvae, trainer: pythae}", "with conditional false, here it is true"),
        ("{extends: vae-mc-kl, trainer: pythae}", "with objective.kl analytic, here it is monte-carlo"),
        (
            "{extends: vae, trainer: pythae, likelihood: {name: bernoulli, bias: train-mean}}",
            "does not know likelihood.bias train-mean",
        ),
        ("{extends: vae-full-covariance, trainer: pythae}", "posterior diagonal-gaussian, here it is full-gaussian"),
    ],
)
def test_what_the_library_cannot_train_is_refused_and_says_what_it_can(entry, reason):
    text = written(datasets=f"[{STATIC}]", variants=f"\n- {entry}  # here", metrics="[elbo]")
    (mistake,) = mistakes_in(text)
    assert [mistake.line] == marked_lines(text)
    assert reason in str(mistake)


def test_a_view_that_is_drawn_anew_is_not_planned_and_says_why():
    (pair,) = expand(suite("[pythae-vae]", f"[digits/binary, {STATIC}]")).impossible
    assert pair.source == "digits/binary"
    assert "sees fixed images only: views static-binary, threshold, grey" in pair.reason


def test_a_trainer_that_does_not_exist_is_refused_with_the_nearest():
    text = written(datasets=f"[{STATIC}]", variants="\n- {extends: vae, trainer: pytae}  # here", metrics="[elbo]")
    (mistake,) = mistakes_in(text)
    assert [mistake.line] == marked_lines(text)
    assert "did you mean 'pythae'?" in str(mistake)


def test_a_recipe_that_its_loop_cannot_follow_is_refused_only_where_it_trains():
    parts = {"datasets": f"[{STATIC}]", "metrics": "[elbo]", "recipe": "{extends: quick, clip: 5, schedule: cosine}"}
    assert mistakes_in(written(variants="[vae]", **parts)) == []
    clip, schedule = mistakes_in(written(variants="[vae, pythae-vae]", **parts))
    assert "trainer pythae knows null only, here it is 5" in str(clip)
    assert "trainer pythae knows constant only, here it is cosine" in str(schedule)


def test_a_library_that_is_not_installed_is_told_with_what_to_install_and_who_needs_it(monkeypatch):
    monkeypatch.setattr(trainers, "find_spec", lambda package: None)
    variants = suite("[vae, pythae-vae, pythae-iwae]").variants
    (line,) = missing_libraries(variants, load_catalog())
    assert line.startswith(
        "pythae is not installed: pip install 'vaebench[pythae]'; without it pythae-vae, pythae-iwae"
    )
    assert missing_libraries(suite("[vae]").variants, load_catalog()) == []
    monkeypatch.setattr(trainers, "find_spec", lambda package: object())
    assert missing_libraries(variants, load_catalog()) == []
