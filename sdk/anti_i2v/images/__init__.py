"""Photos and files: decoding, encoding, metadata, sizes, and what platforms do to them."""
