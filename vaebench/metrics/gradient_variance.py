"""How much two estimators of ∇φ ELBO vary from draw to draw on a trained model (Wang 2018 §2.2).

With f(z) = ln p(x, z) − ln q(z|x), and one draw of z an image:

    reparametrised   ∇φ f(z(φ, ε))
    score            f(z) ∇φ ln q(z|x), z held fixed, without a baseline

Both have the expectation ∇φ ELBO, the second with ∇φ ln p(z) added where the prior is made of φ too (VampPrior). φ are
the parameters that q(z|x) depends on and p(x|z) does not: the encoder's.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaebench.data import streams
from vaebench.metrics.answer import Answer, NotApplicable, average_of_batches
from vaebench.metrics.draws import draw
from vaebench.metrics.subject import Images, Subject
from vaebench.models.contract import LatentVariableModel
from vaebench.models.mixed import category_of

BATCH = 10
"""Images whose gradients are summed before their variance is taken. Their draws are independent, so the variance of the
sum is the sum of theirs. A part of the estimator: it follows no memory."""
GROUP = 10
"""Draws that are set against each other; what differs between groups is Monte Carlo error."""


EXACT = "q has no parameters of its own that a gradient moves"


def evaluate(subject: Subject, protocol: dict[str, Any]) -> list[Answer | NotApplicable]:
    """Trace of the covariance of the gradient of one image's ELBO, from one draw; the mean over images."""
    batches = list(subject.images(protocol).split(BATCH))
    with torch.enable_grad():
        parameters = encoder_parameters(subject, batches[0])
        found = [batch_variances(subject, batch, parameters, protocol) for batch in batches]
    sizes = [len(batch) for batch in batches]
    answers: list[Answer | NotApplicable] = []
    for part in ("reparametrised", "score"):
        if part in found[0]:
            variances = torch.stack([of_batch[part] for of_batch in found], dim=1)
            value, stderr = average_of_batches(variances, sizes, subject.population(protocol))
            answers.append(Answer(value, stderr, part=part))
        else:
            answers.append(NotApplicable("a draw from q carries no gradient", part=part))
    return answers


def encoder_parameters(subject: Subject, images: Images) -> list[Tensor]:
    """φ: those that ln q(z|x) depends on and ln p(x|z) does not."""
    if not isinstance(subject.model, nn.Module):
        raise NotApplicable("the model is no torch module")
    if hasattr(subject.model, "log_prob"):
        raise NotApplicable(EXACT)
    learned: list[Tensor] = [parameter for parameter in subject.model.parameters() if parameter.requires_grad]
    model = subject.given(images.y)
    q = model.posterior(images.x)
    z = draw(q, streams.image_keys(images.x), 0, 1)[0].detach()
    in_q, in_p = (_depends(value, learned) for value in (q.log_prob(z), model.likelihood(z).log_prob(images.x)))
    own = [parameter for parameter, q_does, p_does in zip(learned, in_q, in_p, strict=True) if q_does and not p_does]
    if not own:
        raise NotApplicable(EXACT)
    return own


def _depends(value: Tensor, parameters: Sequence[Tensor]) -> list[bool]:
    if not value.requires_grad:
        return [False] * len(parameters)
    return [gradient is not None for gradient in torch.autograd.grad(value.sum(), parameters, allow_unused=True)]


def batch_variances(
    subject: Subject, images: Images, parameters: Sequence[Tensor], protocol: dict[str, Any]
) -> dict[str, Tensor]:
    """Estimator → the mean over these images of its variance, from each group of draws; (group,)"""
    model, prior = subject.given(images.y), subject.model.prior()
    q = model.posterior(images.x)
    keys = streams.image_keys(images.x, "gradient_variance", protocol["seed"])
    groups = torch.arange(protocol["draws"]).tensor_split(math.ceil(protocol["draws"] / GROUP))
    found: dict[str, list[Tensor]] = {}
    for group in groups:
        gradients: dict[str, list[Sequence[Tensor]]] = {}
        for number in group.tolist():
            z = draw(q, keys, number, 1)[0]
            for part, surrogate in surrogates(model, prior, q, images.x, z).items():
                gradients.setdefault(part, []).append(gradient_of(surrogate.sum(), parameters))
        for part, drawn in gradients.items():
            found.setdefault(part, []).append(trace_of_covariance(drawn) / len(images))
    return {part: torch.stack(traces) for part, traces in found.items()}


def surrogates(
    model: LatentVariableModel, prior: Distribution, q: Distribution, x: Tensor, z: Tensor
) -> dict[str, Tensor]:
    """Estimator → what has it as its gradient; (image,) each. A category's draw has no gradient; that of a relaxed
    one would belong to another objective."""
    log_likelihood = model.likelihood(z).log_prob(x)
    fixed = z.detach()
    log_prior, log_q = prior.log_prob(fixed), q.log_prob(fixed)
    found = {"score": by_the_score((log_likelihood + log_prior - log_q).detach(), log_q) + log_prior}
    if z.requires_grad and category_of(q) is None:
        found["reparametrised"] = log_likelihood + prior.log_prob(z) - q.log_prob(z)
    return found


def by_the_score(f: Tensor, log_q: Tensor) -> Tensor:
    """Its gradient is f(z) ∇φ ln q(z|x); f must carry none."""
    return f * log_q


def gradient_of(surrogate: Tensor, parameters: Sequence[Tensor]) -> Sequence[Tensor]:
    return torch.autograd.grad(surrogate, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)


def trace_of_covariance(gradients: Sequence[Sequence[Tensor]]) -> Tensor:
    """Σ_p Var_r(g_rp), divisor R − 1; gradients: for each draw r one tensor a parameter; ()"""
    count, total = len(gradients), torch.zeros((), dtype=torch.float64, device=gradients[0][0].device)
    for drawn in zip(*gradients, strict=True):
        stacked = torch.stack(drawn)
        total += (stacked - stacked.mean(0)).square().sum(dtype=torch.float64)
    return total / (count - 1)
