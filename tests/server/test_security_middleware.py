"""Hosts, origins and tokens are checked on every route, known or not."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from anti_i2v.errors import RecipeError
from anti_i2v_server.app import Server, make_server
from anti_i2v_server.security import PUBLIC_ROUTES, check_binding
from anti_i2v_server.settings import Settings
from anti_i2v_server.tokens import TokenStore

BASE = "http://127.0.0.1:8765"
TOKEN = "a-token-for-tests-of-32-letters!"  # noqa: S105  # opens nothing but the tests' own server
EXTENSION = "chrome-extension://abcdefghijklmnop"
OTHER = "chrome-extension://ponmlkjihgfedcba"
SITE = "https://evil.example"


@pytest.fixture(scope="module")
def shared_client(tmp_path_factory: pytest.TempPathFactory) -> TestClient[Any]:
    """A client of a server with which nobody pairs."""
    tokens = TokenStore(tmp_path_factory.mktemp("tokens") / "tokens.json")
    return TestClient(make_server(Settings(), token=TOKEN, tokens=tokens).asgi, base_url=BASE)


def every_route(server: Server) -> list[tuple[str, str]]:
    """Method and path of every registered route, and of some that are not."""
    found = [
        (method, route.path_format.replace("{job_id}", "x").replace("{file_path}", "docs.css"))
        for route in server.litestar.routes
        for method in sorted(route.methods - {"OPTIONS"})
    ]
    return [*found, ("GET", "/nowhere"), ("PUT", "/v1/protect"), ("OPTIONS", "/v1/protect")]


def test_only_public_routes_answer_without_a_token(server: Server, idle_client: TestClient[Any]) -> None:
    answered = {
        (method, path) for method, path in every_route(server) if idle_client.request(method, path).status_code != 401
    }
    static = {("GET", "/static/docs.css"), ("HEAD", "/static/docs.css")}
    assert answered - static == set(PUBLIC_ROUTES)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer wrong", "Basic dTpw", "a-token-for-tests-of-32-letters!", "Bearer \xe4"],
)
def test_an_invalid_token_is_refused(shared_client: TestClient[Any], header: str) -> None:
    reply = shared_client.get("/v1/recipes", headers={"authorization": header.encode("latin-1")})
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.json()["type"] == "/problems/unauthorised"


def test_metrics_need_a_token(shared_client: TestClient[Any], bearer: dict[str, str]) -> None:
    assert shared_client.get("/metrics").status_code == 401
    assert "anti_i2v_requests_total" in shared_client.get("/metrics", headers=bearer).text


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost:8765", 200),
        ("LOCALHOST:8765", 200),
        ("[::1]:8765", 200),
        ("127.0.0.1", 421),
        ("127.0.0.1:80", 421),
        ("evil.example:8765", 421),
        ("evil.example", 421),
        ("127.0.0.1:8765.evil.example", 421),
    ],
)
@pytest.mark.parametrize("path", ["/health", "/nowhere"])
def test_only_the_servers_own_host_names_are_accepted(
    shared_client: TestClient[Any], bearer: dict[str, str], host: str, status: int, path: str
) -> None:
    expected = 404 if (status, path) == (200, "/nowhere") else status
    assert shared_client.get(path, headers={**bearer, "host": host}).status_code == expected


def test_a_preflight_to_a_foreign_host_is_refused(shared_client: TestClient[Any]) -> None:
    headers = {"host": "evil.example:8765", "origin": BASE, "access-control-request-method": "POST"}
    assert shared_client.options("/v1/protect", headers=headers).status_code == 421


@pytest.mark.parametrize("origin", [SITE, "null", "http://localhost:3000", "http://127.0.0.1", EXTENSION, "file://"])
@pytest.mark.parametrize("path", ["/v1/recipes", "/health", "/nowhere"])
def test_unpaired_pages_and_extensions_are_refused(
    shared_client: TestClient[Any], bearer: dict[str, str], origin: str, path: str
) -> None:
    reply = shared_client.get(path, headers={**bearer, "origin": origin})
    assert reply.status_code == 403
    assert "access-control-allow-origin" not in reply.headers


def test_the_servers_own_page_may_use_the_command_lines_token(
    shared_client: TestClient[Any], bearer: dict[str, str]
) -> None:
    assert shared_client.get("/v1/recipes", headers={**bearer, "origin": BASE}).status_code == 200


def pair(server: Server, client: TestClient[Any], origin: str | None) -> dict[str, str]:
    headers = {} if origin is None else {"origin": origin}
    reply = client.post("/v1/pair", json={"code": server.pairing.new_code()}, headers=headers)
    assert reply.status_code == 201, reply.text
    assert reply.json()["origin"] == origin
    return {"authorization": f"Bearer {reply.json()['token']}"}


def test_a_paired_extension_is_accepted_and_may_read_the_response(server: Server, idle_client: TestClient[Any]) -> None:
    token = pair(server, idle_client, EXTENSION)
    reply = idle_client.get("/v1/recipes", headers={**token, "origin": EXTENSION})
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == EXTENSION
    assert reply.headers["vary"] == "origin"


def test_a_token_is_bound_to_its_origin(server: Server, idle_client: TestClient[Any]) -> None:
    token = pair(server, idle_client, EXTENSION)
    pair(server, idle_client, OTHER)
    assert idle_client.get("/v1/recipes", headers={**token, "origin": OTHER}).status_code == 401
    assert idle_client.get("/v1/recipes", headers={**token, "origin": BASE}).status_code == 401
    assert idle_client.post("/v1/jobs", headers=token).status_code == 401  # browsers send Origin with every write
    assert idle_client.get("/v1/recipes", headers=token).status_code == 200  # and omit it on some reads


def test_a_client_without_an_origin_can_be_paired(server: Server, idle_client: TestClient[Any]) -> None:
    token = pair(server, idle_client, None)
    assert idle_client.get("/v1/recipes", headers=token).status_code == 200
    assert idle_client.get("/v1/recipes", headers={**token, "origin": BASE}).status_code == 401


def test_an_extension_cannot_use_the_command_lines_token(
    server: Server, idle_client: TestClient[Any], bearer: dict[str, str]
) -> None:
    pair(server, idle_client, EXTENSION)
    assert idle_client.get("/v1/recipes", headers={**bearer, "origin": EXTENSION}).status_code == 401


def test_a_revoked_token_and_its_origin_are_refused_at_once(server: Server, idle_client: TestClient[Any]) -> None:
    token = pair(server, idle_client, EXTENSION)
    server.tokens.revoke(server.tokens.entries()[0].id)
    assert idle_client.get("/v1/recipes", headers={**token, "origin": EXTENSION}).status_code == 403
    assert idle_client.get("/v1/recipes", headers=token).status_code == 401


def test_a_web_page_cannot_pair_itself(server: Server, idle_client: TestClient[Any]) -> None:
    reply = idle_client.post("/v1/pair", json={"code": server.pairing.new_code()}, headers={"origin": SITE})
    assert reply.status_code == 403
    assert server.tokens.entries() == []


def test_a_code_is_closed_after_five_wrong_tries(server: Server, idle_client: TestClient[Any]) -> None:
    code = server.pairing.new_code()
    tries = [idle_client.post("/v1/pair", json={"code": "AAAA-AAAA"}).status_code for _ in range(6)]
    assert tries == [403] * 5 + [429]
    assert idle_client.post("/v1/pair", json={"code": code}).status_code == 429


def test_an_extension_cannot_make_a_code(server: Server, idle_client: TestClient[Any], bearer: dict[str, str]) -> None:
    extension = {**pair(server, idle_client, EXTENSION), "origin": EXTENSION}
    assert idle_client.post("/v1/pair/code", headers=extension).status_code == 403
    reply = idle_client.post("/v1/pair/code", headers=bearer)
    assert reply.status_code == 201
    assert reply.json()["expiresIn"] == 300
    assert idle_client.post("/v1/pair", json={"code": reply.json()["code"]}).status_code == 201


def test_only_preflights_of_paired_origins_are_answered(server: Server, idle_client: TestClient[Any]) -> None:
    headers = {"origin": EXTENSION, "access-control-request-method": "POST"}
    assert idle_client.options("/v1/protect", headers=headers).status_code == 403
    pair(server, idle_client, EXTENSION)
    reply = idle_client.options("/v1/protect", headers={**headers, "access-control-request-private-network": "true"})
    assert reply.status_code == 204
    assert reply.headers["access-control-allow-origin"] == EXTENSION
    assert "authorization" in reply.headers["access-control-allow-headers"]
    assert reply.headers["access-control-allow-private-network"] == "true"


def test_an_unpaired_extension_may_only_pair(shared_client: TestClient[Any]) -> None:
    headers = {"origin": EXTENSION, "access-control-request-method": "POST"}
    assert shared_client.options("/v1/pair", headers=headers).status_code == 204
    assert shared_client.options("/v1/pair/code", headers=headers).status_code == 403


@pytest.mark.parametrize("path", ["/static/../v1/recipes", "/static/%2e%2e/app.py", "/static/x/../../v1/recipes"])
def test_the_public_folder_exposes_nothing_else(shared_client: TestClient[Any], path: str) -> None:
    assert shared_client.get(path).status_code in (401, 404)


def test_every_response_forbids_caching_sniffing_and_framing(shared_client: TestClient[Any]) -> None:
    for path in ("/health", "/nowhere", "/", "/docs"):
        headers = shared_client.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "photos.example"])  # noqa: S104  # refused
def test_listening_on_another_address_needs_a_token_and_explains_the_risk(host: str) -> None:
    with pytest.raises(RecipeError, match=r"other machines reach this server.*unencrypted.*--token EXAMPLE$"):
        check_binding(host, None, "EXAMPLE")
    check_binding(host, "x" * 20, "EXAMPLE")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_listening_on_loopback_needs_no_token(host: str) -> None:
    check_binding(host, None, "EXAMPLE")


def test_a_short_token_is_refused() -> None:
    with pytest.raises(RecipeError, match="at least 20 characters"):
        check_binding("127.0.0.1", "secret", "EXAMPLE")


def test_the_default_is_loopback() -> None:
    assert Settings().host == "127.0.0.1"
