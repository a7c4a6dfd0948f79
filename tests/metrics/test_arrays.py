"""What is kept of a model for pictures: what it says of itself, and never more than 1 MB."""

import io

import numpy as np
import pytest
import torch

from tests.compositions import composition
from vaebench.data.dataset import Dataset, Split, load_dataset
from vaebench.data.source import Source
from vaebench.metrics.arrays import keepsakes, location_and_scale
from vaebench.metrics.categories import category_probabilities
from vaebench.metrics.fitted_mixture import MOST_LATENTS
from vaebench.metrics.generation import generated
from vaebench.metrics.subject import Subject
from vaebench.models.composition import Composition
from vaebench.models.distributions import DiagonalNormal
from vaebench.models.likelihoods.lowrank_gaussian import LowRankNormal

TEMPERATURES = {"temperature": 1.0, "final_temperature": 0.5}
JOINT = {
    "latent": 16,
    "posterior": {"name": "joint", "categories": 10, **TEMPERATURES},
    "prior": {"name": "normal-and-uniform", "categories": 10},
}
GAUSSIAN = {"likelihood": {"name": "gaussian", "sigma_floor": 1e-3}}
HALF = {"rtol": 2e-3, "atol": 2e-3}
"""Agreement that half precision allows."""


def subject_of(source: Source, **choices) -> Subject:
    """An untrained model whose code depends on the image and moves the decoder."""
    torch.manual_seed(0)
    model = Composition(composition(**choices), source.dataset.shape).double().requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.mul_(4.0 if "decoder" in name or "posterior" in name else 1.0)
    return Subject(model.eval(), source)


@pytest.fixture(scope="module")
def grey() -> Source:
    return Source(load_dataset("digits"), "grey", dtype=torch.float64)


def decoded(subject: Subject, codes: np.ndarray, y: torch.Tensor | None = None) -> np.ndarray:
    return subject.given(y).likelihood(torch.as_tensor(codes, dtype=torch.float64)).mean.numpy()


def base_code(subject: Subject) -> np.ndarray:
    images = subject.split("test")[:1]
    return subject.given(images.y).posterior(images.x).mean[0].numpy()


def test_along_a_traversal_one_latent_moves_from_minus_3_to_3_and_the_others_stay(grey: Source) -> None:
    subject = subject_of(grey, **GAUSSIAN)
    kept = keepsakes(subject)
    for row, latent in enumerate(kept["traversal_latents"]):
        for column, value in enumerate(np.linspace(-3, 3, kept["traversals"].shape[1])):
            code = base_code(subject)
            code[latent] = value
            np.testing.assert_allclose(kept["traversals"][row, column], decoded(subject, code), **HALF)


def test_latents_are_walked_in_the_order_of_their_kl_and_chosen_ones_first(grey: Source) -> None:
    subject = subject_of(grey, latent=6)
    kl = keepsakes(subject)["latent_kl"]
    q = subject.model.posterior(grey.images("test"))
    by_hand = 0.5 * (q.variance + q.mean.square() - 1 - q.variance.log()).mean(0)
    np.testing.assert_allclose(kl, by_hand, **HALF)
    order = list(np.argsort(-by_hand.numpy()))
    assert list(keepsakes(subject)["traversal_latents"]) == order
    least = int(order[-1])
    assert list(keepsakes(subject, chosen=[least])["traversal_latents"]) == [least, *order[:-1]]


def test_a_plane_moves_the_chosen_two_latents_and_the_second_plane_those_of_least_kl(grey: Source) -> None:
    subject = subject_of(grey, latent=6)
    kept = keepsakes(subject, chosen=[4, 1])
    others = [latent for latent in np.argsort(-kept["latent_kl"].astype(float), kind="stable") if latent not in (4, 1)]
    assert kept["plane_latents"].tolist() == [[4, 1], others[-2:]]
    code = base_code(subject)
    code[4], code[1] = -2.0, 3.0
    np.testing.assert_allclose(kept["planes"][0, 1, 6], decoded(subject, code), **HALF)


def test_a_manifold_stands_on_the_quantiles_of_the_prior_with_its_second_latent_upwards(grey: Source) -> None:
    subject = subject_of(grey, latent=2)
    kept = keepsakes(subject)
    quantiles = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(15, dtype=torch.float64) + 0.5) / 15)
    lower_right = decoded(subject, np.array([quantiles[-1], quantiles[0]]))
    upper_left = decoded(subject, np.array([quantiles[0], quantiles[-1]]))
    np.testing.assert_allclose(kept["manifold"][-1, -1], lower_right, **HALF)
    np.testing.assert_allclose(kept["manifold"][0, 0], upper_left, **HALF)


def test_codes_that_no_prior_holds_are_walked_in_their_own_standard_deviations(grey: Source) -> None:
    subject = subject_of(grey, posterior={"name": "point"}, likelihood={"name": "gaussian-fixed", "sigma": 1.0})
    kept = keepsakes(subject)
    codes = subject.codes(subject.split("test"))
    for row, latent in enumerate(kept["traversal_latents"]):
        middle, deviation = float(codes[:, latent].mean()), float(codes[:, latent].std())
        ends = [middle - 3 * deviation, middle + 3 * deviation]
        np.testing.assert_allclose(kept["traversal_values"][row, [0, -1]], ends, **HALF)


def test_means_and_draws_are_kept_under_their_own_names(grey: Source) -> None:
    """A Gaussian's draws have its σ about the means; a Bernoulli's means lie between 0 and 1, its draws nowhere."""
    kept = keepsakes(subject_of(grey, likelihood={"name": "gaussian-fixed", "sigma": 0.5}))
    samples = generated(subject_of(grey, likelihood={"name": "gaussian-fixed", "sigma": 0.5}), 64, seed=0)
    np.testing.assert_allclose(kept["sample_means"], samples.mean, **HALF)
    np.testing.assert_allclose(kept["sample_draws"], samples.draw, **HALF)
    assert float((samples.draw - samples.mean).std()) == pytest.approx(0.5, rel=0.05)
    binary = keepsakes(subject_of(Source(grey.dataset, "binary", dtype=torch.float64)))
    assert set(np.unique(binary["sample_draws"])) == {0.0, 1.0}
    assert ((binary["sample_means"] > 0.0) & (binary["sample_means"] < 1.0)).mean() > 0.9


def test_a_conditional_model_is_walked_under_the_label_of_the_image_it_starts_from(grey: Source) -> None:
    subject = subject_of(grey, latent=6, conditional=True)
    kept, first = keepsakes(subject), subject.split("test")[:1]
    code = base_code(subject)
    shown, (one, other) = kept["planes"][0, 0, -1], kept["plane_latents"][0]
    code[one], code[other] = -3.0, 3.0
    np.testing.assert_allclose(shown, decoded(subject, code[None], first.y)[0], **HALF)
    assert np.abs(shown - decoded(subject, code[None], (first.y + 1) % 10)[0]).max() > 0.01


def test_a_manifold_of_a_conditional_model_is_shown_under_a_four_and_a_nine(grey: Source) -> None:
    subject = subject_of(grey, latent=2, conditional=True)
    kept = keepsakes(subject)
    assert kept["manifold_labels"].tolist() == [4, 9]
    lower_left = kept["manifold_values"][:, 0].astype(np.float64)
    for grid, label in zip(kept["manifold"], (4, 9), strict=True):
        np.testing.assert_allclose(grid[-1, 0], decoded(subject, lower_left[None], torch.tensor([label]))[0], **HALF)
    assert np.abs(kept["manifold"][0] - kept["manifold"][1]).max() > 0.01


def test_latents_that_an_objective_singles_out_are_walked_from_minus_5_to_5_beside_the_original(grey: Source) -> None:
    subject = subject_of(grey, latent=6)
    kept = keepsakes(subject, chosen=[4, 1])
    np.testing.assert_allclose(kept["far_original"], grey.images("test")[0], **HALF)
    for row, latent in enumerate([4, 1]):
        for column, value in enumerate(np.linspace(-5, 5, 11)):
            code = base_code(subject)
            code[latent] = value
            np.testing.assert_allclose(kept["far_walks"][row, column], decoded(subject, code), **HALF)
    assert "far_walks" not in keepsakes(subject)


@pytest.mark.parametrize("prior", ["normal", "fitted-gmm"])
def test_samples_from_another_law_stand_beside_those_from_the_prior(grey: Source, prior: str) -> None:
    subject = subject_of(grey, **GAUSSIAN)
    kept = keepsakes(subject, priors=[prior])
    for ending, law in (("", "own"), (f"@{prior}", prior)):
        samples = generated(subject, 64, seed=0, prior=law)
        np.testing.assert_allclose(kept[f"sample_means{ending}"], samples.mean, **HALF)
        np.testing.assert_allclose(kept[f"sample_draws{ending}"], samples.draw, **HALF)


def test_a_law_that_a_code_cannot_have_leaves_no_samples(grey: Source) -> None:
    wide = subject_of(grey, latent=MOST_LATENTS + 1)
    kept = keepsakes(wide, priors=["fitted-gmm"])
    assert "sample_means" in kept
    assert not [name for name in kept if "@" in name]


def test_codes_that_are_not_finite_leave_no_mixture_and_cost_nothing_else(grey: Source) -> None:
    """A model that exploded is still shown."""
    subject = subject_of(grey)
    for name, parameter in subject.model.named_parameters():
        if name.startswith("posterior"):
            parameter.mul_(1e200)
    kept = keepsakes(subject, priors=["fitted-gmm"])
    assert {"originals", "sample_means"} <= set(kept)
    assert not [name for name in kept if "@" in name]


def test_strips_hold_the_decoders_mean_and_sigma_at_the_first_samples(grey: Source) -> None:
    subject = subject_of(grey, **GAUSSIAN)
    kept = keepsakes(subject)
    p = subject.model.likelihood(generated(subject, 8, seed=0).z)
    np.testing.assert_allclose(kept["strip_means"], p.mean, **HALF)
    np.testing.assert_allclose(kept["strip_sigmas"], p.stddev, **HALF)
    assert "strip_sigmas" not in keepsakes(subject_of(Source(grey.dataset, "binary", dtype=torch.float64)))


def test_a_low_rank_decoder_shows_each_pixels_whole_sigma() -> None:
    torch.manual_seed(0)
    p = LowRankNormal(torch.rand(3, 5), torch.randn(3, 5, 2), torch.rand(3, 5) + 0.1)
    known = torch.distributions.LowRankMultivariateNormal(p.loc, p.factors, p.scale.square())
    location, scale = location_and_scale(p)
    assert torch.equal(location, p.loc)
    torch.testing.assert_close(scale, known.variance.sqrt())


def test_a_draw_stands_beside_each_reconstruction_at_the_same_code(grey: Source) -> None:
    subject = subject_of(grey, likelihood={"name": "gaussian-fixed", "sigma": 0.01})
    kept = keepsakes(subject)
    errors = kept["reconstruction_draws"].astype(float) - kept["reconstructions"]
    assert 0.008 < errors.std() < 0.012
    assert abs(np.corrcoef(errors[:, 0], errors[:, 1])[0, 1]) < 0.6


def test_every_category_is_decoded_beside_the_image_it_replaces(grey: Source) -> None:
    subject = subject_of(grey, **JOINT)
    kept = keepsakes(subject)
    images = subject.split("test")
    for row, label in enumerate(range(10)):
        first = int((images.y == label).nonzero()[0])
        np.testing.assert_allclose(kept["category_originals"][row], images.x[first], **HALF)
        code = subject.model.posterior(images.x[first : first + 1]).mean[0].numpy()
        code[6:] = np.eye(10)[7]
        np.testing.assert_allclose(kept["category_means"][row, 7], decoded(subject, code), **HALF)


def test_codes_and_classes_are_counted_over_the_whole_test_split(grey: Source) -> None:
    subject = subject_of(grey, **JOINT)
    counts = keepsakes(subject)["code_counts"]
    images = subject.split("test")
    codes = category_probabilities(subject, images).argmax(-1)
    by_hand = [[int(((codes == code) & (images.y == label)).sum()) for label in range(10)] for code in range(10)]
    assert counts.tolist() == by_hand
    assert "code_counts" not in keepsakes(subject_of(grey))


def test_a_conditional_models_samples_come_with_the_labels_asked_for(grey: Source) -> None:
    subject = subject_of(grey, conditional=True)
    kept = keepsakes(subject)
    samples = generated(subject, 64, seed=0)
    assert kept["sample_labels"].tolist() == samples.y.tolist()
    images = subject.split("test")[:1]
    code = base_code(subject)
    code[kept["traversal_latents"][0]] = 3.0
    np.testing.assert_allclose(kept["traversals"][0, -1], decoded(subject, code[None], images.y)[0], **HALF)


@pytest.mark.parametrize(
    "choices",
    [
        {**GAUSSIAN, "latent": 200},
        {**GAUSSIAN, **JOINT, "latent": 60},
        {**GAUSSIAN, "latent": 2, "conditional": True},
    ],
)
def test_a_cell_keeps_at_most_1_mb_of_images_of_28_by_28_pixels(choices) -> None:
    generator = torch.Generator().manual_seed(0)
    content = torch.randint(0, 256, (1200, 784), generator=generator, dtype=torch.uint8)  # noise: the worst to compress
    split = Split(content, torch.arange(1200) % 10)
    source = Source(Dataset("noise", dict.fromkeys(("train", "validation", "test"), split), 784, 28, 256), "grey")
    torch.manual_seed(0)
    model = Composition(composition(**choices), source.dataset.shape).requires_grad_(False).eval()
    stored = io.BytesIO()
    np.savez_compressed(stored, **keepsakes(Subject(model, source)))
    assert 300_000 < len(stored.getvalue()) <= 1_000_000


def test_other_distributions_have_no_strips() -> None:
    assert location_and_scale(torch.distributions.Bernoulli(torch.rand(2, 3))) is None
    assert location_and_scale(DiagonalNormal(torch.zeros(2, 3), torch.ones(2, 3))) is not None
