"""The shape of a suite file: one mistake a file, found on the line that holds it."""

import pytest

from tests.suite.writing import marked_lines, mistakes_in, written

SHAPES = {
    "unknown key": (written(seed="3  # here"), "seed", "unknown key (did you mean 'seeds'?)"),
    "unknown key far from all": (written(zzz="3  # here"), "zzz", "unknown key; valid: suite, description"),
    "number for a list": (written(datasets="3  # here"), "datasets", "must be a list, is 3"),
    "word for a list": (written(metrics="elbo  # here"), "metrics", "must be a list, is 'elbo'; write [elbo]"),
    "mapping for text": (written(description="{a: 1}  # here"), "description", "must be text, is a mapping"),
    "list for text": (written(suite="[a]  # here"), "suite", "must be text, is a list"),
    "number for text": (written(suite="3  # here"), "suite", "must be text, is 3"),
    "true for text": (written(suite="true  # here"), "suite", "must be text, is true"),
    "nothing for text": (written(profile=" # here"), "profile", "must be text, is nothing"),
    "empty list": (written(variants="[]  # here"), "variants", "must not be an empty list"),
    "list for a mapping": (written(rank_by="[elbo]  # here"), "rank_by", "must be a mapping, is a list"),
    "number for a recipe": (written(recipe="3  # here"), "recipe", "must be a name or a mapping, is 3"),
    "list for a budget": (written(budget="[quick]  # here"), "budget", "must be a name or a mapping, is a list"),
    "true for seeds": (written(seeds="true  # here"), "seeds", "must be a number of seeds or a list of seeds, is true"),
    "fraction for seeds": (written(seeds="2.5  # here"), "seeds", "a number of seeds or a list of seeds, is 2.5"),
    "list for a variant": (
        written(variants="\n- vae\n- [vae]  # here"),
        "variants[1]",
        "a name or a mapping, is a list",
    ),
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
    "unknown stance": (
        written(variants="[{extends: vae, stance: theori}]  # here"),
        "variants[0].stance",
        "must be one of theory, practice, baseline, is 'theori' (did you mean 'theory'?)",
    ),
    "unknown kind in fixed": (
        written(variants="[{extends: vae, fixed: [netwrok]}]  # here"),
        "variants[0].fixed[0]",
        "must be one of network, likelihood, posterior, prior, objective, is 'netwrok' (did you mean 'network'?)",
    ),
    "word for on": (
        written(variants="[{extends: vae, on: digits/grey}]  # here"),
        "variants[0].on",
        "must be a list, is 'digits/grey'; write [digits/grey]",
    ),
    "empty on": (written(variants="[{extends: vae, on: []}]  # here"), "variants[0].on", "must not be an empty list"),
    "contrast without a theory": (
        written(contrasts="\n- question: what?  # here\n  practice: vae"),
        "contrasts[0].theory",
        "is missing",
    ),
    "misspelt key that must be there": (
        written(contrasts="\n- question: what?\n  theory: vae\n  practise: vae  # here"),
        "contrasts[0].practise",
        "unknown key (did you mean 'practice'?)",
    ),
    "empty question": (
        written(variants="[vae, beta-vae]", contrasts="[{question: '', theory: vae, practice: beta-vae}]  # here"),
        "contrasts[0].question",
        "must not be empty",
    ),
    "number for a contrast": (written(contrasts="[4]  # here"), "contrasts[0]", "must be a mapping, is 4"),
    "number for a metric": (written(metrics="[elbo, 4]  # here"), "metrics[1]", "must be a name or a mapping, is 4"),
    "number to rank by": (written(rank_by="{grey: 4}  # here"), "rank_by.grey", "must be text, is 4"),
}


@pytest.mark.parametrize(("text", "path", "what"), SHAPES.values(), ids=SHAPES)
def test_a_wrong_shape_is_one_mistake_on_its_line(text: str, path: str, what: str) -> None:
    (mistake,) = mistakes_in(text)
    assert [mistake.line] == marked_lines(text)
    assert mistake.path == path
    assert what in str(mistake)


NAMES = {
    "a space": ("my suite", "names are made of the letters a to z, digits, '.', '_' and '-'"),
    "a slash": ("a/b", "names are made of the letters a to z"),
    "an umlaut": ("größe", "names are made of the letters a to z"),
    "a bracket": ("'a[b=1]'", "names are made of the letters a to z"),
    "a leading dot": ("..", "names begin with a letter, a digit or '_'"),
    "a leading dash": ("-x", "names begin with a letter, a digit or '_'"),
    "81 characters": ("x" * 81, "is 81 characters long; names have at most 80"),
    "nothing in it": ("''", "names are made of the letters a to z"),
    "the reserved word": ("cells", "'cells' is reserved"),
    "the reserved word in capitals": ("Cells", "'Cells' is reserved"),
}


@pytest.mark.parametrize(("name", "what"), NAMES.values(), ids=NAMES)
def test_suites_and_variants_have_slugs_for_names(name: str, what: str) -> None:
    for text, path in (
        (written(suite=f"{name}  # here"), "suite"),
        (written(variants=f"\n- extends: vae\n  name: {name}  # here"), "variants[0].name"),
    ):
        (mistake,) = mistakes_in(text)
        assert ([mistake.line], mistake.path) == (marked_lines(text), path)
        assert what in mistake.what


@pytest.mark.parametrize("section", ["suite", "datasets", "variants", "metrics"])
def test_what_every_suite_needs_is_missed_by_name(section: str) -> None:
    (mistake,) = mistakes_in(written(**{section: None}))
    assert str(mistake) == f"trial.yaml:1: {section}: is missing"


def test_a_misspelt_section_is_one_mistake_and_not_missing_too() -> None:
    text = written(metrics=None) + "metrisc: [elbo]  # here\n"
    (mistake,) = mistakes_in(text)
    assert ([mistake.line], mistake.path) == (marked_lines(text), "metrisc")
    assert (mistake.what, mistake.suggestion) == ("unknown key", "metrics")


@pytest.mark.parametrize(
    ("text", "given"), [("- vae\n", "a list"), ("vae\n", "'vae'"), ("3\n", "3"), ("~\n", "nothing")]
)
def test_a_file_that_is_no_mapping_is_told_what_a_suite_is(text: str, given: str) -> None:
    (mistake,) = mistakes_in(text)
    assert mistake.line == 1
    assert "a suite must be a mapping with the keys suite, description, datasets" in mistake.what
    assert mistake.what.endswith(f"this is {given}")
