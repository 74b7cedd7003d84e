"""Receipts: how visible a protection is and its effect on surrogates, beside a random control."""
