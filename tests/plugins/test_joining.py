"""What plugins declare joins the catalog, or is refused with its line."""

import textwrap
from pathlib import Path

import pytest

from tests.plugins.writing import LIGHT, MARK, forgotten, load, marked_line, write
from vaebench import project
from vaebench.catalog.catalog import load_catalog, packaged_catalog
from vaebench.plugins.loading import load_plugins
from vaebench.plugins.plugin import PluginError
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite_mapping
from vaebench.suite.mistakes import SuiteError

SUITE = {
    "suite": "trial",
    "datasets": ["digits/grey"],
    "seeds": 1,
    "variants": ["vae-gaussian"],
    "metrics": ["elbo"],
}
PART = '@vaebench.likelihood("mine", {arguments})\nclass Mine: pass\n'


def refusal(folder: Path, text: str) -> str:
    """The message with which a plugin is refused."""
    with pytest.raises(PluginError) as error:
        load(folder, text)
    return str(error.value)


def test_to_import_a_plugin_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, LIGHT, "harmless.py")
    monkeypatch.syspath_prepend(tmp_path)
    import harmless  # type: ignore[import-not-found]

    assert harmless.Light is not None
    assert load_catalog() is packaged_catalog()


def test_a_loaded_part_is_like_one_of_the_catalog(tmp_path: Path) -> None:
    load(tmp_path, LIGHT)
    part = load_catalog().parts["likelihood"]["light"]
    assert (part.title, part.views) == ("light", ("grey",))
    assert part.parameters["scale"].mistake(-1.0) == "must be above 0, is -1.0"
    assert "light" not in packaged_catalog().parts["likelihood"]


def test_what_a_posterior_has_and_a_metric_needs_is_told_apart_before_training(tmp_path: Path) -> None:
    text = """
        import vaebench

        @vaebench.posterior("nail", has=["spread"])
        class Nail: pass

        @vaebench.metric("width", unit="nats", better="none", needs="category")
        def width(subject, protocol): return []

        vaebench.variant("nailed", extends="vae-gaussian", posterior="nail")
    """
    load(tmp_path, textwrap.dedent(text))
    trial = {**SUITE, "variants": ["nailed"], "metrics": ["reconstruction", "width"]}
    with pytest.raises(SuiteError, match=r"width applies to no variant of the suite: q.* has no categorical code"):
        load_suite_mapping(trial)
    joint = {"extends": "joint-vae", "latent": 12}
    assert load_suite_mapping({**trial, "variants": ["nailed", joint]}).families[-1] == "width"


def test_what_no_posterior_can_have_is_refused(tmp_path: Path) -> None:
    assert "spred" in refusal(
        tmp_path, 'import vaebench\n\n@vaebench.posterior("mine", has=["spred"])\nclass Mine: pass\n'
    )


def test_a_variant_inherits_from_the_catalog_and_can_be_extended_by_a_suite(tmp_path: Path) -> None:
    load(tmp_path, LIGHT)
    entry = {"extends": "vae-light", "likelihood": {"scale": [1, 3]}}
    suite = load_suite_mapping({**SUITE, "variants": ["vae-light", entry]})
    scales = {variant.name: variant.composition["likelihood"] for variant in suite.variants}
    assert scales == {
        "vae-light": {"name": "light", "scale": 2.0},
        "vae-light[scale=1]": {"name": "light", "scale": 1.0},
        "vae-light[scale=3]": {"name": "light", "scale": 3.0},
    }
    assert suite.variants[0].stance == "theory"


def test_a_plugin_changes_no_cell_of_what_it_does_not_bring(tmp_path: Path) -> None:
    before = [planned.cell.id for planned in expand(load_suite_mapping(SUITE)).planned]
    load(tmp_path, LIGHT)
    after = expand(load_suite_mapping({**SUITE, "variants": ["vae-gaussian", "vae-light"]})).planned
    assert [planned.cell.id for planned in after if planned.variant == "vae-gaussian"] == before


def test_variants_may_stand_in_a_yaml_file_beside_the_plugin(tmp_path: Path) -> None:
    write(tmp_path, "wide: {extends: vae, title: Wide, stance: practice, latent: 77}\n", "more.yaml")
    load(tmp_path, 'import vaebench\nvaebench.variants("more.yaml")\n')
    entry = load_catalog().variants["wide"]
    assert (entry.mapping["latent"], entry.stance) == (77, "practice")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: {extends: vae}\nb: [1\n", "more.yaml:3: "),
        ("a: {extends: vae}\na: {extends: vae}\n", 'more.yaml:2: found duplicate key "a"'),
        ("- vae\n", "more.yaml: must be a mapping of variants by name, is a list"),
        ("a: {extends: vae}\nb: 3\n", "more.yaml:2: variant 'b' must be a mapping, is 3"),
        ("a: {extends: vae}\nb: {extends: vay}\n", "more.yaml:2: variant b: extends 'vay' is not one of"),
        ("vae: {extends: beta-vae}\n", "more.yaml:1: variant 'vae': shadows vaebench's own; give it another name"),
    ],
)
def test_a_slip_in_the_yaml_file_is_told_with_its_line(
    tmp_path: Path, text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, text, "more.yaml")
    said = refusal(tmp_path, 'import vaebench\nvaebench.variants("more.yaml")\n')
    assert said.startswith(expected)
    assert "\n" not in said


def test_a_yaml_file_that_is_not_there_is_told_with_the_line_that_names_it(tmp_path: Path) -> None:
    said = refusal(tmp_path, 'import vaebench\n\nvaebench.variants("gone.yaml")\n')
    assert said == f"{tmp_path}/mine.py:3: variants 'gone.yaml': No such file or directory"


SHADOWS = {
    "likelihood": ("bernoulli", "class It: pass", ""),
    "posterior": ("point", "class It: pass", ""),
    "prior": ("standard-normal", "class It: pass", ""),
    "network": ("mlp", "class It: pass", ""),
    "objective": ("elbo", "def it(): pass", ""),
    "metric": ("kl", "def it(): pass", ', unit="nats", better="none"'),
    "dataset": (
        "mnist",
        "def it(): pass",
        ', pixels=4, splits={"train": 1, "validation": 1, "test": 1}, views=["real"]',
    ),
}


@pytest.mark.parametrize("kind", SHADOWS)
def test_nothing_shadows_a_name_of_vaebench(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, thing, more = SHADOWS[kind]
    said = refusal(tmp_path, f'import vaebench\n\n@vaebench.{kind}("{name}"{more})\n{thing}\n')
    assert said == f"mine.py:3: {kind} {name!r}: shadows vaebench's own; give it another name"


def test_a_variant_shadows_none_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal(tmp_path, 'import vaebench\nvaebench.variant("beta-vae", extends="vae")\n')
    assert said == "mine.py:2: variant 'beta-vae': shadows vaebench's own; give it another name"


def test_two_plugins_cannot_bring_one_name_and_the_second_leaves_no_trace(tmp_path: Path) -> None:
    load(tmp_path, LIGHT, "one.py")
    before = load_catalog()
    with pytest.raises(PluginError, match=r"two.py:4: likelihood 'light': shadows that of .*one.py; give it another"):
        load(tmp_path, LIGHT, "two.py")
    assert load_catalog() is before


SLIPS = {
    "a parameter's bound": ('parameters={"s": {"type": "number", "default": -1, "above": 0}}', "default of s must be"),
    "a view": ('views=["gray"]', "view 'gray' is not one of binary, static-binary, threshold, grey"),
    "the nearest view": ('views=["gray"]', "(did you mean 'grey'?)"),
    "views that are one word": ('views="grey"', "views must be a list of names, is 'grey'"),
    "a parameter's type": ('parameters={"s": {"type": "float", "default": 1}}', "type must be one of number, integer"),
    "a parameter's key": (
        'parameters={"s": {"type": "number", "default": 1, "minimun": 0}}',
        "parameter 's' has no 'minimun'; did you mean 'minimum'?",
    ),
    "a parameter without default": ('parameters={"s": {"type": "number"}}', "parameter 's' needs default"),
    "a parameter that is a number": ('parameters={"s": 3}', "parameter 's' must be a mapping such as"),
    "a parameter's default": (
        'parameters={"s": {"type": "number", "default": "big"}}',
        "parameter 's': default must be a number, is 'big'",
    ),
    "a taken parameter": ('parameters={"name": {"type": "number", "default": 1}}', "'name' has a name that is taken"),
    "a required kind": ('requires={"networks": ["mlp"]}', "required kind 'networks' is not one of network"),
    "a required part": ('requires={"network": ["mpl"]}', "required network 'mpl' is not one of mlp"),
    "a required word": ('requires={"network": "mlp"}', "requires: network must be a list of names, is 'mlp'"),
    "a measure": ('measure="length"', "measure 'length' is not one of counting, density, levels"),
    "a title": ("title=3", "title must be text, is 3"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_a_declaration_is_one_line_with_its_place(
    tmp_path: Path, slip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, expected = SLIPS[slip]
    said = refusal(tmp_path, "import vaebench\n\n" + PART.format(arguments=arguments))
    assert said.startswith("mine.py:3: likelihood ")
    assert "\n" not in said
    assert expected in said


NAMES = {
    "a space": ("two words", "is no name: names are made of the letters a to z"),
    "a slash": ("a/b", "is no name: names are made of the letters a to z"),
    "nothing": ("", "is no name"),
    "too much": ("x" * 81, "81 characters long"),
}


@pytest.mark.parametrize("slip", NAMES)
def test_a_name_must_be_one(tmp_path: Path, slip: str) -> None:
    name, expected = NAMES[slip]
    assert expected in refusal(tmp_path, f'import vaebench\nvaebench.variant("{name}", extends="vae")\n')


VARIANTS = {
    "a part": ('likelihood="gausian"', "variant mine: likelihood 'gausian' is not one of"),
    "a part's nearest": ('likelihood="gausian"', "(did you mean 'gaussian'?)"),
    "a parameter": (
        'objective={"bet": 3}',
        "objective elbo: parameter 'bet' is not one of beta, kl, samples, train_on (did you mean 'beta'?)",
    ),
    "a value": ('objective={"beta": -3}', "variant mine: objective elbo: beta must be at least 0, is -3"),
    "a grid": ('objective={"beta": [1, 2]}', "variant mine: objective elbo: beta must be a number, is a list"),
    "a key": ('likelyhood="gaussian"', "variant mine: key 'likelyhood' is not one of"),
    "a stance": ('stance="hope"', "variant mine: stance 'hope' is not one of theory, practice, baseline"),
    "a latent": ("latent=0", "variant mine: latent must be at least 1, is 0"),
    "a generation": ('generation={"output": "men"}', "variant mine: generation: output must be one of draw, mean"),
}


@pytest.mark.parametrize("slip", VARIANTS)
def test_a_slip_in_a_variant_is_told_when_it_is_loaded(
    tmp_path: Path, slip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, expected = VARIANTS[slip]
    said = refusal(tmp_path, f'import vaebench\nvaebench.variant("mine", extends="vae", {arguments})\n')
    assert said.startswith("mine.py:2: ")
    assert expected in said


def test_a_variant_that_extends_nothing_must_say_everything(tmp_path: Path) -> None:
    said = refusal(tmp_path, 'import vaebench\nvaebench.variant("bare", stance="theory", likelihood="bernoulli")\n')
    assert [line.split("variant bare: ")[1] for line in said.splitlines()] == [
        "no network, and nothing that it extends has one",
        "no posterior, and nothing that it extends has one",
        "no prior, and nothing that it extends has one",
        "no objective, and nothing that it extends has one",
        "no latent, and nothing that it extends has one",
    ]


def test_every_mistake_of_a_plugin_is_told_at_once(tmp_path: Path) -> None:
    text = "import vaebench\n" + "".join(
        f'vaebench.variant("v{number}", extends="vae", latent=-{number})\n' for number in (1, 2, 3)
    )
    assert len(refusal(tmp_path, text).splitlines()) == 3


def test_a_slip_in_one_declaration_hides_no_mistake_of_another_and_makes_none(tmp_path: Path) -> None:
    text = (
        "import vaebench\n\n"
        '@vaebench.likelihood("first", parameters={"a": 3})\nclass First: pass\n\n'
        '@vaebench.likelihood("second", views=["gray"])\nclass Second: pass\n\n'
        'vaebench.variant("third", extends="vae", latent="many")\n'
        'vaebench.variant("fourth", extends="vae", likelihood="first")\n'
    )
    said = refusal(tmp_path, text).splitlines()
    assert [line.split(": ")[1] for line in said] == ["likelihood 'first'", "likelihood second", "variant third"]


def test_what_a_variant_says_of_its_source_is_not_said_of_those_that_extend_it(tmp_path: Path) -> None:
    text = (
        "import vaebench\n"
        'vaebench.variant("mine", extends="vae-gaussian", likelihood="gaussian-shared")\n'
        'vaebench.variant("cited", extends="vae-gaussian", source="me", stance="practice", departs="a little")\n'
    )
    with forgotten():
        load(tmp_path, text)
        (mine,), (cited,), (base,) = (project.describe(name) for name in ("mine", "cited", "vae-gaussian"))
    assert {"source", "mended"} <= set(base)
    assert not {"source", "departs", "mended"} & set(mine)
    assert (cited["source"], cited["departs"], "mended" in cited) == ("me", "a little", False)


THINGS = {
    "a method": ("class Outer:\n    @vaebench.likelihood('mine')  # here\n    def inner(self): pass\n", "Outer.inner"),
    "a local class": (
        "def make():\n    @vaebench.likelihood('mine')  # here\n    class Local: pass\nmake()\n",
        "stands inside something",
    ),
    "a number": ("vaebench.likelihood('mine')(3)  # here\n", "a class or a function is decorated, this is int"),
    "what is gone": (
        "@vaebench.likelihood('mine')  # here\nclass Gone: pass\ndel Gone\n",
        "Gone is not found in its module under this name",
    ),
    "a metric's part": (
        "@vaebench.metric('mine', unit='', better='lower', parts={'of': {'title': 'x'}})  # here\ndef it(): pass\n",
        "part 'of' needs title, unit and better",
    ),
    "a metric's dot": (
        "@vaebench.metric('mine.other', unit='', better='lower')  # here\ndef it(): pass\n",
        "a metric's name has no '.', which stands before its parts",
    ),
    "a metric without a number": (
        "@vaebench.metric('mine', unit='', better='lower', head=False)  # here\ndef it(): pass\n",
        "neither head nor parts, so it has no number",
    ),
    "splits": (
        "@vaebench.dataset('mine', pixels=4, splits={'train': 3}, views=['grey'])  # here\ndef it(): pass\n",
        "splits must be train, validation and test with their sizes, is train",
    ),
    "no square": (
        "@vaebench.dataset('mine', pixels=5, side=2, splits=dict(train=1, validation=1, test=1), views=['grey'])"
        "  # here\ndef it(): pass\n",
        "5 pixels are no square of side 2",
    ),
    "a setting's name": (
        "@vaebench.objective('mine', parameters={'progress': {'type': 'number', 'default': 1}})  # here\n"
        "def it(): pass\n",
        "'progress' has a name that is taken",
    ),
}


@pytest.mark.parametrize("slip", THINGS)
def test_what_cannot_be_found_again_is_refused_at_its_line(
    tmp_path: Path, slip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    body, expected = THINGS[slip]
    text = textwrap.dedent("import vaebench\n\n") + body
    said = refusal(tmp_path, text)
    assert MARK in text
    assert said.startswith(f"mine.py:{marked_line(text)}: ")
    assert expected in said


def test_an_unknown_keyword_is_the_plugins_fault_and_has_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal(tmp_path, "import vaebench\n\n" + PART.format(arguments='view=["grey"]'))
    assert said.startswith("mine.py:3: importing ")
    assert "unexpected keyword argument 'view'" in said


def test_loading_it_twice_is_loading_it_once(tmp_path: Path) -> None:
    path = write(tmp_path, LIGHT)
    first, second = load_plugins(path), load_plugins(path)
    assert first == second
    assert first[0].declarations[0].thing is second[0].declarations[0].thing


def test_a_changed_file_is_loaded_anew(tmp_path: Path) -> None:
    (first,) = load_plugins(write(tmp_path, LIGHT))
    (second,) = load_plugins(write(tmp_path, LIGHT.replace('"default": 1.0', '"default": 5.0')))
    assert first.hash != second.hash
    assert load_catalog().parts["likelihood"]["light"].parameters["scale"].default == 5.0


def test_a_data_set_that_has_changed_wants_a_new_process(tmp_path: Path) -> None:
    """A process keeps what it has loaded of a data set under its name."""
    sizes = "dict(train=1, validation=1, test=1)"
    text = f"import vaebench\n@vaebench.dataset('mine', pixels=4, splits={sizes}, views=['real'])\ndef it(): pass\n"
    load(tmp_path, text)
    with pytest.raises(PluginError, match=r"has changed since this process loaded it; start Python again"):
        load(tmp_path, f"{text}x = 1\n")
