"""vaebench as Python functions, one for each thing that can be done; the command line calls these and prints.

Nothing here imports torch before something trains or is scored.
"""

from vaebench.plugins.loading import load_plugins
from vaebench.project.choosing import check_engine, parsed_slurm
from vaebench.project.data import data_root, fetch_data, file_datasets, reads_files, verify_data
from vaebench.project.evaluating import evaluate, evaluate_reference, examine, parsed_metrics
from vaebench.project.gating import expected_by_gate, gate, parsed_effects, update_baseline
from vaebench.project.lists import LISTED, describe, listing
from vaebench.project.locking import command_of, git_state, missing_libraries, source_of, too_few_seeds
from vaebench.project.models import load_model
from vaebench.project.reports import (
    SCHEMAS,
    compare,
    export,
    figures,
    is_from_tables,
    lacking,
    merge,
    opened,
    publish,
    report,
    schema,
)
from vaebench.project.running import Run, View, plan, rerun, run
from vaebench.project.settings import (
    NothingMatched,
    Settings,
    UnknownName,
    check_device,
    default_workers,
    known_settings,
)
from vaebench.project.states import FROM_TABLES, Status, status
from vaebench.suite.loading import load_suite

__all__ = [
    "FROM_TABLES",
    "LISTED",
    "SCHEMAS",
    "NothingMatched",
    "Run",
    "Settings",
    "Status",
    "UnknownName",
    "View",
    "check_device",
    "check_engine",
    "command_of",
    "compare",
    "data_root",
    "default_workers",
    "describe",
    "evaluate",
    "evaluate_reference",
    "examine",
    "expected_by_gate",
    "export",
    "fetch_data",
    "figures",
    "file_datasets",
    "gate",
    "git_state",
    "is_from_tables",
    "known_settings",
    "lacking",
    "listing",
    "load_model",
    "load_plugins",
    "load_suite",
    "merge",
    "missing_libraries",
    "opened",
    "parsed_effects",
    "parsed_metrics",
    "parsed_slurm",
    "plan",
    "publish",
    "reads_files",
    "report",
    "rerun",
    "run",
    "schema",
    "source_of",
    "status",
    "too_few_seeds",
    "update_baseline",
    "verify_data",
]
