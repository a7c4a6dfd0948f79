"""Priors p(z): made from the number of latents and the shape of x; called with q(·|x), which some are built from."""
