"""The self-hosted protection server. This version of the package holds none yet."""
