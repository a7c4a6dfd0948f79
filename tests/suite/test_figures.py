"""`figures` of a suite: the figures of a document, and every mistake in them, on the line that holds it."""

import pytest

from tests.suite.writing import loaded, marked_lines, mistakes_in, written
from vaebench.suite.loading import load_suite
from vaebench.suite.suite import DocumentFigure, Suite

SOUND = {
    "datasets": "[digits/binary, digits/grey]",
    "variants": "[vae, {extends: beta-vae, objective: {beta: [2, 4]}}, {extends: vae-mse, on: [digits/grey]}]",
    "contrasts": "[{question: 'What does β cost?', theory: vae, practice: 'beta-vae[beta=4]', primary: elbo}]",
    "expected": "[{kind: order, on: digits/grey, order: ['vae-mse:elbo', 'vae:elbo'], source: Somebody 2020}]",
}
FIGURE = "{figure: fig. 1, says: codes, ours: ['vae:latents'], answered_by: ['What does β cost?', Somebody 2020]}"


def showing(*entries: str, **sections: str) -> str:
    return written(**{**SOUND, **sections}, figures="".join(f"\n- {entry}" for entry in entries))


def test_a_figure_names_its_pictures_and_what_measures_it():
    (found,) = loaded(showing(FIGURE)).figures
    asked = ("What does β cost?", "Somebody 2020")
    assert found == DocumentFigure("fig. 1", "codes", ("vae:latents",), "digits/binary", asked)


def test_members_of_a_grid_and_pictures_of_several_variants_can_be_named():
    text = "{figure: fig. 1, says: codes, ours: ['beta-vae[beta=4]:manifold', sub-code], on: digits/grey}"
    (found,) = loaded(showing(text)).figures
    assert (found.ours, found.on) == (("beta-vae[beta=4]:manifold", "sub-code"), "digits/grey")


def test_figures_survive_the_lock_file():
    suite = loaded(showing(FIGURE))
    assert Suite.from_json(suite.to_json()).figures == suite.figures


def test_a_lock_file_of_a_suite_without_figures_is_read():
    content = loaded(showing(FIGURE)).to_json()
    del content["figures"]
    assert Suite.from_json(content).figures == ()


def test_one_on_a_view_that_the_profile_leaves_out_is_kept():
    """It stands in the report without its picture, and says so."""
    profiles = "{cpu: {datasets: [digits/grey]}, gpu: {datasets: [digits/grey, digits/binary]}}"
    (found,) = loaded(showing(FIGURE.replace("ours", "on: digits/binary, ours"), profiles=profiles)).figures
    assert found.on == "digits/binary"


def test_what_was_seen_is_that_of_the_profile_in_force():
    profiles = "{cpu: {seeds: 2}, gpu: {seeds: 10}}"
    entry = FIGURE.replace("ours", "seen: {cpu: 'a  nine'}, ours")
    suites = [loaded(showing(entry, profiles=profiles, profile=profile)) for profile in ("cpu", "gpu")]
    assert [suite.figures[0].seen for suite in suites] == ["a nine", ""]


WRONG = {
    "no document": (FIGURE.replace("figure: fig. 1, ", ""), "figures[0].figure", "is missing"),
    "nothing said": (FIGURE.replace("says: codes, ", ""), "figures[0].says", "is missing"),
    "no picture": (FIGURE.replace("['vae:latents']", "[]"), "figures[0].ours", "must not be an empty list"),
    "a variant alone": (FIGURE.replace("vae:latents", "vae"), "figures[0].ours[0]", "must be variant:kind"),
    "unknown kind": (FIGURE.replace(":latents", ":latent"), "figures[0].ours[0]", "did you mean 'latents'?"),
    "unknown variant": (FIGURE.replace("vae:lat", "vaee:lat"), "figures[0].ours[0]", "did you mean 'vae'?"),
    "a whole grid": (FIGURE.replace("vae:lat", "beta-vae:lat"), "figures[0].ours[0]", "is a grid; name one of its"),
    "another view": (
        FIGURE.replace("vae:lat", "vae-mse:lat"),
        "figures[0].ours[0]",
        "is not trained on digits/b",
    ),
    "unknown view": (FIGURE.replace("ours", "on: digits/gray, ours"), "figures[0].on", "did you mean 'digits/grey'?"),
    "no such question": (FIGURE.replace("β cost", "α cost"), "figures[0].answered_by[0]", "did you mean 'What does β"),
    "no such source": (FIGURE.replace("2020", "2021"), "figures[0].answered_by[1]", "did you mean 'Somebody 2020'?"),
    "seen under no profile": (
        FIGURE.replace("ours", "seen: {cpu: a nine}, ours"),
        "figures[0].seen.cpu",
        "the suite has no profiles",
    ),
    "unknown key": (FIGURE.replace("says", "sais"), "figures[0].sais", "did you mean 'says'?"),
}


@pytest.mark.parametrize(("entry", "path", "what"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_told_with_its_line_and_place(entry, path, what):
    text = showing(f"{entry}  # here")
    found = {mistake.path: mistake for mistake in mistakes_in(text)}
    assert path in found
    assert [found[path].line] == marked_lines(text)
    assert what in str(found[path])


def test_a_figure_stands_once():
    (mistake,) = mistakes_in(showing(FIGURE, FIGURE))
    assert (mistake.path, "stands already at figures[0]" in mistake.what) == ("figures[1].figure", True)


@pytest.mark.parametrize(
    ("suite", "labels"),
    [
        ("beaulac2019", [f"Beaulac 2019, fig. {number}" for number in range(1, 15)]),
        ("serdega2019", [f"Serdega 2019, fig. 4.{number}" for number in range(3, 12)]),
        ("series9", ["Series 9, fig. 1a", "Series 9, fig. 1b"]),
        ("wang2018", ["Wang 2018, fig. 4"]),
    ],
)
def test_every_figure_of_data_in_the_documents_is_shown(suite, labels):
    assert [figure.figure for figure in load_suite(suite).figures] == labels
