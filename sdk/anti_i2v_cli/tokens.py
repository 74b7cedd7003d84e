"""`anti-i2v tokens`: manage the clients that are paired with the server on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from anti_i2v.errors import RecipeError

__all__ = ["group", "list_tokens", "revoke"]

group = typer.Typer(rich_markup_mode=None, help="Manage the clients that are paired with `anti-i2v serve`.")


@group.callback(invoke_without_command=True)
def _list_by_default(ctx: typer.Context) -> None:
    if ctx.invoked_subcommand is None:
        list_tokens()


@group.command("list")
def list_tokens() -> None:
    """List the tokens: id, date and client. The tokens themselves are not stored."""
    from anti_i2v_server.tokens import TokenStore

    entries = TokenStore().entries()
    for entry in entries:
        typer.echo(f"{entry.id:<12}{entry.created:<28}{entry.origin or 'a client without an origin'}")
    if not entries:
        typer.echo("no client is paired: `anti-i2v serve` shows a pairing code")


@group.command()
def revoke(
    token_id: Annotated[
        str, typer.Argument(metavar="ID", show_default=False, help="The token's id, from `anti-i2v tokens list`.")
    ],
) -> None:
    """Revoke a token. A running server refuses it at once."""
    from anti_i2v_server.tokens import TokenStore

    if not TokenStore().revoke(token_id):
        raise RecipeError(f"no token has the id {token_id!r}: see `anti-i2v tokens list`")
    typer.echo(f"{token_id}: revoked")
