"""Run `anti-i2v` as `python -m anti_i2v_cli`."""

from anti_i2v_cli import main

if __name__ == "__main__":
    main()
