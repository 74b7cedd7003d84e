"""Loss terms of a surrogate's features: one objective a file, each named after the quantity that it measures."""
