"""Photos and files: decoding, encoding, metadata, sizes, and models of platforms."""
