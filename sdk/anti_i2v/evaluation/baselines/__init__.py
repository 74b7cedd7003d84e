"""Published protections, as recipes and objectives that run through this project's loop, for comparison."""
