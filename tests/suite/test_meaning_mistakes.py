"""Names, values and their fit, held against the catalog: one mistake a file, found on the line that holds it."""

import pytest

from tests.suite.writing import MARK, marked_lines, mistakes_in, written


def variant(*lines: str, extends: str = "vae") -> str:
    """A suite whose second variant is `mine`, with these lines in it."""
    entry = "".join(f"\n  {line}" for line in lines)
    return written(variants=f"\n- vae\n- name: mine\n  extends: {extends}{entry}")


def contrast(*lines: str, variants: str = "[vae, beta-vae]", metrics: str = "[elbo, log_likelihood]") -> str:
    """A suite with one contrast; the first line of the contrast is to blame unless another one is marked."""
    entry = "\n  ".join(lines)
    mark = "" if MARK in entry else f"  {MARK}"
    return written(variants=variants, metrics=metrics, contrasts=f"\n- question: what?{mark}\n  {entry}")


DATASETS = {
    "unknown data set": ("[digit/grey]", 0, "'digit/grey' is no data set view (did you mean 'digits/grey'?)"),
    "data set without a view": ("[digits]", 0, "'digits' names no view; valid: digits/binary, digits/static-binary"),
    "unknown view": ("[digits/gray]", 0, "data set digits has no view 'gray' (did you mean 'digits/grey'?)"),
    "view that it has not": ("[linear-gaussian/threshold]", 0, "has no view 'threshold'; valid: real"),
    "data set that stands twice": ("[digits/grey, digits/grey]", 1, "digits/grey stands twice"),
}


@pytest.mark.parametrize(("datasets", "place", "what"), DATASETS.values(), ids=DATASETS)
def test_a_data_set_that_is_none(datasets: str, place: int, what: str) -> None:
    text = written(datasets=f"{datasets}  # here", metrics="[elbo]", variants="[vae]")
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path) == (marked_lines(text), f"datasets[{place}]")
    assert what in str(mistake)


SEEDS = {
    "zero of them": ("0", "seeds", "must be at least 1, is 0"),
    "a negative number": ("-5", "seeds", "must be at least 1, is -5"),
    "too many": ("1000000", "seeds", "must be at most 100000, is 1000000"),
    "an empty list": ("[]", "seeds", "must not be an empty list"),
    "a seed twice": ("[0, 1, 0]", "seeds[2]", "seed 0 stands twice"),
    "a negative seed": ("[0, -1]", "seeds[1]", "must be at least 0, is -1"),
    "true for a seed": ("[0, true]", "seeds[1]", "must be an integer, is true"),
    "a fraction for a seed": ("[0, 1.0]", "seeds[1]", "must be an integer, is 1.0"),
    "a word for a seed": ("[0, one]", "seeds[1]", "must be an integer, is 'one'"),
    "a list for a seed": ("[[0]]", "seeds[0]", "must be an integer, is a list"),
}


@pytest.mark.parametrize(("seeds", "path", "what"), SEEDS.values(), ids=SEEDS)
def test_seeds_that_are_none(seeds: str, path: str, what: str) -> None:
    text = written(seeds=f"{seeds}  # here")
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path, mistake.what) == (marked_lines(text), path, what)


CONDITIONS = {
    "unknown profile": (written(profile="cpuu  # here"), "profile", "'cpuu' is no profile (did you mean 'cpu'?)"),
    "unknown recipe": (written(recipe="quik  # here"), "recipe", "'quik' is no recipe (did you mean 'quick'?)"),
    "unknown recipe to extend": (written(recipe="{extends: quik}  # here"), "recipe.extends", "did you mean 'quick'?"),
    "number to extend": (written(recipe="{extends: 3}  # here"), "recipe.extends", "must be a recipe's name, is 3"),
    "unknown recipe parameter": (written(recipe="{epoch: 3}  # here"), "recipe.epoch", "did you mean 'epochs'?"),
    "recipe value of the wrong type": (written(recipe="{epochs: 3.0}  # here"), "recipe.epochs", "an integer, is 3.0"),
    "recipe value out of range": (
        written(recipe="{learning_rate: 0}  # here"),
        "recipe.learning_rate",
        "must be above 0, is 0",
    ),
    "NaN": (written(recipe="{learning_rate: .nan}  # here"), "recipe.learning_rate", "must be a finite number, is nan"),
    "infinity": (written(recipe="{clip: 1e999}  # here"), "recipe.clip", "must be a finite number, is inf"),
    "true for a number": (written(recipe="{clip: true}  # here"), "recipe.clip", "must be a number or null, is true"),
    "unknown choice": (
        written(recipe="{schedule: cosin}  # here"),
        "recipe.schedule",
        "must be one of constant, cosine, linear, staged, is 'cosin' (did you mean 'cosine'?)",
    ),
    "grid in a recipe": (written(recipe="{epochs: [3, 4]}  # here"), "recipe.epochs", "must be an integer, is a list"),
    "patience without selection": (
        written(recipe="{patience: 3}  # here"),
        "recipe.patience",
        "needs select best-validation, here it is last",
    ),
    "a KL that never has its weight": (
        written(recipe="{epochs: 10, kl_warmup: 20}  # here"),
        "recipe.kl_warmup",
        "must be at most the 10 epochs, or the KL never has its weight; is 20",
    ),
    "selection without validation images": (
        written(recipe="{select: best-validation, train: all}  # here"),
        "recipe.train",
        "select best-validation needs validation images",
    ),
    "unknown budget": (written(budget="ful  # here"), "budget", "'ful' is no budget (did you mean 'full'?)"),
    "unknown metric in a budget": (
        written(budget="{log_likelyhood: {samples: 3}}  # here"),
        "budget.log_likelyhood",
        "'log_likelyhood' is no metric (did you mean 'log_likelihood'?)",
    ),
    "number for a protocol": (
        written(budget="{elbo: 3}  # here"),
        "budget.elbo",
        "must be a mapping such as {samples: 100}, is 3",
    ),
    "unknown protocol parameter": (
        written(budget="{elbo: {sample: 3}}  # here"),
        "budget.elbo.sample",
        "metric elbo has no such parameter (did you mean 'samples'?)",
    ),
    "protocol of a metric without one": (
        written(budget="{train_seconds: {samples: 3}}  # here"),
        "budget.train_seconds.samples",
        "metric train_seconds has no parameters",
    ),
}


@pytest.mark.parametrize(("text", "path", "what"), CONDITIONS.values(), ids=CONDITIONS)
def test_a_recipe_or_budget_that_is_none(text: str, path: str, what: str) -> None:
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path) == (marked_lines(text), path)
    assert what in str(mistake)


VARIANTS = {
    "unknown variant": (
        written(variants="\n- vae\n- bta-vae  # here"),
        "variants[1]",
        "'bta-vae' is no variant to extend (did you mean 'beta-vae'?)",
    ),
    "unknown variant to extend": (
        written(variants="\n- name: mine\n  extends: vea  # here"),
        "variants[0].extends",
        "'vea' is no variant to extend (did you mean 'vae'?)",
    ),
    "variant that extends itself": (
        written(variants="\n- name: mine\n  extends: mine  # here"),
        "variants[0].extends",
        "'mine' extends itself, and the catalog has no variant of this name",
    ),
    "circle of three": (
        written(variants="\n- {name: a, extends: b}  # here\n- {name: b, extends: c}\n- {name: c, extends: a}"),
        "variants[0].extends",
        "goes in a circle: a → b → c → a",
    ),
    "circle that another leads into": (
        written(variants="\n- {name: d, extends: a}\n- {name: a, extends: b}  # here\n- {name: b, extends: a}"),
        "variants[1].extends",
        "goes in a circle: a → b → a",
    ),
    "name that stands twice": (
        written(variants="\n- vae\n- {extends: vae, latent: 3}  # here"),
        "variants[1]",
        "the name 'vae' is taken by variants[0] already; give this one its own name",
    ),
    "name of a grid's member that stands twice": (
        written(
            variants="\n- {extends: vae, objective: {beta: [1, 4]}}\n- {extends: vae, objective: {beta: [4.0]}}  # here"
        ),
        "variants[1]",
        "the name 'vae[beta=4]' is taken by variants[0] already",
    ),
    "nothing to begin with": (written(variants="[{latent: 3}]  # here"), "variants[0]", "needs extends or, where it"),
    "choices that nothing makes": (
        written(variants="\n- name: mine  # here\n  latent: 3\n  network: mlp\n  prior: standard-normal"),
        "variants[0]",
        "extends nothing, so it must give likelihood, posterior, objective, stance too",
    ),
    "part without a name": (
        written(variants="\n- name: mine\n  network: {hidden: [3]}  # here"),
        "variants[0].network",
        "needs a name; valid: mlp",
    ),
    "unknown part": (
        variant("likelihood: gausian  # here"),
        "variants[1].likelihood",
        "'gausian' is no likelihood (did you mean 'gaussian'?)",
    ),
    "unknown part, at length": (
        variant("objective:", "  name: elbow  # here", "  beta: 3"),
        "variants[1].objective.name",
        "'elbow' is no objective (did you mean 'elbo'?)",
    ),
    "number for a part's name": (
        variant("objective: {name: 3}  # here"),
        "variants[1].objective.name",
        "must be the objective's name, is 3",
    ),
    "unknown parameter": (
        variant("objective: {betta: 3}  # here"),
        "variants[1].objective.betta",
        "objective elbo has no such parameter (did you mean 'beta'?)",
    ),
    "parameter of another part": (
        variant("objective: {lambda: 3}  # here"),
        "variants[1].objective.lambda",
        "objective elbo has no such parameter; valid: beta, kl, samples",
    ),
    "parameter of a part without any": (
        variant("prior: {scale: 3}  # here"),
        "variants[1].prior.scale",
        "prior standard-normal has no parameters",
    ),
    "parameter that no default likelihood has": (
        variant("likelihood: {sigma: 3}  # here"),
        "variants[1].likelihood.sigma",
        "likelihood default has no such parameter (did you mean 'sigma_floor'?)",
    ),
    "value out of range": (
        variant("objective: {beta: -1}  # here"),
        "variants[1].objective.beta",
        "must be at least 0, is -1",
    ),
    "word for a number": (
        variant("objective: {beta: four}  # here"),
        "variants[1].objective.beta",
        "must be a number, is 'four'",
    ),
    "YAML's true for a number": (
        variant("objective: {beta: true}  # here"),
        "variants[1].objective.beta",
        "must be a number, is true",
    ),
    "mapping for a number": (
        variant("objective: {beta: {a: 1}}  # here"),
        "variants[1].objective.beta",
        "must be a number, is a mapping",
    ),
    "nothing for a number": (
        variant("objective: {beta: }  # here"),
        "variants[1].objective.beta",
        "must be a number, is nothing",
    ),
    "latent below one": (variant("latent: 0  # here"), "variants[1].latent", "must be at least 1, is 0"),
    "one width for a list of them": (
        variant("network: {hidden: 400}  # here"),
        "variants[1].network.hidden",
        "must be a list of integers, is 400",
    ),
    "no hidden layer": (
        variant("network: {hidden: []}  # here"),
        "variants[1].network.hidden",
        "must hold at least one integer, is an empty list",
    ),
    "layer without a unit": (
        variant("network: {hidden: [400, 0]}  # here"),
        "variants[1].network.hidden",
        "every number must be at least 1, one is 0",
    ),
    "unknown output": (
        variant("generation: {output: means}  # here"),
        "variants[1].generation.output",
        "must be one of draw, mean, is 'means' (did you mean 'mean'?)",
    ),
    "unknown way to generate": (
        variant("generation: {outputs: mean}  # here"),
        "variants[1].generation.outputs",
        "generation has no such parameter (did you mean 'output'?)",
    ),
}

GRIDS = {
    "empty grid": (variant("objective: {beta: []}  # here"), "objective.beta", "must not be an empty grid"),
    "empty grid of latents": (variant("latent: []  # here"), "latent", "must not be an empty grid"),
    "empty grid of names": (variant("likelihood: []  # here"), "likelihood", "must not be an empty grid"),
    "wrong value in a grid": (
        variant("objective:", "  beta:", "    - 1", "    - -1  # here"),
        "objective.beta[1]",
        "must be at least 0, is -1",
    ),
    "infinity in a grid": (
        variant("objective: {beta: [1, .inf]}  # here"),
        "objective.beta[1]",
        "must be a finite number, is inf",
    ),
    "value that stands twice": (
        variant("objective: {beta: [1, 1.0]}  # here"),
        "objective.beta[1]",
        "the grid holds 1 twice",
    ),
    "grid in a grid": (
        variant("objective: {beta: [[1, 2]]}  # here"),
        "objective.beta[0]",
        "must be a number, is a list",
    ),
    "width among lists of widths": (
        variant("network: {hidden: [[400], 400]}  # here"),
        "network.hidden[1]",
        "must be a list of integers, is 400",
    ),
    "empty list among lists of widths": (
        variant("network: {hidden: [[400], []]}  # here"),
        "network.hidden[1]",
        "must hold at least one integer",
    ),
    "lists of lists of lists": (
        variant("network: {hidden: [[[400]]]}  # here"),
        "network.hidden[0]",
        "must be a list of integers, holds a list",
    ),
    "unknown part in a grid": (
        variant("likelihood: [gaussian, gausian]  # here"),
        "likelihood[1]",
        "'gausian' is no likelihood (did you mean 'gaussian'?)",
    ),
    "part that stands twice in a grid": (
        variant("likelihood: {name: [gaussian, gaussian]}  # here"),
        "likelihood.name[1]",
        "the grid holds gaussian twice",
    ),
    "grid of grids of parts": (
        variant("likelihood: [[gaussian]]  # here"),
        "likelihood[0]",
        "must be the likelihood's name, is a list",
    ),
    "parameter that one part of a grid has not": (
        variant("likelihood: {name: [gaussian, gaussian-fixed], sigma: 0.1}  # here"),
        "likelihood.sigma",
        "likelihood gaussian has no such parameter (did you mean 'sigma_floor'?)",
    ),
}


@pytest.mark.parametrize(("text", "path", "what"), VARIANTS.values(), ids=VARIANTS)
def test_a_variant_that_cannot_be_made(text: str, path: str, what: str) -> None:
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path) == (marked_lines(text), path)
    assert what in str(mistake)


@pytest.mark.parametrize(("text", "path", "what"), GRIDS.values(), ids=GRIDS)
def test_a_grid_that_cannot_be_laid_open(text: str, path: str, what: str) -> None:
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path) == (marked_lines(text), f"variants[1].{path}")
    assert what in str(mistake)


DEFAULTS = {
    "unknown part": ("network: mlpp", "network", "'mlpp' is no network (did you mean 'mlp'?)"),
    "unknown parameter": ("network: {hiden: [3]}", "network.hiden", "network has no such parameter (did you mean"),
    "unknown parameter of the named part": (
        "objective: {name: elbo, lambda: 3}",
        "objective.lambda",
        "objective elbo has no such parameter; valid: beta, kl, samples",
    ),
    "wrong value": ("latent: 0", "latent", "must be at least 1, is 0"),
    "wrong value of a part": ("network: {hidden: [0]}", "network.hidden", "every number must be at least 1, one is 0"),
    "grid": ("objective: {beta: [1, 4]}", "objective.beta", "defaults hold one value each; a grid stands in an entry"),
    "grid of latents": ("latent: [3, 4]", "latent", "defaults hold one value each"),
    "grid of parts": ("likelihood: [gaussian, default]", "likelihood", "defaults hold one value each"),
    "parameter that no variant has": (
        "objective: {lambda: 3}",
        "objective.lambda",
        "reaches no variant: no objective among them has it",
    ),
    "unknown output": ("generation: {output: meen}", "generation.output", "must be one of draw, mean, is 'meen'"),
}


@pytest.mark.parametrize(("line", "path", "what"), DEFAULTS.values(), ids=DEFAULTS)
def test_a_default_that_is_none(line: str, path: str, what: str) -> None:
    text = written(defaults=f"\n{line}  # here")
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path) == (marked_lines(text), f"defaults.{path}")
    assert what in str(mistake)


def test_a_default_for_a_likelihood_that_no_view_of_the_suite_puts_in_reaches_nobody() -> None:
    text = written(datasets="[digits/binary]", metrics="[elbo]", defaults="{likelihood: {sigma_floor: 0.1}}  # here")
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path) == (marked_lines(text), "defaults.likelihood.sigma_floor")
    assert mistake.what == "reaches no variant: no likelihood among them has it"


def test_a_default_part_reaches_no_variant_where_every_entry_names_its_own() -> None:
    text = written(
        defaults="\nlikelihood: gaussian  # here",
        variants="[{extends: vae, likelihood: gaussian-fixed}]",
        datasets="[digits/grey]",
    )
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path) == (marked_lines(text), "defaults.likelihood")
    assert mistake.what == "reaches no variant: none has the likelihood gaussian"


FIT = {
    "grey targets without grey levels": (
        written(
            datasets="[linear-gaussian/real]",
            metrics="[elbo]",
            variants="\n- vae\n- {name: mine, extends: vae, objective: {train_on: grey}}  # here",
        ),
        "variants[1]",
        "train_on grey needs images with grey levels, linear-gaussian has none",
    ),
    "an optimal sigma that is not the bound's": (
        written(variants="\n- vae\n- {name: mine, extends: iwae, likelihood: gaussian-optimal}  # here"),
        "variants[1]",
        "likelihood gaussian-optimal has the σ that is best for the ELBO, not for the importance-weighted bound",
    ),
    "squared error with another sigma": (
        written(variants="\n- vae\n- {name: mine, extends: vae-mean-reduction, likelihood: {sigma: 0.3}}  # here"),
        "variants[1]",
        "objective mean-reduction is a squared error, whose likelihood has sigma 1, here it is 0.3",
    ),
    "a discrepancy that is maximised": (
        written(variants="\n- vae\n- {name: mine, extends: info-vae, objective: {alpha: 0, lambda: 0.5}}  # here"),
        "variants[1]",
        "alpha + lambda must be at least 1, or the discrepancy is maximised; it is 0.5",
    ),
    "more components than images": (
        written(variants="\n- vae\n- {name: mine, extends: gmm, latent: 1198}  # here"),
        "variants[1]",
        "latent, the components, must be at most the 1197 training images, is 1198",
    ),
    "a temperature that rises": (
        written(
            variants="\n- vae\n- {name: mine, extends: joint-vae, posterior: {temperature: 0.1, final_temperature: 5}}"
            "  # here"
        ),
        "variants[1]",
        "final_temperature must be at most temperature, which is 0.1, is 5",
    ),
    "view that it does not fit": (
        written(datasets="[digits/binary]", metrics="[elbo]", variants="\n- vae\n- vae-gaussian  # here"),
        "variants[1]",
        "vae-gaussian fits no data set of the suite: likelihood gaussian is for the views grey, dequantised and real",
    ),
    "parts that do not go together": (
        written(variants="\n- vae\n- {name: mine, extends: vae, posterior: exact}  # here"),
        "variants[1]",
        "mine fits no data set of the suite: posterior exact needs objective "
        "ppca or ppca-em or gmm or frequencies, here it is elbo",
    ),
    "sub-code beyond the latents": (
        written(variants="\n- vae\n- {name: mine, extends: vmi-vae, latent: 2, objective: {subcode: [0, 2]}}  # here"),
        "variants[1]",
        "subcode [0, 2] must be among the 2 latents 0…1",
    ),
    "sub-code with a latent twice": (
        written(variants="\n- vae\n- {name: mine, extends: vmi-vae, objective: {subcode: [1, 1]}}  # here"),
        "variants[1]",
        "subcode [1, 1] names a latent twice",
    ),
    "draw without a gradient": (
        written(
            datasets="[digits/binary]",
            metrics="[elbo]",
            variants="\n- vae\n- {name: mine, extends: vmi-vae, objective: {q_input: draw}}  # here",
        ),
        "variants[1]",
        "q_input draw needs a draw with a gradient, and a Bernoulli draw has none",
    ),
    "entropy of codes that nobody draws": (
        written(variants="\n- vae\n- {name: mine, extends: vmi-vae, objective: {source: prior}}  # here"),
        "variants[1]",
        "with source prior use entropy prior",
    ),
    "as many latents as pixels": (
        written(variants="\n- vae\n- {name: mine, extends: ppca, latent: 64}  # here", datasets="[digits/grey]"),
        "variants[1]",
        "latent must be below the 64 pixels of digits, is 64",
    ),
    "forced pair that cannot be": (
        written(variants="\n- vae\n- extends: vae-gaussian\n  on:\n    - digits/grey\n    - digits/binary  # here"),
        "variants[1].on[1]",
        "vae-gaussian cannot be trained on digits/binary: likelihood gaussian is for the views",
    ),
    "data set outside of the suite": (
        variant("on: [linear-gaussian/real]  # here"),
        "variants[1].on[0]",
        "'linear-gaussian/real' is not among the suite's datasets; valid: digits/binary, digits/grey",
    ),
    "unknown data set": (
        variant("on: [digits/gray]  # here"),
        "variants[1].on[0]",
        "'digits/gray' is not among the suite's datasets (did you mean 'digits/grey'?)",
    ),
    "data set that stands twice": (
        variant("on: [digits/grey, digits/grey]  # here"),
        "variants[1].on[1]",
        "digits/grey stands twice",
    ),
    "parameter that no likelihood of its views has": (
        written(
            datasets="[digits/binary]",
            metrics="[elbo]",
            variants="[{extends: vae, likelihood: {sigma_floor: 0.1}}]  # here",
        ),
        "variants[0].likelihood.sigma_floor",
        "likelihood bernoulli has no such parameter",
    ),
}


@pytest.mark.parametrize(("text", "path", "what"), FIT.values(), ids=FIT)
def test_a_variant_that_fits_nothing(text: str, path: str, what: str) -> None:
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path) == (marked_lines(text), path)
    assert what in str(mistake)


METRICS = {
    "unknown metric": (written(metrics="[elbow]  # here"), "metrics[0]", "'elbow' is no metric (did you mean 'elbo'?)"),
    "unknown part of a metric": (
        written(metrics="[sharpness.man]  # here"),
        "metrics[0]",
        "'sharpness.man' is no metric (did you mean 'sharpness.mean'?)",
    ),
    "metric that stands twice": (written(metrics="[elbo, kl, elbo]  # here"), "metrics[2]", "elbo stands twice"),
    "part of a listed family": (
        written(metrics="[sharpness, sharpness.mean]  # here"),
        "metrics[1]",
        "sharpness.mean overlaps with sharpness; sharpness alone lists every part of it",
    ),
    "two keys in an entry": (
        written(metrics="[{elbo: {samples: 3}, kl: {samples: 3}}]  # here"),
        "metrics[0]",
        "must be one metric and what it overrides, such as {log_likelihood: {samples: 5000}}; this mapping has 2 keys",
    ),
    "number for overrides": (
        written(metrics="[{elbo: 3}]  # here"),
        "metrics[0].elbo",
        "must be a mapping such as {samples: 100}, is 3",
    ),
    "unknown override": (
        written(metrics="[{elbo: {smaples: 3}}]  # here"),
        "metrics[0].elbo.smaples",
        "metric elbo has no such parameter (did you mean 'samples'?)",
    ),
    "override out of range": (
        written(metrics="\n- elbo\n- log_likelihood:\n    samples: 0  # here"),
        "metrics[1].log_likelihood.samples",
        "must be at least 1, is 0",
    ),
    "grid of overrides": (
        written(metrics="[{elbo: {samples: [1, 2]}}]  # here"),
        "metrics[0].elbo.samples",
        "must be an integer, is a list",
    ),
    "family that is overridden twice": (
        written(metrics="[{sharpness.mean: {images: 10}}, {sharpness.data: {images: 20}}]  # here"),
        "metrics[1]",
        "sharpness.mean overrides the budget of sharpness already",
    ),
    "metric that applies to no view": (
        written(datasets="[digits/binary]", metrics="[elbo, bits_per_dim]  # here"),
        "metrics[1]",
        "bits_per_dim applies to no variant of the suite: bits_per_dim is defined on the views grey and dequantised",
    ),
    "metric without labels": (
        written(datasets="[linear-gaussian/real]", metrics="[elbo, probe_accuracy.knn]  # here"),
        "metrics[1]",
        "probe_accuracy needs labels, linear-gaussian has none",
    ),
    "metric without images": (
        written(datasets="[linear-gaussian/real]", metrics="[elbo, sharpness]  # here"),
        "metrics[1]",
        "sharpness needs images, those of linear-gaussian have no width and height",
    ),
    "ranking of an unknown view": (
        written(rank_by="{gray: bits_per_dim}  # here"),
        "rank_by.gray",
        "'gray' is no view (did you mean 'grey'?)",
    ),
    "ranking of a view that the suite has not": (
        written(rank_by="{real: elbo}  # here"),
        "rank_by.real",
        "no data set of the suite has the view real",
    ),
    "ranking by an unknown metric": (
        written(rank_by="{grey: bits}  # here"),
        "rank_by.grey",
        "'bits' is no metric; valid: elbo",
    ),
    "ranking by a family": (
        written(rank_by="{grey: sharpness}  # here"),
        "rank_by.grey",
        "sharpness has several numbers and none of that name; name one of sharpness.mean",
    ),
    "ranking by what has no better": (written(rank_by="{grey: kl}  # here"), "rank_by.grey", "kl ranks nothing"),
    "ranking by a density": (
        written(rank_by="{grey: log_likelihood}  # here"),
        "rank_by.grey",
        "log_likelihood is a density on the view grey, which has no bound and is never ranked; use bits_per_dim",
    ),
    "ranking by what does not apply": (
        written(rank_by="{binary: bits_per_dim}  # here"),
        "rank_by.binary",
        "bits_per_dim applies to no variant of the suite",
    ),
}


@pytest.mark.parametrize(("text", "path", "what"), METRICS.values(), ids=METRICS)
def test_a_metric_that_measures_nothing(text: str, path: str, what: str) -> None:
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path) == (marked_lines(text), path)
    assert what in str(mistake)


CONTRASTS = {
    "unknown variant": (
        contrast("theory: vae", "practice: bta-vae  # here"),
        ".practice",
        "'bta-vae' is no variant of the suite (did you mean 'beta-vae'?)",
    ),
    "variant of the catalog that the suite has not": (
        contrast("theory: vae", "practice: vmi-vae  # here", variants="[vae, ppca]"),
        ".practice",
        "'vmi-vae' is no variant of the suite",
    ),
    "grid instead of its member": (
        contrast(
            "theory: vae",
            "practice: beta-vae  # here",
            variants="[vae, {extends: beta-vae, objective: {beta: [2, 4]}}]",
        ),
        ".practice",
        "'beta-vae' is a grid; name one of its members: beta-vae[beta=2], beta-vae[beta=4]",
    ),
    "unknown metric of a side": (
        contrast("theory: vae:elbow  # here", "practice: beta-vae"),
        ".theory",
        "'elbow' is no metric (did you mean 'elbo'?)",
    ),
    "unknown primary metric": (
        contrast("theory: vae", "practice: beta-vae", "primary: log_likelyhood  # here"),
        ".primary",
        "'log_likelyhood' is no metric (did you mean 'log_likelihood'?)",
    ),
    "family for a primary metric": (
        contrast("theory: vae", "practice: beta-vae", "primary: probe_accuracy  # here"),
        ".primary",
        "name one of probe_accuracy.logistic, probe_accuracy.knn",
    ),
    "cost for a primary metric": (
        contrast("theory: vae", "practice: beta-vae", "primary: train_seconds  # here"),
        ".primary",
        "train_seconds is a cost, and costs enter no contrast",
    ),
    "primary metric that cannot be scored": (
        contrast(
            "theory: vae",
            "practice: beta-vae",
            "primary: bits_per_dim  # here",
            variants="[{extends: vae, on: [digits/binary]}, beta-vae]",
        ),
        ".primary",
        "no bits_per_dim for vae on digits/binary: bits_per_dim is defined on the views grey and dequantised",
    ),
    "primary metric that decides nothing": (
        contrast("theory: vae:elbo", "practice: vae:log_likelihood", "primary: elbo  # here"),
        ".primary",
        "decides nothing: both sides name a metric of their own",
    ),
    "two units": (
        contrast("theory: vae:elbo", "practice: vae:sharpness.mean"),
        "",
        "theory is in nats, practice in squared intensity",
    ),
    "a variant with itself": (
        contrast("theory: vae", "practice: vae"),
        "",
        "compares vae with itself",
    ),
    "variants that never meet": (
        contrast(
            "theory: vae",
            "practice: beta-vae",
            variants="[{extends: vae, on: [digits/binary]}, {extends: beta-vae, on: [digits/grey]}]",
        ),
        "",
        "share no data set view: vae is trained on digits/binary; beta-vae is trained on digits/grey",
    ),
    "view that nothing ranks": (
        contrast("theory: vae", "practice: beta-vae", metrics="[kl]"),
        "",
        "nothing ranks digits/binary, so the contrast must name its primary metric",
    ),
}


@pytest.mark.parametrize(("text", "path", "what"), CONTRASTS.values(), ids=CONTRASTS)
def test_a_contrast_that_compares_nothing(text: str, path: str, what: str) -> None:
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path) == (marked_lines(text), f"contrasts[0]{path}")
    assert what in str(mistake)


def test_the_same_contrast_twice_would_count_twice() -> None:
    entry = "\n- {question: what?, theory: vae, practice: beta-vae}"
    (mistake,) = mistakes_in(written(variants="[vae, beta-vae]", contrasts=entry * 2))
    assert str(mistake) == "trial.yaml:8: contrasts[1]: compares the same as contrasts[0]"


def test_a_question_is_asked_once_for_answers_are_found_by_it() -> None:
    first, second = (
        f"\n- {{question: what?, theory: vae, practice: beta-vae, primary: {name}}}" for name in ("elbo", "kl")
    )
    (mistake,) = mistakes_in(written(variants="[vae, beta-vae]", contrasts=first + second))
    assert str(mistake) == "trial.yaml:8: contrasts[1].question: 'what?' stands already at contrasts[0]"


@pytest.mark.parametrize(
    ("recipe", "what"),
    [
        ("{\n batch: 5000}  # here", "recipe.batch: on digits it is drawn from 1197 images, is 5000"),
        ("{first_images: 100,\n batch: 128}  # here", "recipe.batch: on digits it is drawn from 100 images, is 128"),
        ("{\n first_images: 2000}  # here", "recipe.first_images: digits has 1197 training images, is 2000"),
    ],
)
def test_more_images_than_there_are(recipe: str, what: str) -> None:
    text = written(metrics="[reconstruction]", recipe=recipe)
    (mistake,) = mistakes_in(text)
    assert [mistake.line] == marked_lines(text)
    assert str(mistake).endswith(what)


@pytest.mark.parametrize("variant", ["beta-tcvae", "wae-mmd", "info-vae", "dip-vae-i", "factor-vae", "vmi-vae"])
def test_an_objective_that_compares_images_refuses_a_batch_of_one(variant):
    text = written(variants=f"[vae, {variant}]", metrics="[reconstruction]", recipe="\n  batch: 1  # here")
    (mistake,) = mistakes_in(text)
    assert [mistake.line] == marked_lines(text)
    assert f"of {variant} compares images, so it needs a batch of 2 at least, is 1" in str(mistake)


def test_a_batch_of_one_is_fine_for_what_looks_at_one_image_at_a_time():
    assert mistakes_in(written(variants="[vae, iwae, vae-free-bits]", recipe="{batch: 1}")) == []
