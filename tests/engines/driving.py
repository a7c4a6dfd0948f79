"""A driver in a process of its own: `python -m tests.engines.driving RESULTS PERFORMANCE [VERB …]`.

Without a verb it is the engine alone, else the whole command line.
"""

import functools
import sys
from pathlib import Path

from tests.engines.tiny import perform_with, run_tiny
from vaebench.store.folders import ResultsFolder


def main() -> None:
    results, performance, *arguments = sys.argv[1:]
    if not arguments:
        _, outcome = run_tiny(ResultsFolder(Path(results)), performance, workers=2)
        print(len(outcome.done), len(outcome.failed), outcome.interrupted)
        return
    from vaebench import cli
    from vaebench.project import choosing

    choosing.LocalEngine = functools.partial(choosing.LocalEngine, perform=perform_with(performance))
    sys.argv = ["vaebench", *arguments, "--results", results]
    cli.main()


if __name__ == "__main__":
    main()
