"""The optimisation of a photo: update rules, the PGD loop, spaces, random transforms and start points."""
