"""Jobs: submit a photo, follow it, fetch the result, cancel."""
