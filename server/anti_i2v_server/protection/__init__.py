"""Protection: recipes and presets to choose from, POST /v1/protect, and the worker processes that protect photos."""
