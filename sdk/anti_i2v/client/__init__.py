"""A client of the protection server, `anti-i2v serve`.

from anti_i2v.client import Client

with Client.pair("CODE") as client:
    client.protect("photo.jpg").save("protected.jpg")
"""

from anti_i2v.client.http import AsyncClient, Client
from anti_i2v.client.protocol import Progress, RemoteProtection, ServerProblem, Unreachable

__all__ = ["AsyncClient", "Client", "Progress", "RemoteProtection", "ServerProblem", "Unreachable"]
