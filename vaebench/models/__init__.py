"""Likelihoods p(x|z), posteriors q(z|x), priors p(z), networks, and their composition."""
