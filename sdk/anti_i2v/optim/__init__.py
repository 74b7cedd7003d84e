"""Optimisation: PGD and its update rules, the spaces of a step, random transforms (EOT), and start points."""
