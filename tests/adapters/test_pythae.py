"""Models of pythae are scored by their own tensors: likelihood, KL and log-likelihood agree with what pythae prints."""

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributions import kl_divergence

pytest.importorskip("pythae")

from pythae import models
from pythae.data.datasets import DatasetOutput
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseEncoder

import vaebench
from tests.adapters.folders import folder
from vaebench import project
from vaebench.adapters.pythae import CONFIG, WEIGHTS, adapt, load
from vaebench.catalog.catalog import load_catalog
from vaebench.models.foreign import ForeignModelError
from vaebench.models.point import Point

CLASSES = tuple(load_catalog().libraries["pythae"].reads)
GAUSSIAN = tuple(name for name in CLASSES if name not in ("AE", "WAE_MMD"))
LATENT, PIXELS = 4, 64
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def made(name: str, **parameters: Any) -> Any:
    """An untrained model on images of 8 × 8, with parameters that are not near zero."""
    config_class = getattr(models, f"{name}Config", None) or getattr(models, f"{name}_Config")
    torch.manual_seed(7)
    model = getattr(models, name)(config_class(input_dim=(1, 8, 8), latent_dim=LATENT, **parameters))
    for parameter in model.parameters():
        parameter.data.mul_(2.0)
    return model.eval()


def images(count: int = 32) -> torch.Tensor:
    return torch.rand(count, PIXELS, generator=torch.Generator().manual_seed(3)).round()


def adapted(model: Any) -> Any:
    return adapt(model, images(200))


@pytest.mark.parametrize("loss", ["bce", "mse"])
@pytest.mark.parametrize("name", ["VAE", "BetaVAE", "INFOVAE_MMD"])
@torch.no_grad()
def test_reconstruction_and_kl_are_those_that_pythae_logs_for_the_same_draw(name, loss):
    model, x = made(name, reconstruction_loss=loss), images()
    printed = model(DatasetOutput(data=x.reshape(-1, 1, 8, 8)))
    ours = adapt(model)
    reconstruction = ours.likelihood(printed.z).log_prob(x).mean()
    constant = 0.0 if loss == "bce" else PIXELS * HALF_LOG_2PI
    assert float(-reconstruction - constant) == pytest.approx(float(printed.recon_loss), rel=1e-5)
    assert float(kl_divergence(ours.posterior(x), ours.prior()).mean()) == pytest.approx(
        float(printed.reg_loss), rel=1e-5
    )


@pytest.mark.parametrize("name", GAUSSIAN)
@torch.no_grad()
def test_the_densities_are_those_written_by_hand_on_the_models_own_tensors(name):
    model, x = made(name, reconstruction_loss="bce"), images()
    ours = adapt(model)
    encoded = model.encoder(x.reshape(-1, 1, 8, 8))
    mu, log_variance = encoded.embedding.double(), encoded.log_covariance.double()
    z = mu + torch.randn(5, *mu.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    by_hand = -((z - mu).square() / log_variance.exp() + log_variance + 2 * HALF_LOG_2PI).sum(-1) / 2
    assert torch.allclose(ours.posterior(x).log_prob(z.float()).double(), by_hand, rtol=1e-4)
    means = model.decoder(z.float().reshape(-1, LATENT)).reconstruction.reshape(5, -1, PIXELS).double()
    by_hand = (x * means.log() + (1 - x) * (1 - means).log()).sum(-1)
    assert torch.allclose(ours.likelihood(z.float()).log_prob(x).double(), by_hand, rtol=1e-4)


@pytest.mark.parametrize("loss", ["bce", "mse"])
@pytest.mark.parametrize("name", ["VAE", "VAMP"])
@torch.no_grad()
def test_get_nll_is_our_importance_weighted_mean_on_the_same_draws_constants_included(name, loss):
    model, x, draws = made(name, reconstruction_loss=loss), images(3), 100
    torch.manual_seed(11)
    printed = model.get_nll(x.reshape(-1, 1, 8, 8), n_samples=draws, batch_size=draws)
    torch.manual_seed(11)
    ours, values = adapt(model), []
    for image in x:
        q = ours.posterior(image.expand(draws, -1))
        z = q.base_dist.loc + q.base_dist.scale * torch.randn(draws, LATENT)
        log_weight = ours.likelihood(z).log_prob(image) + ours.prior().log_prob(z) - q.log_prob(z)
        values.append(float(log_weight.logsumexp(0)) - math.log(draws))
    assert sum(values) / 3 == pytest.approx(printed, rel=1e-5)


@torch.no_grad()
def test_the_vampprior_is_that_of_the_model():
    model = made("VAMP", reconstruction_loss="bce", number_components=6)
    z = torch.randn(9, LATENT, generator=torch.Generator().manual_seed(2))
    assert torch.allclose(adapt(model).prior().log_prob(z), model._log_p_z(z) - LATENT * HALF_LOG_2PI, atol=1e-4)


@torch.no_grad()
def test_the_squared_error_of_an_autoencoder_becomes_the_sigma_of_the_training_images():
    model, x = made("AE"), images(200)
    printed = float(model(DatasetOutput(data=x.reshape(-1, 1, 8, 8))).loss)
    ours = adapt(model, x)
    assert float(ours.sigma) ** 2 == pytest.approx(printed / PIXELS, rel=1e-5)
    assert isinstance(ours.posterior(x), Point)
    by_hand = -printed / (2 * float(ours.sigma) ** 2) - PIXELS * (math.log(float(ours.sigma)) + HALF_LOG_2PI)
    assert float(ours.likelihood(ours.posterior(x).mean).log_prob(x).mean()) == pytest.approx(by_hand, rel=1e-5)


def test_an_autoencoder_without_training_images_is_refused():
    with pytest.raises(ForeignModelError, match="AE: its squared error is no log density"):
        adapt(made("AE"))


def test_a_deterministic_posterior_is_a_point():
    assert isinstance(adapted(made("Adversarial_AE", deterministic_posterior=True)).posterior(images()), Point)
    assert not isinstance(adapted(made("Adversarial_AE")).posterior(images()), Point)


def test_a_subclass_of_the_users_own_is_refused():
    class Mine(models.VAE):
        pass

    with pytest.raises(ForeignModelError, match="Mine is none of the classes"):
        adapt(Mine(models.VAEConfig(input_dim=(1, 8, 8), latent_dim=2)))


@pytest.mark.parametrize("name", CLASSES)
@torch.no_grad()
def test_a_checkpoint_says_what_the_model_said_that_saved_it(name, tmp_path):
    model, x = made(name), images()
    model.save(str(tmp_path))
    read = load(tmp_path, "digits/grey", None, trust=False)
    assert not any(key.startswith("discriminator") for key in read.state_dict())
    kept = adapt(model, torch.rand(10, PIXELS))
    z = read.posterior(x).mean
    assert torch.equal(z, kept.posterior(x).mean)
    assert torch.equal(read.likelihood(z).mean, kept.likelihood(z).mean)
    assert torch.equal(read.prior().mean, kept.prior().mean)


@pytest.mark.parametrize("name", ["VAE", "VAMP", "FactorVAE", "Adversarial_AE"])
def test_a_folder_is_scored_by_its_name_like_the_model_that_saved_it(name, tmp_path):
    made(name, reconstruction_loss="bce").save(str(tmp_path))
    found = project.evaluate_reference(f"pythae:{tmp_path}", "digits/static-binary", "elbo")
    assert found["elbo"].status == "done"
    direct = vaebench.evaluate(adapt(made(name, reconstruction_loss="bce")), "digits/static-binary", "elbo")
    assert found["elbo"].value == direct["elbo"].value


class Halved(BaseEncoder):
    """An encoder of the user's own, which pythae pickles."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(PIXELS, 2 * LATENT)

    def forward(self, x):
        mean, log_variance = self.layer(x.flatten(1)).chunk(2, dim=-1)
        return ModelOutput(embedding=mean, log_covariance=log_variance)


def test_pickled_networks_are_read_on_trust(tmp_path):
    config = models.VAEConfig(input_dim=(1, 8, 8), latent_dim=LATENT, reconstruction_loss="bce")
    model = models.VAE(config, encoder=Halved())
    model.save(str(tmp_path))
    with pytest.raises(ForeignModelError, match=r"pickled in encoder\.pkl"):
        load(tmp_path, "digits/static-binary", None, trust=False)
    read = load(tmp_path, "digits/static-binary", None, trust=True)
    assert torch.equal(read.posterior(images()).mean, adapt(model).posterior(images()).mean)


class Bomb:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.write_text, (self.target, "boom"))


@pytest.mark.parametrize("file", ["encoder.pkl", "decoder.pkl", WEIGHTS])
def test_nothing_is_unpickled_without_trust(file, tmp_path):
    target, saved = tmp_path / "exploded", tmp_path / "model"
    made("VAE", reconstruction_loss="bce").save(str(saved))
    with (saved / file).open("wb") as stream:
        if file == WEIGHTS:
            torch.save({"model_state_dict": Bomb(target)}, stream)
        else:
            pickle.dump(Bomb(target), stream)
    flags = {"encoder.pkl": "uses_default_encoder", "decoder.pkl": "uses_default_decoder"}
    if file in flags:
        text = (saved / CONFIG).read_text()
        (saved / CONFIG).write_text(text.replace(f'"{flags[file]}": true', f'"{flags[file]}": false'))
    with pytest.raises(ForeignModelError) as refused:
        load(saved, "digits/static-binary", None, trust=False)
    assert file in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not target.exists()


def test_a_stray_pickle_beside_networks_of_pythaes_own_is_never_opened(tmp_path):
    target = tmp_path / "exploded"
    made("VAE", reconstruction_loss="bce").save(str(tmp_path))
    (tmp_path / "encoder.pkl").write_bytes(pickle.dumps(Bomb(target)))
    load(tmp_path, "digits/static-binary", None, trust=True)
    assert not target.exists()


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"latent_dim": 9}, "model.pt: does not fit VAE: RuntimeError"),
        ({"name": "BetaTCVAEConfig", "alpha": "much"}, "model_config.json: pythae refuses it: ValidationError"),
        ({"name": "VAMPConfig"}, "model.pt: does not fit VAMP: missing pseudo_inputs.0.weight"),
    ],
)
def test_a_configuration_that_does_not_fit_the_parameters_is_told_in_one_line(config, expected, tmp_path):
    made("VAE", reconstruction_loss="bce").save(str(tmp_path / "saved"))
    weights = (tmp_path / "saved" / WEIGHTS).read_bytes()
    path = folder(tmp_path / "other", **config)
    (path / WEIGHTS).write_bytes(weights)
    with pytest.raises(ForeignModelError) as refused:
        load(path, "digits/static-binary", None, trust=False)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_of_no_tensors_is_told_in_one_line(tmp_path):
    with pytest.raises(ForeignModelError, match=r"model\.pt: holds more than tensors, or is damaged, and is not read"):
        load(folder(tmp_path), "digits/static-binary", None, trust=False)
