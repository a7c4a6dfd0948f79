"""A reader mends a file once: all of its mistakes come together, in its order, and never as a traceback."""

import contextlib
import copy
import functools
import operator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.suite.writing import FILE, mistakes_in, written
from vaebench.suite.expansion import expand
from vaebench.suite.fleets import group
from vaebench.suite.loading import load_suite_mapping
from vaebench.suite.mistakes import SuiteError

TEN_MISTAKES = """\
suite: ten mistakes
datasets: [digits/gray, digits/binary]
seeds: [0, 1, 1]
recipe: {extends: quick, learning_rate: -1}
defaults: {latent: 8, network: {hiden: [64]}}
variants:
  - vae
  - {extends: vae, name: strong, objective: {beta: [1, four]}}
  - {extends: bta-vae}
  - {extends: vae, latent: 8}
metrics: [elbo, active_unit]
contrasts:
  - question: Which one?
    theory: vae
    practice: strong
    colour: red
"""


def test_ten_mistakes_are_ten_lines_in_the_order_of_the_file() -> None:
    assert [str(mistake) for mistake in mistakes_in(TEN_MISTAKES)] == [
        f"{FILE}:1: suite: 'ten mistakes' is no name: names are made of the letters a to z, digits, '.', '_' and '-'",
        f"{FILE}:2: datasets[0]: data set digits has no view 'gray' (did you mean 'digits/grey'?)",
        f"{FILE}:3: seeds[2]: seed 1 stands twice",
        f"{FILE}:4: recipe.learning_rate: must be above 0, is -1",
        f"{FILE}:5: defaults.network.hiden: network has no such parameter (did you mean 'hidden'?)",
        f"{FILE}:8: variants[1].objective.beta[1]: must be a number, is 'four'",
        f"{FILE}:9: variants[2].extends: 'bta-vae' is no variant to extend (did you mean 'beta-vae'?)",
        f"{FILE}:10: variants[3]: the name 'vae' is taken by variants[0] already; give this one its own name",
        f"{FILE}:11: metrics[1]: 'active_unit' is no metric (did you mean 'active_units'?)",
        f"{FILE}:16: contrasts[0].colour: unknown key; valid: question, theory, practice, primary",
    ]


def test_a_wrong_entry_is_complained_of_once_and_not_wherever_it_is_named() -> None:
    text = written(
        variants="[vae, {extends: beta-vae, objective: {beta: -1}}, {name: other, extends: vea}]",
        contrasts="""
        - {question: a?, theory: vae, practice: beta-vae}
        - {question: b?, theory: vae, practice: other}
        """,
    )
    assert [mistake.path for mistake in mistakes_in(text)] == ["variants[1].objective.beta", "variants[2].extends"]


HIDDEN = """\
suite: hidden
datasets: [digits/binary]
seeds: 2
variants:
  - vae
  - {extends: beta-vea, latent: [3, -1], generation: {priors: own}, network: mpl, objective: {name: vmi, lamda: 3}}
  - {name: own, objective: {name: elbo, beta: four}, likelihood: {sigma: -1}}
  - beta-vae: {latent: 2}
metrics: [elbo]
contrasts:
  - {question: "Which?", theory: vae, practice: "vae:elbo", primary: elbo}
  - {question: "Which?", theory: vae, practice: vae, primary: elbow}
expected:
  - {kind: exact, of: "vea:elbow", value: 3, band: 1, source: x, onn: digits/binary}
  - {kind: exacd, of: "vae:elbow", value: 3, band: [1], source: x}
figures:
  - {figure: a, says: b, ours: ["vea:latent"], answerd_by: [zzz]}
  - {figure: a, says: b, ours: ["vae:samples", 3], answered_by: [zzz]}
"""


def test_no_mistake_hides_another_of_its_entry() -> None:
    """Neither an unknown base, nor a misspelt key, nor a part without a name."""
    found = [(mistake.line, mistake.path) for mistake in mistakes_in(HIDDEN)]
    assert found == [
        (6, "variants[1].extends"),
        (6, "variants[1].latent[1]"),
        (6, "variants[1].generation.priors"),
        (6, "variants[1].network"),
        (6, "variants[1].objective.lamda"),
        (7, "variants[2].objective.beta"),
        (7, "variants[2].likelihood"),
        (7, "variants[2].likelihood.sigma"),
        (8, "variants[3].beta-vae"),
        (12, "contrasts[1].question"),
        (12, "contrasts[1].primary"),
        (14, "expected[0].of"),
        (14, "expected[0].of"),
        (14, "expected[0].onn"),
        (15, "expected[1].kind"),
        (15, "expected[1].of"),
        (15, "expected[1].band"),
        (17, "figures[0].ours[0]"),
        (17, "figures[0].ours[0]"),
        (17, "figures[0].answerd_by"),
        (18, "figures[1].figure"),
        (18, "figures[1].ours[1]"),
        (18, "figures[1].answered_by[0]"),
    ]


def test_a_view_of_the_wrong_shape_is_no_view_left_out_and_not_the_first_one() -> None:
    text = written(
        variants="[{extends: vae, on: [digits/grey]}]",
        expected="[{kind: exact, on: 3, of: 'vae:elbo', value: 1, band: 1, source: x}]",
        figures="[{figure: a, says: b, ours: ['vae:samples'], on: 3}]",
    )
    assert [mistake.path for mistake in mistakes_in(text)] == ["expected[0].on", "figures[0].on"]


def test_a_wrong_data_set_makes_no_variant_and_no_metric_wrong() -> None:
    text = written(datasets="[digits/binary, digits/gray]", variants="[vae-gaussian]", rank_by="{grey: bits_per_dim}")
    assert [mistake.path for mistake in mistakes_in(text)] == ["datasets[1]"]


def test_a_reason_that_holds_for_a_whole_grid_is_given_once() -> None:
    text = written(
        datasets="[digits/binary]",
        metrics="[elbo]",
        variants="[vae, {extends: vae-gaussian, objective: {beta: [1, 2, 3, 4]}}]",
    )
    (mistake,) = mistakes_in(text)
    assert mistake.what.startswith("vae-gaussian[beta=1], vae-gaussian[beta=2] and 2 more fit no data set")


def test_grids_are_counted_before_they_are_laid_open() -> None:
    numbers = list(range(1, 31))
    many = f"{{extends: vae, latent: {numbers}, objective: {{beta: {numbers}, samples: {numbers}}}}}"
    (mistake,) = mistakes_in(written(variants=f"[beta-vae, {many}]"))
    assert str(mistake).endswith("variants[1]: a grid of 27,000 variants; a suite has at most 1,000 variants")
    two = f"{{extends: vae, latent: {numbers}, objective: {{beta: {numbers}}}}}"
    (mistake,) = mistakes_in(written(variants=f"[{two}, {two.replace('extends', 'name: b, extends')}]"))
    assert str(mistake).endswith("variants: 1,800 variants; a suite has at most 1,000")
    (mistake,) = mistakes_in(written(seeds="60000"))
    assert str(mistake).endswith("120,000 cells; a suite has at most 100,000")


VOCABULARY = """
suite datasets seeds profile recipe budget defaults variants metrics rank_by contrasts name extends on title stance
fixed network latent likelihood posterior prior objective generation question theory practice primary hidden beta
sigma sigma_floor lambda subcode source output samples images epochs select patience vae beta-vae vae-gaussian vae-mse
vmi-vae ppca mlp linear none default gaussian bernoulli exact elbo vmi kl bits_per_dim sharpness sharpness.mean
train_seconds grey binary real digits/binary digits/grey linear-gaussian/real quick cpu cells vae:elbo
"""
WORDS = st.sampled_from(VOCABULARY.split())
SCALARS = st.one_of(
    WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.integers(0, 5), st.just(0.5)
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=5),
    max_leaves=12,
)
PARTS = st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "beta", "hidden", "sigma_floor", "subcode"), TREES))
KINDS = ("network", "latent", "likelihood", "posterior", "prior", "objective", "generation")
CHOICES = dict.fromkeys(KINDS, PARTS | TREES)
ENTRIES = st.fixed_dictionaries(
    {}, optional={"name": WORDS | TREES, "extends": WORDS | TREES, "on": st.lists(WORDS) | TREES, **CHOICES}
)
CONTRASTS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("question", "theory", "practice", "primary"), WORDS | TREES)
)
SUITES = st.fixed_dictionaries(
    {},
    optional={
        "suite": WORDS | TREES,
        "datasets": st.lists(WORDS) | TREES,
        "seeds": TREES,
        "profile": WORDS | TREES,
        "recipe": TREES,
        "budget": TREES,
        "defaults": st.fixed_dictionaries({}, optional=CHOICES) | TREES,
        "variants": st.lists(WORDS | ENTRIES | TREES, max_size=5) | TREES,
        "metrics": st.lists(WORDS | TREES) | TREES,
        "rank_by": st.dictionaries(WORDS, WORDS) | TREES,
        "contrasts": st.lists(CONTRASTS | TREES, max_size=4) | TREES,
    },
)


@given(SUITES | TREES)
@settings(max_examples=400, deadline=None)
def test_no_mapping_raises_anything_but_suite_error(content: Any) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite_mapping({**content, "unknown": 1} if isinstance(content, dict) else content)
    assert caught.value.mistakes
    assert all("\n" not in str(mistake) for mistake in caught.value.mistakes)


SOUND = {
    "suite": "sound",
    "datasets": ["digits/binary", "digits/grey"],
    "seeds": [0, 3],
    "recipe": {"extends": "quick", "epochs": 3},
    "budget": {"elbo": {"samples": 3}},
    "defaults": {"latent": 3, "network": {"hidden": [3]}, "likelihood": {"sigma_floor": 0.1}},
    "variants": [
        "vae",
        {"extends": "beta-vae", "objective": {"beta": [1, 2]}},
        {
            "name": "a",
            "extends": "vmi-vae",
            "on": ["digits/grey"],
            "likelihood": {"name": ["gaussian", "gaussian-fixed"]},
        },
        {"name": "b", "extends": "a", "latent": [3, 4]},
    ],
    "metrics": ["elbo", {"log_likelihood": {"samples": 3}}, "sharpness.mean", "bits_per_dim"],
    "rank_by": {"grey": "bits_per_dim", "binary": "elbo"},
    "contrasts": [{"question": "?", "theory": "vae", "practice": "beta-vae[beta=2]:elbo", "primary": "elbo"}],
}


def places_in(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place below `content`."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place for key, value in inner for place in [(*path, key), *places_in(value, (*path, key))]]


@given(st.lists(st.tuples(st.integers(0), WORDS | TREES), min_size=1, max_size=3))
@settings(max_examples=500, deadline=None)
def test_no_change_of_a_sound_suite_raises_anything_but_suite_error(changes: list[tuple[int, Any]]) -> None:
    content = copy.deepcopy(SOUND)
    for number, value in changes:
        places = places_in(content)
        *way, last = places[number % len(places)]
        functools.reduce(operator.getitem, way, content)[last] = value
    with contextlib.suppress(SuiteError):
        expansion = expand(load_suite_mapping(content))
        assert group(planned.cell for planned in expansion.planned)


@given(st.text() | st.binary())
@settings(max_examples=300, deadline=None)
def test_no_text_raises_anything_but_suite_error(text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode("utf-8", errors="surrogatepass")
    assert mistakes_in(data)


@given(
    st.lists(st.tuples(st.integers(0, len(TEN_MISTAKES)), st.sampled_from("[]{}:,-&*#|>'\"%@`!? \t\nax1")), max_size=6)
)
@settings(max_examples=300, deadline=None)
def test_no_slip_of_the_keyboard_raises_anything_but_suite_error(slips: list[tuple[int, str]]) -> None:
    text = TEN_MISTAKES
    for place, character in slips:
        text = text[:place] + character + text[place + 1 :]
    assert all("\n" not in str(mistake) for mistake in mistakes_in(text))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"suite": {1, 2}}, "suite: is a set, which no suite can hold"),
        ({"suite": "a", 3: "b"}, "holds a key that is no text but int"),
        ({"suite": "a", True: ["digits/grey"]}, "holds a key that is true: PyYAML reads a bare on so"),
        ({"suite": "a\x00"}, "suite: holds an unprintable character"),
        ({"suite": "a", "\ud800": 1}, "holds a key with an unprintable character"),
        ([], "a suite must be a mapping"),
        ({"seeds": 10**6000}, "seeds: must be a finite number, is a very large number"),
    ],
)
def test_a_mapping_that_no_file_could_hold(content: Any, what: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite_mapping(content)
    assert f"<suite>: {what}" in str(caught.value)


def test_a_mapping_that_contains_itself_is_refused() -> None:
    content: dict[str, Any] = {"suite": "a"}
    content["defaults"] = content
    with pytest.raises(SuiteError, match="nested deeper than 20 levels"):
        load_suite_mapping(content)
