"""A client of the protection server, `anti-i2v serve`.

    from anti_i2v.client import Client

    with Client.pair("CODE") as client:
        client.protect("photo.jpg").save("protected.jpg")

Errors are those of the SDK, such as PhotoError and RecipeError, wherever they are raised. Two are added: ServerProblem
for what only a server refuses, and Unreachable where no server answers. `AsyncClient` has the same methods, awaited.
"""

from anti_i2v.client.http import AsyncClient, Client
from anti_i2v.client.protocol import Progress, RemoteProtection, ServerProblem, Unreachable

__all__ = ["AsyncClient", "Client", "Progress", "RemoteProtection", "ServerProblem", "Unreachable"]
