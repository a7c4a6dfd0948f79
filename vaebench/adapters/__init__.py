"""Models of other libraries: read in the form of the model contract, and trained by their own loops. One module each.

A module is imported only where its library is asked for.
"""
