"""The data sets, their views and splits, and the streams of random numbers that depend on nothing but their names."""
