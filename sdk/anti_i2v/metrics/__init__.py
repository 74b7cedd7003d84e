"""What a protection costs the eye, and what it does to models: numbers, each with its source."""
