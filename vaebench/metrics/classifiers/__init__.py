"""Weights of the classifiers that ship with vaebench, and the script that made them."""
