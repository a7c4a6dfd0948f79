"""Likelihoods p(x|z): heads on a decoder that return a distribution over images."""
