"""docs/metrics.md: every metric of the catalog on a page, from the same data that scores models by it.

python -m vaebench.reporting.metrics_page > docs/metrics.md
"""

import re
import sys

from vaebench.catalog.catalog import Catalog, Metric, load_catalog
from vaebench.catalog.parameters import Parameter
from vaebench.reporting.method import DIRECTIONS
from vaebench.reporting.text import ABSENT, Markdown, code, code_cell, escape_markdown, markdown_table
from vaebench.suite.values import written

HEADER = """# The metrics

Made by `python -m vaebench.reporting.metrics_page` from `vaebench/catalog/metrics.yaml` and `budgets.yaml`; a test
fails when it is stale. Each family is one evaluator, which answers for all of its numbers together. Values are averages
over the images of a split, z drawn from q, with the Monte Carlo standard error at fixed images beside each; where a
subset of the images is scored, the error holds the choice of the images too. The protocol stands with every number:
the parameters below, `split` (test) and `seed` (0). A suite changes it metric by metric,
`metrics: [{log_likelihood: {samples: 5000}}]`.
"""
FACTS = {"estimator": "Estimator", "bias": "Bias", "caps": "Bounds"}
"""Texts of a metric, by the names under which a page shows them."""


def page() -> str:
    """The page as Markdown."""
    catalog = load_catalog()
    families = list(catalog.metrics.values())
    index = [
        [f"[`{metric.name}`](#{metric.name})", prose(metric.title), ", ".join(map(code_cell, metric.columns))]
        for metric in families
    ]
    table = markdown_table(["metric", "what", "numbers"], index)
    return "\n".join([HEADER, table, "", *(section(metric, catalog) for metric in families)])


def section(metric: Metric, catalog: Catalog) -> str:
    """One family: what it is, its numbers, how they are estimated, and by which protocol."""
    described = [(name, metric.column(name)) for name in metric.columns]
    numbers = [
        [code_cell(name), prose(part.title), prose(part.unit), DIRECTIONS[part.better]] for name, part in described
    ]
    facts = [f"{title}: {prose(getattr(metric, field))}" for field, title in FACTS.items()]
    facts = [fact for fact, field in zip(facts, FACTS, strict=True) if getattr(metric, field)]
    paragraphs = [f"## {metric.name}", prose(metric.title), code(metric.equation)]
    paragraphs.append(markdown_table(["number", "what", "unit", "direction"], numbers))
    paragraphs += ["\n".join(f"- {fact}" for fact in [*facts, *map(prose, restrictions(metric))])]
    paragraphs += [_protocol_table(metric, catalog)] if metric.parameters else []
    paragraphs += [f"Guarded by {_link(metric.test)}"] if metric.test else []
    return "\n\n".join(filter(None, paragraphs)) + "\n"


def restrictions(metric: Metric) -> list[str]:
    """Where the metric means something, and what else its protocol holds; one sentence each."""
    sentences = {
        f"Views: {', '.join(metric.views or ())}.": metric.views is not None,
        "Needs labels.": metric.labels,
        **{
            f"{whose}{said}.": bool(of)
            for need, said in (
                ("spread", "Needs a q(z|x) that is no point"),
                ("category", "Needs a category in the code"),
            )
            for whose, of in (
                ("", metric.needs == need),
                (f"{_parts_that_need(metric, need)}: ", _parts_that_need(metric, need)),
            )
        },
        "Needs images with a width and a height.": metric.images,
        "Not applicable to a model that is given the label.": metric.unconditional,
        "Of a model that is given the label it is another quantity, and never ranks with that of one that is not.": (
            metric.likelihood
        ),
        "On grey pixels it is made of densities, which have no bound, and is never ranked; the floor of σ "
        "(sigma_floor) is part of its protocol.": metric.density and metric.unit == "nats",
        "Looks at generated images, so the variant's way to generate (generation_prior, generation_around) is part of "
        "its protocol.": metric.generates,
        "A cost: it is counted, has no protocol, and enters no contrast.": metric.cost,
    }
    return [sentence for sentence, applies in sentences.items() if applies]


def _parts_that_need(metric: Metric, need: str) -> str:
    """`mi_lower_bound.encoder`, `mi_lower_bound.encoder_prior_entropy`, in backticks; empty where none does."""
    return ", ".join(f"`{metric.name}.{name}`" for name, part in metric.parts.items() if part.needs == need)


def content(name: str) -> dict[str, object]:
    """What the page says of a metric, for a terminal or a program; what is empty is left out."""
    catalog = load_catalog()
    metric = catalog.metrics[name]
    columns = {column: metric.column(column) for column in metric.columns}
    said = {
        "title": metric.title,
        "equation": metric.equation,
        "numbers": {
            column: f"{part.title} ({part.unit}; {DIRECTIONS[part.better]})" for column, part in columns.items()
        },
        **{title.lower(): getattr(metric, field) for field, title in FACTS.items()},
        "remarks": " ".join(restrictions(metric)),
        "protocol": {
            parameter.name: f"{parameter.help}; {_in_budgets(metric, parameter, catalog)}"
            for parameter in metric.parameters.values()
        },
        "guarded by": metric.test,
    }
    return {key: value for key, value in said.items() if value}


def prose(text: str) -> Markdown:
    """The catalog's own words as Markdown, what stands in backticks as code."""
    pieces = re.split(r"(`[^`]+`|\s+)", text)
    return Markdown("".join(piece if re.match(r"[`\s]", piece) else escape_markdown(piece, False) for piece in pieces))


def _in_budgets(metric: Metric, parameter: Parameter, catalog: Catalog) -> str:
    """`default 8, quick 8, standard 32, full 128`"""
    chosen = {name: budget[metric.name] for name, budget in catalog.budgets.items()}
    values = {name: protocol.get(parameter.name, parameter.default) for name, protocol in chosen.items()}
    return ", ".join(f"{name} {written(value)}" for name, value in {"default": parameter.default, **values}.items())


def _protocol_table(metric: Metric, catalog: Catalog) -> Markdown:
    budgets = list(catalog.budgets)
    protocols = [catalog.budgets[budget][metric.name] for budget in budgets]
    rows = [
        [
            code_cell(parameter.name),
            prose(parameter.help or ABSENT),
            written(parameter.default),
            *(written(protocol.get(parameter.name, parameter.default)) for protocol in protocols),
        ]
        for parameter in metric.parameters.values()
    ]
    return markdown_table(["parameter", "what", "default", *budgets], rows, right=tuple(range(2, 3 + len(budgets))))


def _link(test: str) -> str:
    """From docs/ to the file."""
    return f"[`{test}`](../{test.partition('::')[0]})"


if __name__ == "__main__":
    sys.stdout.write(page())
