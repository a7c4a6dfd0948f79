"""A plugin's fingerprint is made of its own sources, and of those of vaebench's that it imports."""

import sys
from pathlib import Path

import pytest

from tests.plugins.writing import LIGHT, forgotten, load, write
from vaebench.engines.planning import metric_fingerprint, model_fingerprints
from vaebench.plugins.plugin import PluginError
from vaebench.store.cell import Cell
from vaebench.suite.expansion import expand
from vaebench.suite.loading import load_suite_mapping

METRIC = """\
import vaebench


@vaebench.metric("trial", unit="pixels", better="lower")
def evaluate(subject, protocol):
    return []
"""


def cell_of(variant: str) -> Cell:
    content = {"suite": "trial", "datasets": ["digits/grey"], "seeds": 1, "variants": [variant], "metrics": ["elbo"]}
    return expand(load_suite_mapping(content)).planned[0].cell


def prints(folder: Path, text: str, variant: str = "vae-light") -> dict[str, str]:
    load(folder, text)
    return model_fingerprints(cell_of(variant))


def test_a_change_of_the_plugin_changes_its_own_room_only(tmp_path: Path) -> None:
    before = prints(tmp_path, LIGHT)
    after = prints(tmp_path, f"{LIGHT}\nx = 1\n")
    assert before.pop("plugins") != after.pop("plugins")
    assert before == after


def test_what_uses_no_plugin_has_none_in_its_fingerprint(tmp_path: Path) -> None:
    assert "plugins" not in prints(tmp_path, LIGHT, "vae-gaussian")


def test_what_a_plugin_imports_of_vaebench_counts_as_vaebench(tmp_path: Path) -> None:
    before = prints(tmp_path, LIGHT)
    after = prints(tmp_path, f"from vaebench.models.flows import Made\n{LIGHT}")
    assert before["models"] != after["models"]
    assert before["objectives"] == after["objectives"]


def test_a_module_beside_the_plugin_is_part_of_it(tmp_path: Path) -> None:
    text = f"import helper_of_mine\n{LIGHT}"
    write(tmp_path, "VALUE = 1\n", "helper_of_mine.py")
    before = prints(tmp_path, text)
    write(tmp_path, "VALUE = 2\n", "helper_of_mine.py")
    after = prints(tmp_path, text)
    assert before["plugins"] != after["plugins"]
    assert {name: before[name] for name in before if name != "plugins"} == {
        name: after[name] for name in after if name != "plugins"
    }


def test_a_module_that_the_helper_imports_counts_too_and_one_that_nobody_imports_does_not(tmp_path: Path) -> None:
    write(tmp_path, "from . import second\n", "package_of_mine/__init__.py")
    write(tmp_path, "x = 1\n", "package_of_mine/second.py")
    text = f"import package_of_mine\n{LIGHT}"
    before = prints(tmp_path, text)
    write(tmp_path, "x = 1\n", "unrelated.py")
    assert prints(tmp_path, text) == before
    write(tmp_path, "x = 2\n", "package_of_mine/second.py")
    assert prints(tmp_path, text) != before


def test_neither_the_place_of_the_file_nor_its_name_matters(tmp_path: Path) -> None:
    hashes = []
    for folder, name in (("here", "mine.py"), ("there", "yours.py")):
        with forgotten():
            hashes.append(load(tmp_path / folder, LIGHT, name).hash)
    assert hashes[0] == hashes[1]


def test_a_metrics_fingerprint_follows_its_plugin(tmp_path: Path) -> None:
    load(tmp_path, METRIC)
    before, own = metric_fingerprint("trial"), metric_fingerprint("elbo")
    load(tmp_path, METRIC.replace("return []", "return [1]"))
    assert metric_fingerprint("trial") != before
    assert metric_fingerprint("elbo") == own


def test_a_lazy_import_with_a_slip_is_the_plugins_fault(tmp_path: Path) -> None:
    write(tmp_path, "class (:\n", "broken_of_mine.py")
    with pytest.raises(PluginError, match=r"broken_of_mine.py:1: importing .* raised SyntaxError"):
        load(tmp_path, f"def later():\n    import broken_of_mine\n{LIGHT}")
    assert "broken_of_mine" not in sys.modules
