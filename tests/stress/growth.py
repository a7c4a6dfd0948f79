"""`python -m tests.stress.growth [--cells 100 1000 10000] [--write docs/reliability.md]`

Seconds that each step takes for so many planned cells, whose records are made up. Growth is the factor between the
last two columns: 10 where the work grows in step with the cells.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.stress.summary import write_table
from vaebench import project
from vaebench.catalog.catalog import load_catalog
from vaebench.engines import planning
from vaebench.engines.planning import Policy, Sources
from vaebench.reporting.contrasts import contrasts_table
from vaebench.reporting.figures.catalogue import figures, write_figures
from vaebench.reporting.html import render_html
from vaebench.reporting.leaderboard import leaderboard_table
from vaebench.reporting.markdown import render_markdown
from vaebench.reporting.report import report_content
from vaebench.reporting.runs import runs_table
from vaebench.store.files import write_json
from vaebench.store.folders import ResultsFolder
from vaebench.store.record import MetricValue, Record
from vaebench.suite.expansion import expand, requests
from vaebench.suite.loading import load_suite_mapping
from vaebench.suite.suite import Suite

SEEDS = 10
QUIET = 20
"""Variants that contrasts speak of."""


def suite_of(cells: int) -> Suite:
    """So many cells: variants that differ in β and in latents, each with ten seeds."""
    variants = cells // SEEDS
    betas = [1 + place / 100 for place in range(max(1, variants // 5))]
    listed: list[dict[str, Any]] = [
        {"extends": "beta-vae", "name": f"v{latent}-{place}", "latent": latent, "objective": {"beta": beta}}
        for latent in range(2, 7)
        for place, beta in enumerate(betas)
    ]
    return load_suite_mapping(
        {
            "suite": "growing",
            "datasets": ["digits/binary"],
            "seeds": SEEDS,
            "variants": ["vae", *listed[: variants - 1]],
            "metrics": ["elbo", "log_likelihood", "kl", "active_units", "probe_accuracy"],
            "contrasts": [
                {"question": f"What does v2-{place} cost?", "theory": "vae", "practice": f"v2-{place}"}
                for place in range(min(QUIET, len(betas)))
            ],
        }
    )


def fabricate(suite: Suite, results: ResultsFolder) -> None:
    """Records of the present sources, with numbers that vary."""
    sources = Sources()
    for number, planned in enumerate(expand(suite).planned):
        values = [
            MetricValue(
                column,
                request.metric,
                request.protocol,
                "done",
                -30.0 + 0.01 * ((number * 7919) % 100) / 100 + 0.001 * planned.cell.seed,
                0.01,
                fingerprint=sources.metric(request.metric),
            )
            for request in requests(suite, planned)
            for column in load_catalog().metrics[request.metric].columns
        ]
        folder = results.cell(planned.cell.id)
        folder.write_cell(planned.cell)
        training = {"seconds": 1.0, "epochs": 30, "scoring_seconds": {value.request.key: 0.1 for value in values}}
        made = Record(planned.cell.id, "done", sources.model(planned.cell), values, training=training)
        folder.write_record(made)
        folder.model.touch()


def measure(cells: int, folder: Path, with_figures: bool) -> dict[str, float]:
    """Seconds of every step."""
    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        made = step()
        seconds[name] = time.perf_counter() - begun
        return made

    results = ResultsFolder(folder / str(cells))
    suite = timed("load the suite", lambda: suite_of(cells))
    timed("expand", lambda: expand(suite))
    made = timed("plan, nothing trained", lambda: planning.plan(suite, results))
    timed("plan.json", lambda: write_json(results.suite(suite.name).plan, made.to_json()))
    fabricate(suite, results)
    timed("plan, everything cached", lambda: planning.plan(suite, results, Policy()))
    timed("status", lambda: project.status(results.suite(suite.name).path))
    runs = timed("runs.csv", lambda: runs_table(suite, results))
    board = timed("leaderboard.csv", lambda: leaderboard_table(suite, runs))
    contrasts = timed("contrasts.csv", lambda: contrasts_table(suite, runs))
    content = timed("content of the report", lambda: report_content(suite, runs, board, contrasts, {}, ()))
    timed("report.md", lambda: render_markdown(content))
    timed("report.html", lambda: render_html(content))
    if with_figures:
        to = results.suite(suite.name).figures
        timed("figures", lambda: write_figures(figures(suite, results, runs, board, contrasts), to))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stress.growth", description="Time what grows with a suite.")
    parser.add_argument("--cells", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--figures", action="store_true", help="draw them too")
    parser.add_argument("--write", type=Path, help="document whose table of growth gets the numbers")
    arguments = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        measure(100, Path(folder) / "warm", arguments.figures)
        found = [measure(cells, Path(folder), arguments.figures) for cells in arguments.cells]
    rows = []
    for name in found[-1]:
        times = [seconds[name] for seconds in found]
        growth = f"{times[-1] / times[-2]:.1f}" if len(times) > 1 and times[-2] > 0 else ""
        rows.append((name, *(f"{value:.2f} s" for value in times), growth))
    head = ("step", *(f"{cells:,} cells" for cells in arguments.cells), "growth")
    write_table("growth", head, rows, time.monotonic() - begun, arguments.write)


if __name__ == "__main__":
    main()
