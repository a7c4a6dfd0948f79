"""The statistics equal scipy's and hand-worked numbers, and keep their promises in simulation."""

import numpy as np
import pytest
from scipy import stats

from vaebench.reporting import statistics
from vaebench.reporting.statistics import compare, estimate, holm, holm_levels, paired_p_values, verdict

REPETITIONS = 2000


@pytest.fixture
def draws():
    return np.random.default_rng(20)


def test_the_interval_equals_scipys_student_t(draws):
    values = draws.normal(3.0, 2.0, size=7).tolist()
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    ours = estimate(values)
    assert (ours.mean, ours.low, ours.high) == pytest.approx((np.mean(values), low, high), rel=1e-12)
    assert ours.seeds == 7


def test_there_is_no_interval_below_three_seeds():
    assert estimate([1.0, 2.0]) == statistics.Estimate(1.5, None, None, 2)
    assert compare([1.0, 2.0], [2.0, 4.0]).p_value is None


def test_the_paired_test_equals_scipys(draws):
    theory, practice = draws.normal(size=(2, 9))
    reference = stats.ttest_rel(practice, theory)
    low, high = reference.confidence_interval()
    ours = compare(theory.tolist(), practice.tolist())
    assert ours.p_value == pytest.approx(reference.pvalue, rel=1e-10)
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-10)
    assert ours.difference == pytest.approx(np.mean(practice - theory), rel=1e-12)


def test_no_difference_at_any_seed_is_equality():
    values = [0.1, 0.2, 0.3, 0.4, 0.5]
    assert compare(values, values).p_value == 1.0
    assert verdict(values, values, "higher") == "not distinguishable"


def test_rounding_is_no_difference():
    values = [100.1, 200.2, 300.3, 400.4, 500.5]
    rounded = [value * (1 + 2e-16) for value in values]
    assert compare(values, rounded) == compare(values, values)


def test_the_same_difference_at_every_seed_is_certain():
    comparison = compare([1.0, 2.0, 3.0, 4.0, 5.0], [1.5, 2.5, 3.5, 4.5, 5.5])
    assert (comparison.p_value, comparison.difference, comparison.low, comparison.high) == (0.0, 0.5, 0.5, 0.5)


def test_sign_flips_are_counted_exactly():
    assert statistics.sign_flip_p_value([1.0, 1.0, 1.0, 1.0, 1.0]) is None
    assert statistics.sign_flip_p_value([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) == 2 / 64
    assert statistics.sign_flip_p_value([0.0] * 6) == 1.0
    differences = [0.3, -1.1, 0.7, 2.0, 0.9, 1.4, -0.2]
    reference = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert statistics.sign_flip_p_value(differences) == pytest.approx(reference.pvalue)


def test_sampled_sign_flips_agree_with_the_t_test_and_repeat(draws):
    differences = draws.normal(0.4, 1.0, size=30).tolist()
    p_value = statistics.sign_flip_p_value(differences)
    assert p_value == pytest.approx(compare([0.0] * 30, differences).p_value, abs=0.01)
    assert p_value == statistics.sign_flip_p_value(differences)


def test_holm_equals_a_table_worked_by_hand():
    # sorted: 0.005 × 4 = 0.020, 0.01 × 3 = 0.030, 0.03 × 2 = 0.060, 0.04 × 1 = 0.040 → 0.060 (never falls)
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_p_value_beats_its_level_exactly_where_holm_finds_it_real(draws):
    for _ in range(200):
        p_values = (draws.uniform(size=6) ** 4).tolist()
        by_level = [p < level for p, level in zip(p_values, holm_levels(p_values), strict=True)]
        assert by_level == [adjusted < 0.05 for adjusted in holm(p_values)]


def test_intervals_of_five_seeds_cover_the_truth_95_times_in_100(draws):
    covered = 0
    for values in draws.normal(1.0, 0.3, size=(REPETITIONS, 5)):
        interval = estimate(values.tolist())
        covered += interval.low <= 1.0 <= interval.high
    assert 0.93 <= covered / REPETITIONS <= 0.97


@pytest.mark.parametrize("seeds", [5, 10])
def test_verdicts_on_equal_variants_are_wrong_5_times_in_100(draws, seeds):
    false = 0
    for theory, practice in draws.normal(size=(REPETITIONS, 2, seeds)):
        false += verdict(theory.tolist(), practice.tolist(), "higher") != "not distinguishable"
    assert 0.03 <= false / REPETITIONS <= 0.07


def test_holm_keeps_any_false_verdict_of_a_suite_to_5_in_100(draws):
    suites_with_a_false_verdict = 0
    for suite in draws.normal(size=(600, 8, 5)):
        p_values = [compare([0.0] * 5, differences.tolist()).p_value for differences in suite]
        suites_with_a_false_verdict += min(holm(p_values)) < 0.05
    assert suites_with_a_false_verdict / 600 <= 0.07


@pytest.mark.parametrize(("seeds", "level"), [(5, 0.05), (5, 0.01), (12, 0.05)])
def test_the_detectable_difference_is_found_4_times_in_5(draws, seeds, level):
    size = statistics.detectable_difference(2.0, seeds, level)
    found = 0
    for differences in draws.normal(size, 2.0, size=(REPETITIONS, seeds)):
        found += compare([0.0] * seeds, differences.tolist()).p_value < level
    assert 0.77 <= found / REPETITIONS <= 0.83


def test_power_is_the_level_where_there_is_no_difference():
    assert statistics.power(0.0, 1.0, 5) == pytest.approx(0.05, rel=1e-6)


def test_what_never_varies_would_have_shown_any_difference():
    assert statistics.detectable_difference(0.0, 5) == 0.0
    assert statistics.detectable_difference(1.0, 2) is None


def test_an_effect_is_measured_in_seed_standard_deviations():
    assert statistics.effect_in_deviations([1.0, 2.0, 3.0], [3.0, 4.0, 5.0]) == pytest.approx(2.0)
    assert statistics.effect_in_deviations([1.0, 1.0, 1.0], [2.0, 2.0, 2.0]) is None


@pytest.mark.parametrize(
    ("better", "words"),
    [("higher", "practice better"), ("lower", "theory better"), ("none", "practice higher")],
)
def test_the_direction_of_the_metric_decides_the_words(better, words):
    theory = [1.0, 1.1, 0.9, 1.0, 1.05]
    practice = [2.0, 2.1, 1.95, 2.02, 2.0]
    assert verdict(theory, practice, better) == words


def test_a_ratio_is_better_only_where_it_is_nearer_to_one():
    below = [0.90, 0.91, 0.89, 0.90, 0.905]
    above = [2 - value for value in below]
    nearer = [0.99, 0.985, 0.99, 0.995, 0.992]
    assert verdict(below, nearer, "one") == "practice better"
    assert verdict(nearer, above, "one") == "theory better"
    assert verdict(below, above, "one") == "practice higher"


def test_below_five_seeds_nothing_is_comparable():
    assert verdict([1.0] * 4, [2.0] * 4, "higher") == "not comparable"
    assert verdict([], [], "higher") == "not comparable"


@pytest.mark.parametrize("seeds", [3, 5, 10, 50])
@pytest.mark.parametrize("tests", [1, 3, 20, 200])
def test_the_detectable_difference_has_the_power_that_it_promises(seeds, tests):
    size = statistics.detectable_difference(2.0, seeds, 0.05 / tests)
    assert statistics.power(size, 2.0, seeds, 0.05 / tests) == pytest.approx(0.8)
    assert statistics.power(-size, 2.0, seeds, 0.05 / tests) == pytest.approx(0.8)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_holms_levels_are_those_of_holm_with_each_p_value_set_to_one(count):
    generator = np.random.default_rng(count)
    for scale in (0.001, 0.02, 0.2, 1.0):
        p_values = (scale * generator.random(count)).round(4).tolist()
        expected = []
        for i in range(count):
            without = [1.0 if j == i else p for j, p in enumerate(p_values)]
            expected.append(0.05 / (count - sum(adjusted < 0.05 for adjusted in holm(without))))
        assert holm_levels(p_values) == pytest.approx(expected, rel=1e-15)


def test_paired_p_values_are_those_of_compare_for_every_pair():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(12, 9)) + np.arange(12)[:, None] / 3
    rows[3] = rows[2]
    rows[4] = rows[2] + 1.0
    rows[5] = rows[2] * (1 + 1e-14)
    rows[generator.random(rows.shape) < 0.2] = np.nan
    for place, found in enumerate(paired_p_values(rows)):
        for below, p_value in enumerate(found, start=place + 1):
            shared = ~np.isnan(rows[place]) & ~np.isnan(rows[below])
            expected = compare(rows[place][shared].tolist(), rows[below][shared].tolist()).p_value
            assert p_value == pytest.approx(expected, rel=1e-9, abs=1e-300)
