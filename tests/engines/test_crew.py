"""How long a fleet is tried again whose workers are lost with their machines: as long as it comes further."""

from collections.abc import Collection
from typing import Any

import pytest

from tests.engines.performances import obedient
from tests.engines.tiny import records, tiny
from vaebench.engines.crew import DEATHS, Inbox, Outcome, Rules, Worker, run_with_workers
from vaebench.engines.job import Job
from vaebench.engines.planning import plan
from vaebench.store.folders import ResultsFolder


class Passing:
    """A worker on a machine that goes away after it has come to a certain epoch; in the end, one that stays."""

    def __init__(self, results: ResultsFolder, inbox: Inbox, epochs: list[int]) -> None:
        self.is_ready = False
        self.is_lost = True
        self.results = results
        self.inbox = inbox
        self.epochs = epochs
        self.say({"event": "ready"})

    def say(self, event: dict[str, Any]) -> None:
        self.inbox.put((self, event))

    def send(self, job: Job) -> None:
        self.say({"event": "begun"})
        if self.epochs:
            self.say({"event": "epoch", "epoch": self.epochs.pop(0), "epochs": 9, "members": 2, "seconds": 1.0})
            self.say({"event": "exit"})
        else:
            obedient(job, self.results, self.say, lambda: False)
            self.say({"event": "end", "status": "done"})

    def ask_to_stop(self) -> None: ...

    def kill(self) -> None: ...

    def ending(self) -> str:
        return "was lost with its node"

    def last_words(self) -> str:
        return ""

    def said(self) -> str:
        return ""


class Fleeting:
    """A place of such machines, one at a time."""

    def __init__(self, results: ResultsFolder, epochs: list[int]) -> None:
        self.results = results
        self.epochs = epochs

    def room(self) -> int:
        return 1

    def hire(self, inbox: Inbox, beside: Collection[Worker]) -> Worker:
        return Passing(self.results, inbox, self.epochs)


def run(results: ResultsFolder, epochs: list[int]) -> tuple[Outcome, list[str]]:
    """What becomes of one fleet whose machines go away after these epochs; with what was said of each."""
    made = plan(tiny(variants=["vae"]), results)
    events: list[dict[str, Any]] = []
    outcome = run_with_workers(Rules(), Fleeting(results, epochs), made, results, events.append)
    assert len(records(made, results)["vae"]) == 2
    return outcome, [event["why"] for event in events if event["event"] == "restart"]


def test_a_fleet_that_comes_further_each_time_outlives_any_number_of_machines(results: ResultsFolder) -> None:
    outcome, restarts = run(results, [1, 2, 4, 5, 6, 8])
    assert (len(outcome.done), outcome.failed) == (2, ())
    assert len(restarts) == 6 > DEATHS
    assert restarts[0] == "the worker in epoch 1 of 9 was lost with its node"


@pytest.mark.parametrize("epochs", [[3, 3, 3, 3, 9], [4, 3, 2, 1, 9]])
def test_a_fleet_that_takes_its_machines_along_is_given_up(epochs: list[int], results: ResultsFolder) -> None:
    outcome, restarts = run(results, epochs)
    assert (outcome.done, len(outcome.failed)) == ((), 2)
    assert len(restarts) == DEATHS
    assert epochs == [9]
