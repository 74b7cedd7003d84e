"""The command `anti-i2v`. It starts fast: whatever can be refused without torch is refused before torch is loaded.

Exit codes: 0 done, 1 failed, 2 asked for something that does not exist, 130 stopped by Ctrl-C.

A command is a plain function in a module here, registered below. Such a module imports what is heavy, or belongs to an
extra, inside its functions: all of them are imported at every start.
"""

from anti_i2v_cli import check, evaluate, export, layers, lists, protect, serve, surrogates, tokens
from anti_i2v_cli.app import app, main

__all__ = ["app", "main"]

# In the order of the help.
app.command()(protect.protect)
app.command()(check.check)
app.command()(evaluate.evaluate)
app.command()(lists.recipes)
app.command()(lists.presets)
app.command()(export.export)
app.command()(layers.layers)
app.command()(serve.serve)
app.add_typer(surrogates.group, name="surrogates")
app.add_typer(tokens.group, name="tokens")
