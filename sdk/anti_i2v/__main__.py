"""Run `anti-i2v` as `python -m anti_i2v`. Deprecated until 0.3: use `python -m anti_i2v_cli`."""

import runpy

if __name__ == "__main__":
    # By name: this package does not import the command line.
    runpy.run_module("anti_i2v_cli", run_name="__main__", alter_sys=True)
