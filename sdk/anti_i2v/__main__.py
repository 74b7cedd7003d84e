"""`python -m anti_i2v` is `anti-i2v`."""

from anti_i2v.cli import main

if __name__ == "__main__":
    main()
