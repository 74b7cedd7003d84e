"""Pairing: exchange a one-time code for a token, and store tokens."""
