"""What is minimised: one objective a file, each named after the paper's loss."""
