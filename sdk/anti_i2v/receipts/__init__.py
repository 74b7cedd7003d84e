"""Receipts: what a protection costs the eye and does to surrogates, beside a random control."""
