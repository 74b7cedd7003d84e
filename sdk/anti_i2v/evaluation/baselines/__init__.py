"""Published protections reimplemented in this project's loop, as baselines for benchmarks."""
