"""docs/variants.md says what the catalog says."""

from pathlib import Path

from vaebench.catalog.catalog import load_catalog
from vaebench.reporting.catalogue_page import page

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "variants.md"


def test_the_committed_page_is_not_stale():
    assert COMMITTED.read_text(encoding="utf-8") == page(), "run python -m vaebench.reporting.catalogue_page again"


def test_every_variant_has_its_section_its_source_and_its_objective():
    text = page()
    for name, entry in load_catalog().variants.items():
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert entry.title in section
        assert "- objective `" in section
        if entry.mapping.get("departs"):
            assert entry.mapping["departs"] in section
