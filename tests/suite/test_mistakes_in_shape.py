"""One mistake a file, each found on its line: what is wrong with the file and with the shape of its content."""

import pytest

from tests.suite.writing import marked_lines, mistakes_in, written

IN_THE_FILE = {
    "a key that stands twice": ("suite: a\ndatasets: [digits/binary]\nsuite: b  # here\n", "suite", "stands twice, first on line 1"),
}

SHAPES = {
    "unknown key": (written(seed="3  # here"), "seed", "unknown key (did you mean 'seeds'?)"),
    "unknown key far from every other": (written(zzz="3  # here"), "zzz", "unknown key; valid: suite, description"),
    "number for a list": (written(datasets="3  # here"), "datasets", "must be a list, is 3"),
    "word for a list": (written(metrics="elbo  # here"), "metrics", "must be a list, is 'elbo'; write [elbo]"),
    "mapping for text": (written(description="{a: 1}  # here"), "description", "must be text, is a mapping"),
    "list for text": (written(suite="[a]  # here"), "suite", "must be text, is a list"),
    "number for text": (written(suite="3  # here"), "suite", "must be text, is 3"),
    "nothing for text": (written(profile=" # here"), "profile", "must be text, is nothing"),
    "empty list": (written(variants="[]  # here"), "variants", "must not be an empty list"),
    "list for a mapping": (written(rank_by="[elbo]  # here"), "rank_by", "must be a mapping, is a list"),
    "number for a recipe": (written(recipe="3  # here"), "recipe", "must be a name or a mapping, is 3"),
    "list for a budget": (written(budget="[quick]  # here"), "budget", "must be a name or a mapping, is a list"),
    "true for seeds": (written(seeds="true  # here"), "seeds", "must be a number of seeds or a list of seeds, is true"),
    "fraction for seeds": (written(seeds="2.5  # here"), "seeds", "must be a number of seeds or a list of seeds, is 2.5"),
    "list for a variant": (written(variants="\n- vae\n- [vae]  # here"), "variants[1]", "must be a name or a mapping, is a list"),
    "unknown key of a variant": (
        written(variants="\n- extends: vae\n  objektive: elbo  # here"),
        "variants[0].objektive",
        "unknown key (did you mean 'objective'?)",
    ),
    "unknown key of defaults": (written(defaults="{latnet: 3}  # here"), "defaults.latnet", "did you mean 'latent'?"),
    "true for a latent": (
        written(variants="[{extends: vae, latent: true}]  # here"),
        "variants[0].latent",
        "must be an integer, or a list of integers (a grid), is true",
    ),
    "number for a part": (
        written(variants="[{extends: vae, objective: 4}]  # here"),
        "variants[0].objective",
        "must be a name, a mapping, or a list of names (a grid), is 4",
    ),
    "stance that is none": (
        written(variants="[{extends: vae, stance: theori}]  # here"),
        "variants[0].stance",
        "must be one of theory, practice, baseline, is 'theori' (did you mean 'theory'?)",
    ),
    "word for on": (
        written(variants="[{extends: vae, on: digits/grey}]  # here"),
        "variants[0].on",
        "must be a list, is 'digits/grey'; write [digits/grey]",
    ),
    "contrast without a theory": (
        written(contrasts="\n- question: what?  # here\n  practice: vae"),
        "contrasts[0].theory",
        "is missing",
    ),
    "empty question": (
        written(contrasts="\n- question: ''  # here\n  theory: vae\n  practice: beta-vae", variants="[vae, beta-vae]"),
        "contrasts[0].question",
        "must not be empty",
    ),
    "number for a metric": (written(metrics="[elbo, 4]  # here"), "metrics[1]", "must be a name or a mapping, is 4"),
    "number to rank by": (written(rank_by="{grey: 4}  # here"), "rank_by.grey", "must be text, is 4"),
}


@pytest.mark.parametrize(("text", "path", "what"), SHAPES.values(), ids=SHAPES)
def test_a_wrong_shape_is_named_with_its_line_and_path(text: str, path: str, what: str) -> None:
    (mistake,) = mistakes_in(text)
    assert [mistake.line] == marked_lines(text)
    assert mistake.path == path
    assert what in str(mistake)
