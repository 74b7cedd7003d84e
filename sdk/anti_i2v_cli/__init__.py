"""The command line `anti-i2v`: a module per command, registered here.

Exit codes: 0 success, 1 failure, 2 wrong usage, 130 stopped by Ctrl-C.

Every start imports all command modules. They therefore import torch, optional packages and other slow modules inside
their functions, after they have checked the options.
"""

from anti_i2v_cli import check, evaluate, export, layers, presets, protect, recipes, serve, surrogates, tokens
from anti_i2v_cli.app import app, main

__all__ = ["app", "main"]

# In the order of the help.
app.command()(protect.protect)
app.command()(check.check)
app.command()(evaluate.evaluate)
app.command()(recipes.recipes)
app.command()(presets.presets)
app.command()(export.export)
app.command()(layers.layers)
app.command()(serve.serve)
app.add_typer(surrogates.group, name="surrogates")
app.add_typer(tokens.group, name="tokens")
