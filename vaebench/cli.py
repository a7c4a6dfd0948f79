"""The command line: parse, call one function of vaebench.project, print."""

import json
import re
import sys
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vaebench import __version__
from vaebench import cli_completion as offers
from vaebench.wrong_input import USERS

COMPLETE, INTERNAL, WRONG_INPUT, INCOMPLETE, REGRESSION, NOTHING_MATCHED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

app = typer.Typer(
    name="vaebench",
    help="Train every variant of the variational autoencoder under one recipe, score all of them alike, and compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(help="The files of MNIST and its relatives.", no_args_is_help=True)
app.add_typer(data, name="data")

SuiteArgument = Annotated[
    str,
    typer.Argument(metavar="SUITE", help="A suite file, or the name of a shipped suite.", autocompletion=offers.suites),
]
Results = Annotated[Path, typer.Option("--results", help="Folder of all results.", autocompletion=offers.files)]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, …")]


class Compile(StrEnum):
    AUTO = "auto"
    NEVER = "never"
    ALWAYS = "always"


class Place(StrEnum):
    LOCAL = "local"
    RAY = "ray"
    SLURM = "slurm"


Compiled = Annotated[
    Compile,
    typer.Option("--compile", help="Compile the training steps; auto: on a GPU, where the plan says that it pays."),
]
Engine = Annotated[Place, typer.Option("--engine", help="Where the fleets run.")]
Address = Annotated[
    str | None, typer.Option("--address", help="Of a running Ray cluster, or auto; else one on this machine.")
]
Slurm = Annotated[
    list[str] | None,
    typer.Option("--slurm", metavar="NAME=VALUE,…", help="For submitit, such as partition=gpu,time=60 (minutes)."),
]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Run with seeds 0 … N−1 in place of the suite's.")]
Profile = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="One of the suite's profiles, such as cpu or gpu.")
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="GLOB", help="Only matching dataset/view/variant; may be repeated."),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        help="Folder with MNIST/raw/… as torchvision lays it out; else VAEBENCH_DATA.",
        autocompletion=offers.files,
    ),
]
Plugins = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE.py|MODULE", help="Brings parts of its own; may be repeated."),
]
TrustPlugins = Annotated[bool, typer.Option("--trust-plugins", help="Load the plugins that the suite lists.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SuiteFolderArgument = Annotated[
    Path,
    typer.Argument(metavar="DIR/SUITE", help="The suite's folder in the results.", autocompletion=offers.suite_folders),
]
FileDataset = Annotated[str, typer.Argument(metavar="DATASET", autocompletion=offers.file_datasets)]
OneMetric = Annotated[
    list[str] | None,
    typer.Option("--metric", help="Only this metric; may be repeated.", autocompletion=offers.metrics),
]


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an internal error.")] = False,
) -> None:
    pass


@app.command()
def run(
    suite: SuiteArgument,
    results: Results = Path("runs"),
    device: Device = "auto",
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Fleets at a time.")] = None,
    seeds: Seeds = None,
    profile: Profile = None,
    only: Only = None,
    data_root: DataRoot = None,
    compiled: Compiled = Compile.AUTO,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.0, help="Seconds that a fleet may take in this run; 0: no limit.")
    ] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first cell that fails.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Take up failed cells again.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Train everything again.")] = False,
    keep_stale: Annotated[bool, typer.Option("--keep-stale", help="Reuse what older sources made, marked.")] = False,
    engine: Engine = Place.LOCAL,
    address: Address = None,
    slurm: Slurm = None,
    detach: Annotated[bool, typer.Option("--detach", help="Leave when everything is submitted to Slurm.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="In this process, with tracebacks.")] = False,
    plugin: Plugins = None,
    trust_plugins: TrustPlugins = False,
) -> None:
    """Train what is missing or stale, score it, and write leaderboard and report."""
    from vaebench import cli_view, project
    from vaebench.engines.planning import Policy

    settings = project.Settings(
        results=results,
        device=device,
        workers=workers,
        data_root=data_root,
        policy=Policy(force=force, retry_failed=retry_failed, keep_stale=keep_stale, only=only),
        compiled=compiled.value,
        timeout=timeout,
        fail_fast=fail_fast,
        debug=debug,
        engine=engine.value,
        address=address,
        slurm=project.parsed_slurm(slurm or []),
        detach=detach,
    )
    console = cli_view.console()
    started = time.monotonic()
    loaded = project.load_suite(suite, seeds=seeds, profile=profile, plugins=plugin or (), trust_plugins=trust_plugins)
    outcome = project.run(loaded, settings, cli_view.view_for(console))
    if outcome.outcome.detached:
        cli_view.print_lines(console, outcome.outcome.detached)
        raise typer.Exit(COMPLETE)
    cli_view.print_leaderboard(console, outcome)
    cli_view.print_summary(console, outcome, time.monotonic() - started)
    if outcome.outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(COMPLETE if outcome.is_complete else INCOMPLETE)


@app.command()
def plan(
    suite: SuiteArgument,
    results: Results = Path("runs"),
    device: Device = "auto",
    seeds: Seeds = None,
    profile: Profile = None,
    only: Only = None,
    data_root: DataRoot = None,
    compiled: Compiled = Compile.AUTO,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="As in run.")] = False,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="As in run; the time is told for it.")] = None,
    force: Annotated[bool, typer.Option("--force", help="As in run.")] = False,
    keep_stale: Annotated[bool, typer.Option("--keep-stale", help="As in run.")] = False,
    plugin: Plugins = None,
    trust_plugins: TrustPlugins = False,
    as_json: AsJson = False,
) -> None:
    """What would run, what is cached or stale and why; touches nothing."""
    from vaebench import cli_view, project
    from vaebench.engines.planning import Policy

    policy = Policy(force=force, retry_failed=retry_failed, keep_stale=keep_stale, only=only)
    settings = project.Settings(
        results=results, device=device, workers=workers, data_root=data_root, policy=policy, compiled=compiled.value
    )
    loaded = project.load_suite(suite, seeds=seeds, profile=profile, plugins=plugin or (), trust_plugins=trust_plugins)
    made = project.plan(loaded, settings)
    if as_json:
        print(json.dumps(made.to_json(), indent=1, ensure_ascii=False))
    else:
        cli_view.print_plan(cli_view.console(), made)
        lines = [*project.too_few_seeds(made.suite), *project.missing_libraries(made.suite)]
        cli_view.print_lines(cli_view.console(), lines)


@app.command()
def check(
    suite: Annotated[
        str | None,
        typer.Argument(metavar="[SUITE]", help="A suite file, or a shipped name.", autocompletion=offers.suites),
    ] = None,
    plugin: Plugins = None,
    trust_plugins: TrustPlugins = False,
) -> None:
    """Every mistake in a suite file at once; without a suite, whether plugins keep what their kinds promise."""
    from vaebench import cli_view, project
    from vaebench.reporting.text import counted

    if suite is None:
        examined = project.examine(plugin or ())
        cli_view.print_lines(cli_view.console(), examined.lines)
        raise typer.Exit(COMPLETE if examined.passed else WRONG_INPUT)
    loaded = project.load_suite(suite, plugins=plugin or (), trust_plugins=trust_plugins)
    sizes = {"variant": loaded.variants, "data set view": loaded.datasets, "seed": loaded.seeds}
    print(f"{loaded.file}: no mistakes; {', '.join(counted(len(found), noun) for noun, found in sizes.items())}")
    for line in [*project.too_few_seeds(loaded), *project.missing_libraries(loaded)]:
        print(line)


@app.command()
def status(folder: SuiteFolderArgument, as_json: AsJson = False) -> None:
    """How far a suite is, told from its files, from any shell."""
    from vaebench import cli_view, project

    found = project.status(folder)
    if as_json:
        fleets = [{**fleet.content, "running": fleet.is_running} for fleet in found.fleets]
        content = {
            "suite": found.suite,
            "counts": found.counts,
            "from_tables": found.from_tables,
            "failures": found.failures,
            "fleets": fleets,
        }
        print(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        cli_view.print_status(cli_view.console(), found)


@app.command(name="list")
def list_(
    kind: Annotated[
        str, typer.Argument(metavar="variants|datasets|metrics|recipes|suites", autocompletion=offers.listed)
    ],
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """One per line: name and title; also of budgets, views, and parts: networks, likelihoods, posteriors, priors,
    objectives."""
    from vaebench import project

    project.load_plugins(*(plugin or ()))
    found = project.listing(kind)
    if as_json:
        print(json.dumps([{"name": name, "title": title} for name, title in found.items()], ensure_ascii=False))
        return
    width = max(len(name) for name in found)
    for name, title in found.items():
        print(f"{name:{width}}  {title}")


@app.command()
def describe(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=offers.described)],
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """What a variant, data set, metric, recipe or part is."""
    from vaebench import cli_view, project

    project.load_plugins(*(plugin or ()))
    found = project.describe(name)
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        cli_view.print_description(cli_view.console(), found)


@app.command()
def report(
    folder: SuiteFolderArgument,
    templates: Annotated[
        Path | None,
        typer.Option(
            "--templates",
            help="Folder whose templates take the place of the shipped ones.",
            autocompletion=offers.files,
        ),
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Write leaderboard, runs, contrasts, figures and report anew from the records."""
    from vaebench import cli_view, project

    project.load_plugins(*(plugin or ()))
    written = project.report(folder, templates)
    source = project.FROM_TABLES if project.is_from_tables(written) else ""
    lines = [str(written.report), str(written.page), source, project.lacking(written)]
    cli_view.print_lines(cli_view.console(), filter(None, lines))


@app.command()
def compare(
    first: Annotated[
        Path,
        typer.Argument(
            metavar="A",
            help="A suite's folder in the results, or a leaderboard.csv.",
            autocompletion=offers.suite_folders,
        ),
    ],
    second: Annotated[
        Path,
        typer.Argument(
            metavar="B", help="Another one, or the same at another time.", autocompletion=offers.suite_folders
        ),
    ],
    only: Only = None,
    metric: OneMetric = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Differences B − A of the rows that both have, paired by seed where both know the seeds."""
    from vaebench import cli_view, project

    project.load_plugins(*(plugin or ()))
    found = project.compare(first, second, only, metric)
    if as_json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        cli_view.print_comparison(cli_view.console(), found)


@app.command()
def publish(
    suite: Annotated[
        str,
        typer.Argument(
            metavar="SUITE|DIR/SUITE",
            help="A suite in the results, or its folder.",
            autocompletion=offers.suite_folders,
        ),
    ],
    results: Results = Path("runs"),
    to: Annotated[Path, typer.Option("--to", help="Folder of published suites.", autocompletion=offers.files)] = Path(
        "results"
    ),
    incomplete: Annotated[bool, typer.Option("--incomplete", help="Also with cells that are not complete.")] = False,
    plugin: Plugins = None,
) -> None:
    """Copy a suite's tables, report and figures, without its cells, to where they are kept."""
    from vaebench import cli_view, project

    project.load_plugins(*(plugin or ()))
    cli_view.print_published(cli_view.console(), project.publish(suite, results, to, incomplete))


@app.command()
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FACTORY|FILE.py:FACTORY|pythae:FOLDER",
            help="What makes the model, without arguments; or a folder that pythae has saved.",
            autocompletion=offers.files,
        ),
    ],
    dataset: Annotated[
        str,
        typer.Option("--dataset", help="A data set view, such as mnist/binary.", autocompletion=offers.sources),
    ],
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            help="A safetensors file with its parameters; pickles are not read.",
            autocompletion=offers.files,
        ),
    ] = None,
    metrics: Annotated[
        str,
        typer.Option(
            "--metrics",
            metavar="A,B,C",
            help="Metrics, see `vaebench list metrics`; with settings as in log_likelihood:samples=5000:images=100.",
            autocompletion=offers.metric_list,
        ),
    ] = "elbo,log_likelihood,kl",
    budget: Annotated[
        str, typer.Option("--budget", help="quick, standard or full.", autocompletion=offers.budgets)
    ] = "quick",
    device: Device = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Of the evaluation, and of what the factory draws.")] = 0,
    data_root: DataRoot = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Open pickled networks in the folder, which may run any code.")
    ] = False,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Score a model that vaebench did not train, with the numbers that a suite would report."""
    import contextlib

    from vaebench import cli_view, project

    project.load_plugins(*(plugin or ()))
    asked = project.parsed_metrics(metrics)
    errors = cli_view.console(sys.stderr)
    with contextlib.redirect_stdout(sys.stderr), cli_view.scoring(errors) as on_metric:
        found = project.evaluate_reference(
            model, dataset, asked, state, seed, budget, data_root, device, on_metric, trust
        )
    if as_json:
        content = {"model": model, "state": state and str(state), "dataset": dataset, "values": found.to_json()}
        print(json.dumps({"vaebench": __version__, **content}, indent=1, ensure_ascii=False))
    else:
        cli_view.print_evaluation(cli_view.console(), found)
    raise typer.Exit(COMPLETE if found.is_complete else INCOMPLETE)


@app.command()
def gate(
    folder: SuiteFolderArgument,
    baseline: Annotated[
        Path,
        typer.Option(
            "--baseline",
            help="A leaderboard.csv that was kept, with its runs.csv beside it.",
            autocompletion=offers.files,
        ),
    ],
    min_effect: Annotated[
        list[str] | None,
        typer.Option("--min-effect", metavar="X|METRIC=X", help="Differences up to X do not matter; may be repeated."),
    ] = None,
    metric: OneMetric = None,
    update: Annotated[bool, typer.Option("--update", help="Let the present numbers be the baseline.")] = False,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """What became worse since a baseline, by more than the seeds explain; exit code 4 if anything did."""
    from vaebench import cli_view, project

    project.load_plugins(*(plugin or ()))
    effects = project.parsed_effects(min_effect or [])
    found = project.update_baseline(folder, baseline) if update else project.gate(folder, baseline, effects, metric)
    if as_json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        cli_view.print_lines(cli_view.console(), found.lines)
    raise typer.Exit(COMPLETE if found.passed else REGRESSION)


@app.command()
def rerun(
    lock: Annotated[
        Path,
        typer.Argument(
            metavar="LOCK", help="A suite.lock.json, with its runs.csv beside it.", autocompletion=offers.files
        ),
    ],
    results: Annotated[
        Path, typer.Option("--results", help="Folder for the new results.", autocompletion=offers.files)
    ] = Path("reruns"),
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, …; auto: that of then.")] = "auto",
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Fleets at a time.")] = None,
    data_root: DataRoot = None,
    engine: Engine = Place.LOCAL,
    address: Address = None,
    slurm: Slurm = None,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Run a suite again as it was, and say of each number whether it is the same; exit code 4 if one is not."""
    from vaebench import cli_view, project

    settings = project.Settings(
        results=results,
        device=device,
        workers=workers,
        data_root=data_root,
        engine=engine.value,
        address=address,
        slurm=project.parsed_slurm(slurm or []),
        plugins=plugin or (),
    )
    progress = cli_view.console(sys.stderr) if as_json else cli_view.console()
    found = project.rerun(lock, settings, cli_view.view_for(progress))
    if as_json:
        print(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    else:
        cli_view.print_lines(progress, found.lines)
    raise typer.Exit(REGRESSION if not found.is_the_same else COMPLETE if found.is_complete else INCOMPLETE)


@app.command()
def merge(
    into: Annotated[
        Path,
        typer.Argument(
            metavar="INTO", help="Results folder that gets them; made if need be.", autocompletion=offers.files
        ),
    ],
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="FROM…", help="Results folders of others; left alone.", autocompletion=offers.files),
    ],
    newer: Annotated[bool, typer.Option("--newer", help="Of two trainings of a cell keep the newer one.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the results of several people and machines into one folder; exit code 3 if anything was refused."""
    from vaebench import cli_view, project

    merged = project.merge(into, sources, newer)
    if as_json:
        print(json.dumps(merged.to_json(), indent=1, ensure_ascii=False))
    else:
        cli_view.print_merged(cli_view.console(), merged, into)
    raise typer.Exit(INCOMPLETE if merged.skipped else COMPLETE)


@app.command()
def export(
    folder: SuiteFolderArgument,
    to: Annotated[
        Path,
        typer.Option("--to", help="File to write: .parquet, .tex, .csv, .json or .md.", autocompletion=offers.files),
    ],
    table: Annotated[
        str, typer.Option("--table", help="leaderboard, runs or contrasts.", autocompletion=offers.tables)
    ] = "leaderboard",
) -> None:
    """Write a table of a suite for other programs."""
    from vaebench import project

    print(project.export(folder, to, table))


@app.command()
def schema(
    name: Annotated[
        str, typer.Argument(metavar="suite|leaderboard|runs|contrasts", autocompletion=offers.schemas)
    ] = "suite",
    plugin: Plugins = None,
) -> None:
    """JSON Schema of suite files, or of a row of a table."""
    from vaebench import project

    project.load_plugins(*(plugin or ()))
    print(json.dumps(project.schema(name), indent=1, ensure_ascii=False))


@data.command()
def fetch(
    name: FileDataset,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Root folder to write into; else vaebench's own.", autocompletion=offers.files),
    ] = None,
) -> None:
    """Download a data set by torchvision's class, and check it."""
    from vaebench import project

    print(f"{name}: complete in {project.fetch_data(name, to)}")


@data.command()
def verify(name: FileDataset, data_root: DataRoot = None) -> None:
    """Check the files of a data set by their content."""
    from vaebench import project

    root = project.data_root(project.Settings(data_root=data_root))
    project.verify_data(name, root)
    print(f"{name}: every file is as it should be")


def main() -> None:
    """Run a command; every way it can end has its exit code, and wrong input is never a traceback."""
    try:
        code = app(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        code = COMPLETE
    except Exception as error:
        code, message = _ending(error)
        if code == INTERNAL and "--debug" in sys.argv:
            raise
        if message:
            from vaebench.engines.process import printable

            print(printable(message), file=sys.stderr)
    sys.exit(code or COMPLETE)


def _misused(error: Any) -> str:
    """`vaebench run: --engine: 'rayy' is not one of …; vaebench run --help says more`"""
    context = getattr(error, "ctx", None)
    command = "vaebench" if context is None else context.command_path
    what = re.sub(r"^Invalid value for '?([^':]+)'?: (?:Value error, )?", r"\1: ", error.format_message())
    return f"{command}: {' '.join(what.split()).rstrip('.')}; {command} --help says more"


def _ending(error: Exception) -> tuple[int, str]:
    """Exit code and message of an error: the user's are known by class, the rest is ours.

    typer comes with click in some versions and with its own copy in others; its errors show themselves in both.
    """
    if hasattr(error, "show") and hasattr(error, "exit_code"):
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return error.exit_code, ""
        return error.exit_code, _misused(error)
    known: Mapping[str, Callable[[Any], tuple[int, str]]] = {
        "SuiteError": lambda error: (WRONG_INPUT, "\n".join(str(mistake) for mistake in error.mistakes)),
        "NothingMatched": lambda error: (NOTHING_MATCHED, str(error)),
        **dict.fromkeys(USERS, lambda error: (WRONG_INPUT, str(error))),
        "EngineError": lambda error: (INTERNAL, str(error)),
    }
    for kind in type(error).__mro__:
        if kind.__name__ in known:
            return known[kind.__name__](error)
    if isinstance(error, OSError):
        return WRONG_INPUT, f"{error.filename}: {error.strerror}" if error.filename else str(error)
    hint = "a mistake of vaebench's; `vaebench --debug …` shows where"
    return INTERNAL, f"internal error: {type(error).__name__}: {error} ({hint})"
