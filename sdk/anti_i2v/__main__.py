"""Run `anti-i2v`, as `python -m anti_i2v`. Until 0.3; `python -m anti_i2v_cli` replaces it."""

import runpy

if __name__ == "__main__":
    # By name: the command line imports this package, never the other way round.
    runpy.run_module("anti_i2v_cli", run_name="__main__", alter_sys=True)
