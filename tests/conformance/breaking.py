"""Plugins that are right but for one line, which a test exchanges for a wrong one."""

from string import Template

HEAD = """
import torch, vaebench
from torch import nn
from torch.distributions import Independent, Normal
from torch.distributions.kl import register_kl
from vaebench.models.distributions import DiagonalNormal, IndependentPixels
"""
SUBCLASS = """
class Other(DiagonalNormal):
    def expand(self, batch_shape, _instance=None):
        shape = torch.Size(batch_shape) + self.event_shape
        return Other(self.base_dist.loc.expand(shape), self.base_dist.scale.expand(shape))
    $method
"""
LIKELIHOOD = Template(
    HEAD
    + SUBCLASS
    + """
$before
@vaebench.likelihood("trial", views=["grey"], parameters={
    "width": {"type": "number", "default": 0.05, "above": 0, "setting": True}})
class Trial(nn.Module):
    def __init__(self, decoder, width):
        super().__init__()
        self.mean = decoder.pixel_head(1)
        self.number = width
        self.register_buffer("width", torch.tensor(float(width)))
        $init

    def forward(self, features):
        mean, width = self.mean(features).squeeze(-2), self.width
        $forward
        return $distribution
"""
)
POSTERIOR = Template(
    HEAD
    + SUBCLASS
    + """
$before
@vaebench.posterior("trial")
class Trial(nn.Module):
    def __init__(self, encoder, latent):
        super().__init__()
        self.noise_size = $noise_size
        self.mean, self.log_scale = encoder.vector_head(latent), encoder.vector_head(latent)
        $init

    def forward(self, features):
        mean, scale = self.mean(features), self.log_scale(features).exp()
        $forward
        return $distribution
"""
)
PRIOR = Template(
    HEAD
    + SUBCLASS
    + """
$before
@vaebench.prior("trial")
class Trial(nn.Module):
    def __init__(self, latent, shape):
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(latent))
        self.register_buffer("scale", torch.ones(latent))
        $init

    def forward(self, posterior):
        loc, scale = self.loc, self.scale
        $forward
        return $distribution
"""
)
NETWORK = Template(
    HEAD
    + """
from vaebench.models.networks.trunk import Decoder, Trunk


class Scaled(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)
        $init

    def forward(self, x):
        features = torch.tanh(self.layer(x))
        $forward
        return features


@vaebench.network("trial")
class Trial:
    def encoder(self, shape, beside=0):
        return Trunk(Scaled(shape.pixels + beside, 8), $features, "torch")

    def decoder(self, latent, shape):
        return Decoder(Scaled(latent, 8), 8, "torch", shape)
"""
)
OBJECTIVE = Template(
    HEAD
    + """
from vaebench.objectives.elbo import evidence
from vaebench.objectives.player import Noise, Objective, model_of


class Player:
    name, batches = "model", 1
    owns = $owns

    def __init__(self, size, weight):
        self.noise = {"z": Noise(1, size, "normal")}
        self.weight = weight

    def loss(self, system, batches, noise, settings):
        (x,) = batches
        z, weight = noise["z"], settings["weight"]
        $forward
        seen = evidence(model_of(system), x, z, "analytic", settings["progress"])
        loss = weight * seen.kl - seen.reconstruction
        $after
        return loss, {"kl": seen.kl}


@vaebench.objective("trial", parameters={"weight": {"type": "number", "default": 1.0, "minimum": 0, "setting": True}})
def trial(model, choices, shape, images):
    player = Player(model.noise_size, choices["objective"]["weight"])
    return $objective
"""
)
DATASET = Template(
    HEAD
    + """
from vaebench.data import streams
from vaebench.data.dataset import Dataset, Split

SPLITS = {"train": 40, "validation": 20, "test": 20}


@vaebench.dataset("trial", pixels=16, side=4, levels=4, classes=2, splits=SPLITS, views=["grey", "binary"])
def trial(name, root):
    splits = {}
    for split, count in SPLITS.items():
        u = streams.uniform(torch.tensor(streams.key(name, split)), 0, count, 16)
        labels = torch.arange(count) % 2
        content = (u * 4).to(torch.uint8)
        $after
        splits[split] = Split(content, labels)
    return $dataset
"""
)
METRIC = Template(
    HEAD
    + """
from vaebench.metrics.answer import Answer
from vaebench.metrics.draws import posterior_mean


@vaebench.metric("trial", unit="pixels", better="lower")
def trial(subject, protocol):
    images, sums = subject.images(protocol), []
    for model, x, keys in subject.blocks(images, 1, "trial", protocol["seed"]):
        means = model.likelihood(posterior_mean(model.posterior(x), keys)).mean
        sums.append((x - means).sum(-1).abs())
    value = float(torch.cat(sums).mean())
    $after
    return $answers
"""
)
RIGHT = {
    LIKELIHOOD: {
        "init": "pass",
        "forward": "pass",
        "method": "pass",
        "before": "",
        "distribution": "DiagonalNormal(mean, width.expand_as(mean))",
    },
    POSTERIOR: {
        "init": "pass",
        "forward": "pass",
        "method": "pass",
        "before": "",
        "noise_size": "latent",
        "distribution": "DiagonalNormal(mean, scale)",
    },
    PRIOR: {
        "init": "pass",
        "forward": "pass",
        "method": "pass",
        "before": "",
        "distribution": "DiagonalNormal(loc, scale)",
    },
    NETWORK: {"init": "pass", "forward": "pass", "features": "8"},
    OBJECTIVE: {
        "owns": '("model",)',
        "forward": "pass",
        "after": "pass",
        "objective": "Objective((player,), {})",
    },
    DATASET: {"after": "pass", "dataset": "Dataset(name, splits, pixels=16, side=4, levels=4)"},
    METRIC: {"after": "pass", "answers": "[Answer(value, 0.0)]"},
}


def source(template: Template, **wrong: str) -> str:
    """A plugin that is right where nothing is exchanged."""
    return template.substitute({**RIGHT[template], **wrong})
