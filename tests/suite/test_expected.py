"""`expected` of a suite: what may be expected, and every mistake in it, on the line that holds it."""

import pytest

from tests.suite.writing import loaded, marked_lines, mistakes_in, written
from vaebench.suite.suite import Expectation, Suite

SOUND = {
    "datasets": "[digits/binary, digits/grey]",
    "variants": "[vae, beta-vae, {extends: vae-mse, on: [digits/grey]}, ppca]",
    "metrics": "[elbo, log_likelihood, kl, active_units, sharpness.mean, train_seconds]",
}
NUMBER = "{kind: statistical, on: digits/binary, of: 'vae:elbo', value: -20, band: 0.3, source: somebody}"
ORDER = "{kind: order, on: digits/binary, order: ['beta-vae:elbo', 'vae:elbo'], source: somebody}"


def expecting(*entries: str, **sections: str) -> str:
    return written(**{**SOUND, **sections}, expected="".join(f"\n- {entry}" for entry in entries))


def test_a_number_an_order_and_the_number_of_another_variant_can_be_expected():
    other = "{kind: exact, on: digits/grey, of: 'vae:elbo', value: 'ppca:elbo', band: 1, source: here, note: as such}"
    number, order, same = loaded(expecting(NUMBER, ORDER, other)).expected
    assert number == Expectation("somebody", "statistical", "digits/binary", "vae:elbo", -20.0, 0.3)
    assert order.order == ("beta-vae:elbo", "vae:elbo")
    assert (same.value, same.sides, same.note) == ("ppca:elbo", ("vae:elbo", "ppca:elbo"), "as such")


def test_the_only_data_set_view_goes_without_saying():
    entry = NUMBER.replace("on: digits/binary, ", "")
    (found,) = loaded(expecting(entry, datasets="[digits/binary]", variants="[vae]")).expected
    assert found.on == "digits/binary"


def test_expectations_survive_the_lock_file():
    suite = loaded(expecting(NUMBER, ORDER))
    assert Suite.from_json(suite.to_json()).expected == suite.expected


def test_one_that_belongs_to_another_profile_is_kept_and_checked_there():
    profiles = "{cpu: {seeds: 1}, gpu: {seeds: 2}}"
    whole = NUMBER.replace("source", "profile: gpu, source")
    (found,) = loaded(expecting(whole, profiles=profiles)).expected
    assert found.profile == "gpu"
    (mistake,) = mistakes_in(expecting(whole.replace("vae:elbo", "vaee:elbo"), profiles=profiles))
    assert "(profile gpu)" in mistake.what


def test_one_whose_view_this_profile_leaves_out_is_left_out_with_it():
    profiles = "{cpu: {datasets: [digits/grey]}, gpu: {seeds: 2}}"
    assert loaded(expecting(NUMBER.replace("source", "profile: gpu, source"), profiles=profiles)).expected == ()


WRONG = {
    "no source": (NUMBER.replace(", source: somebody", ""), "expected[0].source", "is missing"),
    "empty source": (NUMBER.replace("somebody", "''"), "expected[0].source", "must not be empty"),
    "unknown kind": (NUMBER.replace("statistical", "statistic"), "expected[0].kind", "did you mean 'statistical'?"),
    "unknown variant": (NUMBER.replace("vae:", "vaee:"), "expected[0].of", "'vaee' is no variant of the suite"),
    "unknown metric": (NUMBER.replace(":elbo", ":elbow"), "expected[0].of", "'elbow' is no metric"),
    "metric not scored": (
        NUMBER.replace(":elbo", ":bits_per_dim"),
        "expected[0].of",
        "bits_per_dim is not scored; list it among the metrics",
    ),
    "part not scored": (NUMBER.replace(":elbo", ":sharpness.ancestral"), "expected[0].of", "is not scored"),
    "metric that does not apply": (
        NUMBER.replace(":elbo", ":bits_per_dim"),
        "expected[0].of",
        "bits_per_dim is defined on the views grey and dequantised",
    ),
    "no metric": (NUMBER.replace("vae:elbo", "vae"), "expected[0].of", "must be variant:metric, such as vae:elbo"),
    "a cost": (NUMBER.replace(":elbo", ":train_seconds"), "expected[0].of", "train_seconds is a cost"),
    "not trained there": (
        NUMBER.replace("vae:", "vae-mse:"),
        "expected[0].of",
        "vae-mse is not trained on digits/binary",
    ),
    "unknown view": (NUMBER.replace("binary", "binry"), "expected[0].on", "did you mean 'digits/binary'?"),
    "no view": (
        NUMBER.replace("on: digits/binary, ", ""),
        "expected[0]",
        "needs on, one of digits/binary, digits/grey",
    ),
    "no value": (NUMBER.replace("value: -20, ", ""), "expected[0]", "kind statistical needs value"),
    "no band": (NUMBER.replace("band: 0.3, ", ""), "expected[0]", "kind statistical needs band"),
    "negative band": (NUMBER.replace("0.3", "-0.3"), "expected[0].band", "must be at least 0, is -0.3"),
    "endless value": (NUMBER.replace("-20", ".inf"), "expected[0].value", "must be a finite number"),
    "value of another kind": (
        NUMBER.replace("-20", "[1]"),
        "expected[0].value",
        "must be a number, or what it is to equal",
    ),
    "value of nobody": (NUMBER.replace("-20", "pca:elbo"), "expected[0].value", "'pca' is no variant of the suite"),
    "order with a value": (ORDER.replace("order,", "order, value: 3,"), "expected[0].value", "belongs to another kind"),
    "number with an order": (
        NUMBER.replace("band", "order: ['vae:kl', 'vae:elbo'], band"),
        "expected[0].order",
        "belongs to another kind",
    ),
    "order of one": (ORDER.replace("'beta-vae:elbo', ", ""), "expected[0].order", "must hold at least 2, holds 1"),
    "order of the same": (ORDER.replace("beta-vae", "vae"), "expected[0]", "vae:elbo stands twice"),
    "two units": (ORDER.replace("'vae:elbo'", "'vae:active_units'"), "expected[0]", "compares nats, latents"),
    "unknown key": (NUMBER.replace("band", "bnad"), "expected[0].bnad", "did you mean 'band'?"),
    "no profiles": (
        NUMBER.replace("source", "profile: gpu, source"),
        "expected[0].profile",
        "has no profiles of its own",
    ),
}


@pytest.mark.parametrize(("entry", "path", "what"), WRONG.values(), ids=WRONG)
def test_a_mistake_in_an_expectation_is_found_on_its_line(entry, path, what):
    metrics = {"metrics": "[elbo, log_likelihood, kl, active_units, bits_per_dim]"} if "defined on" in what else {}
    text = expecting(f"{entry}  # here", **metrics)
    mistakes = mistakes_in(text)
    assert {mistake.line for mistake in mistakes} == set(marked_lines(text))
    assert any(mistake.path == path and what in str(mistake) for mistake in mistakes), [str(m) for m in mistakes]


def test_the_same_is_expected_once():
    text = expecting(NUMBER, f"{NUMBER.replace('-20', '-21')}  # here")
    (mistake,) = mistakes_in(text)
    assert [mistake.line] == marked_lines(text)
    assert mistake.what == "says of the same numbers what expected[0] says"


def test_a_profile_that_the_suite_has_not_is_refused():
    text = expecting(f"{NUMBER.replace('source', 'profile: gup, source')}  # here", profiles="{cpu: {}, gpu: {}}")
    (mistake,) = mistakes_in(text)
    assert "none of the suite's profiles (did you mean 'gpu'?)" in str(mistake)
