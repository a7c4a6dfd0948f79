"""A fleet is compiled where the plan's estimate says that it pays, and trained as it is where nothing compiles."""

import pytest

from tests.compositions import cell
from tests.engines.test_estimate import WIDE, job
from vaebench.engines.compiling import FIRST_SECONDS, SAVED, compiled_where_it_pays
from vaebench.engines.estimate import estimate_seconds, machine
from vaebench.store.folders import ResultsFolder
from vaebench.store.here import remember_results
from vaebench.store.record import Record

EPOCHS = 3


def leave(results, made, seconds, compiled=False, preparing=0.0):
    training = {"seconds": seconds + preparing, "epochs": EPOCHS, "compiled": compiled, "preparing_seconds": preparing}
    folder = results.cell(made.id)
    folder.write_cell(made)
    folder.write_record(Record(made.id, "done", {}, training={**training, "members": 1}, environment=machine()))


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return ResultsFolder(tmp_path / "results")


def chosen(results, wanted="auto", *, epochs=EPOCHS, train=True):
    (made,) = compiled_where_it_pays([job(cell(seed=1, epochs=epochs), train=train)], results, wanted)
    return made.compiled


def test_what_was_never_seen_is_not_compiled_unless_asked(results):
    assert not chosen(results)
    assert chosen(results, "always")
    assert not chosen(results, "never")


def test_on_a_cpu_steps_are_compiled_only_where_that_is_asked_for(results):
    """Rounding makes another draw of a seed, and what pays depends on what was trained before."""
    leave(results, cell(seed=0, epochs=EPOCHS), seconds=1e6)
    todo = [job(cell(seed=1))]
    assert compiled_where_it_pays(todo, results, "auto")[0].compiled
    assert not compiled_where_it_pays(todo, results, "auto", on_gpu=False)[0].compiled
    assert compiled_where_it_pays(todo, results, "always", on_gpu=False)[0].compiled


def test_cells_that_are_named_are_compiled_and_no_others(results):
    """A rerun takes the path of then, whatever was seen since."""
    one, other = job(cell(seed=1)), job(cell(seed=2))
    leave(results, cell(seed=0, epochs=EPOCHS), seconds=1e6)
    made = compiled_where_it_pays([one, other], results, {cell(seed=2).id})
    assert [each.compiled for each in made] == [False, True]
    assert not any(each.compiled for each in compiled_where_it_pays([one, other], results, frozenset()))


def test_compiling_may_take_what_it_is_taken_to_save(results):
    leave(results, cell(seed=0, epochs=EPOCHS), seconds=1.01 * FIRST_SECONDS / SAVED)
    assert chosen(results)
    assert not chosen(results, train=False)
    assert not chosen(results, "never")
    leave(results, cell(seed=0, epochs=EPOCHS), seconds=0.99 * FIRST_SECONDS / SAVED)
    assert not chosen(results)
    assert chosen(results, epochs=2 * EPOCHS)


@pytest.mark.parametrize(("preparing", "pays"), [(4.0, True), (5.5, False), (10.5, False)])
def test_what_its_kind_was_seen_to_save_decides_up_to_a_tenth(preparing, pays, results):
    """Of 100 s: five are saved where compiled steps take 95; however much is saved, compiling may take ten."""
    leave(results, cell(seed=0, epochs=EPOCHS), seconds=100.0)
    leave(results, cell(seed=5, epochs=EPOCHS), seconds=95.0, compiled=True, preparing=preparing)
    assert chosen(results) == pays
    leave(results, cell(seed=5, epochs=EPOCHS), seconds=50.0, compiled=True, preparing=preparing)
    assert chosen(results) == (preparing < 10.0)


def test_of_a_kind_that_was_never_compiled_the_dearest_seen_counts(results):
    """A median would count the fleets that found their steps compiled already."""
    leave(results, cell(seed=0, epochs=EPOCHS), seconds=1000.0)
    for seed, preparing in enumerate([0.5, 0.5, 70.0]):
        leave(results, cell(seed=seed, choices=WIDE, epochs=EPOCHS), 9.0, compiled=True, preparing=preparing)
    assert not chosen(results)
    assert chosen(results, epochs=2 * EPOCHS)


def test_what_compiling_took_here_replaces_the_first_guess(results):
    leave(results, cell(seed=0, epochs=EPOCHS), seconds=20.0)
    assert not chosen(results)
    leave(results, cell(seed=5, epochs=EPOCHS), seconds=15.0, compiled=True, preparing=1.0)
    assert chosen(results)


def test_what_was_seen_to_gain_nothing_is_not_compiled_again(results):
    leave(results, cell(seed=0, epochs=EPOCHS), seconds=1000.0)
    leave(results, cell(seed=5, epochs=EPOCHS), seconds=1001.0, compiled=True, preparing=1.0)
    assert not chosen(results)


def test_a_new_results_folder_learns_from_the_others(results, tmp_path):
    leave(results, cell(seed=0, epochs=EPOCHS), seconds=6.0)
    new, todo = ResultsFolder(tmp_path / "new"), [job(cell(seed=1, epochs=30))]
    assert estimate_seconds(todo, new, workers=1) is None
    remember_results(results.path)
    assert estimate_seconds(todo, new, workers=1) == pytest.approx(60.0)
    remember_results(tmp_path / "gone")
    assert estimate_seconds(todo, new, workers=1) == pytest.approx(60.0)


def test_the_seconds_of_compiling_are_no_pace(results):
    """Else a short compiled fleet would foretell hours for a long one."""
    leave(results, cell(seed=0, epochs=EPOCHS), seconds=6.0, compiled=True, preparing=50.0)
    assert estimate_seconds([job(cell(seed=1, epochs=30))], results, workers=1) == pytest.approx(60.0)
