"""The JSON Schema of suite files: what editors complete from is what the loader accepts."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.suite.writing import FILE, mistakes_in, written
from vaebench.catalog.catalog import KINDS, load_catalog
from vaebench.suite.json_schema import suite_schema, text
from vaebench.suite.loading import shipped
from vaebench.suite.schema import LONGEST_NAME, mistake_of_name
from vaebench.suite.yaml_source import parse_source, read_source

REPOSITORY = Path(__file__).resolve().parents[2]
COMMITTED = REPOSITORY / "docs" / "suite.schema.json"
COMMENT = "# yaml-language-server: $schema=../docs/suite.schema.json"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft7Validator:
    schema = suite_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def test_the_committed_schema_is_not_stale():
    assert COMMITTED.read_text(encoding="utf-8") == text(suite_schema()), (
        "run python -m vaebench.suite.json_schema again"
    )


@pytest.mark.parametrize("path", shipped().values(), ids=lambda path: path.stem)
def test_every_shipped_suite_names_the_schema_and_satisfies_it(path, validator):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == COMMENT, "begin the file with the line that tells editors its schema"
    assert (path.parent / COMMENT.partition("$schema=")[2]).resolve() == COMMITTED
    errors = [
        f"{list(error.path)}: {error.message}" for error in validator.iter_errors(read_source(path, FILE).content)
    ]
    assert errors == []


SOUND = {
    "a grid": {"variants": "[{extends: vae, latent: [2, 3], objective: {beta: [0.5, 4]}}]"},
    "a grid of lists": {"variants": "[{extends: vae, network: {hidden: [[64], [64, 64]]}}]"},
    "a grid of parts": {"variants": "[{extends: vae, network: [mlp, gated], posterior: {name: [diagonal-gaussian]}}]"},
    "an own variant": {"variants": "[{name: mine, extends: vae, latent: 3}, {name: yours, extends: mine, latent: 4}]"},
    "an overridden protocol": {"metrics": "[elbo, {log_likelihood: {samples: 5000}}]"},
    "a part of a metric": {"metrics": "[elbo, sharpness.mean_ratio]"},
    "a changed recipe": {"recipe": "{extends: quick, epochs: 3}", "budget": "{extends: quick, elbo: {samples: 9}}"},
    "seeds": {"seeds": "[3, 5, 8]"},
    "a ranking": {"rank_by": "{binary: elbo}"},
    "defaults": {"defaults": "{latent: 7, network: {hidden: [32]}, generation: {output: mean}}"},
    "a contrast": {
        "variants": "[vae, beta-vae]",
        "contrasts": "[{question: Is it?, theory: vae, practice: 'beta-vae:elbo', primary: elbo}]",
    },
}


@pytest.mark.parametrize("sections", SOUND.values(), ids=SOUND)
def test_what_the_loader_accepts_satisfies_the_schema(sections, validator):
    content = written(**sections)
    assert mistakes_in(content) == []
    assert list(validator.iter_errors(parse_source(content.encode(), FILE).content)) == []


WRONG = {
    "a data set view": {"datasets": "[digits/binery]"},
    "a metric": {"metrics": "[elbow]"},
    "a key": {"profil": "cpu"},
    "a profile": {"profile": "huge"},
    "a part": {"variants": "[{extends: vae, prior: narrow}]"},
    "a parameter": {"variants": "[{extends: vae, objective: {betta: 3}}]"},
    "a type": {"variants": "[{extends: vae, latent: many}]"},
    "a range": {"variants": "[{extends: vae, objective: {beta: -1}}]"},
    "a protocol": {"metrics": "[{elbo: {sample: 5}}]"},
    "a view": {"rank_by": "{gray: elbo}"},
    "a name": {"suite": "two words"},
    "a null": {"profile": "null"},
    "no seeds": {"seeds": "0"},
    "nothing": {"variants": "[]"},
    "a stance": {"variants": "[{extends: vae, stance: neutral}]"},
}


@pytest.mark.parametrize("sections", WRONG.values(), ids=WRONG)
def test_what_the_schema_refuses_the_loader_refuses_too(sections, validator):
    content = written(**sections)
    assert not validator.is_valid(parse_source(content.encode(), FILE).content)
    assert mistakes_in(content)


@pytest.mark.parametrize(
    "name", ["a", "A.b-c_9", "_x", "-x", ".x", "two words", "ü", "", "a" * LONGEST_NAME, "a" * (LONGEST_NAME + 1)]
)
def test_names_are_those_that_the_loader_takes(name, validator):
    content = {"suite": name, "datasets": ["digits/binary"], "variants": ["vae"], "metrics": ["elbo"]}
    assert validator.is_valid(content) == (bool(name) and mistake_of_name(name) is None)


def test_an_editor_finds_every_name_of_the_catalog():
    catalog, schema = load_catalog(), json.dumps(suite_schema(), ensure_ascii=False)
    parts = (catalog.parts[kind] for kind in KINDS)
    named = [catalog.sources, catalog.columns, catalog.metrics, catalog.recipes, catalog.budgets, catalog.profiles]
    for names in [*named, catalog.variants, catalog.views, *parts]:
        assert all(f'"{name}"' in schema for name in names)


def test_the_command_prints_every_schema_and_needs_no_torch():
    script = (
        "import sys\nfrom vaebench.cli import main\ntry:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    )
    for arguments, title in (([], "A suite of vaebench"), (["runs"], "A row of runs.csv, version 1")):
        command = [sys.executable, "-c", script, "schema", *arguments]
        said = subprocess.run(command, capture_output=True, text=True, check=True)
        assert json.loads(said.stdout)["title"] == title
