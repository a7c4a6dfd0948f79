"""docs/variants.md: every variant of the catalog on a page, from the same data that trains it.

python -m vaebench.reporting.catalogue_page > docs/variants.md
"""

import sys

from vaebench.catalog.catalog import Practice, load_catalog, packaged_catalog
from vaebench.reporting.cards import Card, Choice, cards
from vaebench.suite.drafts import catalog_draft
from vaebench.suite.loading import load_suite_mapping

VIEWS = ("digits/binary", "digits/grey")
"""Between them every variant finds one that it fits, unless another library trains it."""
FIXED_VIEWS = ("digits/static-binary",)
"""Where that library sees fixed images only."""
HEADER = """# The variants

Made by `python -m vaebench.reporting.catalogue_page` from `vaebench/catalog/variants/`; a test fails when it is stale.
A variant is a composition of choices. *theory*: faithful to its source's equations; *practice*: a popular departure;
*baseline*: what the others are held against.
"""


def catalogue(*names: str) -> list[Card]:
    """Cards of these variants of the catalog; of all that vaebench brings, if none is named."""
    wanted = names or tuple(packaged_catalog().variants)
    foreign = [name for name in wanted if ("trainer",) in catalog_draft(name, load_catalog()).values]
    brought = [name for name in wanted if name not in packaged_catalog().variants]
    ours = [name for name in wanted if name not in (*foreign, *brought)]
    groups = {VIEWS: ours, FIXED_VIEWS: foreign, load_catalog().sources: brought}
    found = {card.name: card for views, group in groups.items() for card in _cards(group, views)}
    return [found[name] for name in wanted]


def _cards(names: list[str], views: tuple[str, ...]) -> list[Card]:
    content = {"suite": "catalogue", "datasets": list(views), "variants": names, "metrics": ["reconstruction"]}
    return cards(load_suite_mapping(content)) if names else []


def page() -> str:
    """The page as Markdown."""
    found = catalogue()
    index = ["| variant | what | stance |", "|---|---|---|"]
    index += [f"| [`{card.name}`](#{card.name}) | {card.title} | {card.stance} |" for card in found]
    return "\n".join([HEADER, *index, "", *(section(card) for card in found)])


def section(card: Card) -> str:
    """One variant: what it is, where it comes from, what it changes, and its choices with their equations."""
    origin = f", from `{card.extends}`" if card.extends else ""
    remarks = {"Source": card.source, "Departs": card.departs, "Mended": card.mended}
    paragraphs = [f"## {card.name}", f"{card.title} (*{card.stance}*){origin}"]
    paragraphs += [f"{name}: {text}" for name, text in remarks.items() if text]
    paragraphs.append("\n".join(item(choice) for choice in (*card.choices, *card.others)))
    if card.practised:
        paragraphs.append("In public code:\n\n" + "\n".join(fact(practice) for practice in card.practised))
    return "\n\n".join(paragraphs) + "\n"


def fact(practice: Practice) -> str:
    """Who does it, where, and what is computed there."""
    place = f"https://github.com/{practice.project}/blob/{practice.commit}/{practice.file}"
    return f"- [{practice.project}, `{practice.file}`]({place}): {practice.computes}"


def item(choice: Choice) -> str:
    equation = f": `{choice.equation}`" if choice.equation else ""
    return f"- {choice.part} `{choice.setting}`{equation}"


def content(name: str) -> dict[str, object]:
    """What a variant's card says, for a terminal or a program; what is empty is left out."""
    (card,) = catalogue(name)
    said = {key: getattr(card, key) for key in ("title", "stance", "extends", "source", "departs", "mended")}
    choices = [*card.choices, *card.others]
    practised = {f"{one.project}/{one.file} at {one.commit[:8]}": one.computes for one in card.practised}
    return {key: text for key, text in said.items() if text} | {
        "composition": {choice.part: choice.setting for choice in choices},
        "equations": {choice.part: choice.equation for choice in choices if choice.equation},
        **({"in public code": practised} if practised else {}),
    }


if __name__ == "__main__":
    sys.stdout.write(page())
