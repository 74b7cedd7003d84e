"""Who gets in: hosts, origins, tokens, for every route and for what is no route."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from anti_i2v.errors import RecipeError
from anti_i2v_server.app import Server
from anti_i2v_server.security import PUBLIC_ROUTES, check_binding

BASE = "http://127.0.0.1:8765"
EXTENSION = "chrome-extension://abcdefghijklmnop"
OTHER = "chrome-extension://ponmlkjihgfedcba"
SITE = "https://evil.example"


def every_route(server: Server) -> list[tuple[str, str]]:
    """Method and path of all that is registered, and of one thing that is not."""
    found = [
        (method, route.path_format.replace("{job_id}", "x").replace("{file_path}", "docs.css"))
        for route in server.litestar.routes
        for method in sorted(route.methods - {"OPTIONS"})
    ]
    return [*found, ("GET", "/nowhere"), ("PUT", "/v1/protect"), ("OPTIONS", "/v1/protect")]


def test_without_a_token_only_these_routes_answer(server: Server, idle: TestClient[Any]) -> None:
    answered = {(method, path) for method, path in every_route(server) if idle.request(method, path).status_code != 401}
    static = {("GET", "/static/docs.css"), ("HEAD", "/static/docs.css")}
    assert answered - static == set(PUBLIC_ROUTES)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer wrong", "Basic dTpw", "a-token-for-tests-of-32-letters!", "Bearer \xe4"],
)
def test_what_is_no_valid_token_is_refused(idle: TestClient[Any], header: str) -> None:
    reply = idle.get("/v1/recipes", headers={"authorization": header.encode("latin-1")})
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.json()["type"] == "/problems/unauthorised"


def test_the_metrics_need_the_token_too(idle: TestClient[Any], bearer: dict[str, str]) -> None:
    assert idle.get("/metrics").status_code == 401
    assert "anti_i2v_requests_total" in idle.get("/metrics", headers=bearer).text


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
def test_only_the_servers_own_names_are_answered(
    idle: TestClient[Any], bearer: dict[str, str], host: str, status: int, path: str
) -> None:
    expected = 404 if (status, path) == (200, "/nowhere") else status
    assert idle.get(path, headers={**bearer, "host": host}).status_code == expected


def test_a_preflight_of_a_foreign_host_is_refused(idle: TestClient[Any]) -> None:
    asked = {"host": "evil.example:8765", "origin": BASE, "access-control-request-method": "POST"}
    assert idle.options("/v1/protect", headers=asked).status_code == 421


@pytest.mark.parametrize("origin", [SITE, "null", "http://localhost:3000", "http://127.0.0.1", EXTENSION, "file://"])
@pytest.mark.parametrize("path", ["/v1/recipes", "/health", "/nowhere"])
def test_pages_and_extensions_that_are_not_paired_are_refused(
    idle: TestClient[Any], bearer: dict[str, str], origin: str, path: str
) -> None:
    reply = idle.get(path, headers={**bearer, "origin": origin})
    assert reply.status_code == 403
    assert "access-control-allow-origin" not in reply.headers


def test_the_servers_own_page_may_use_the_command_lines_token(idle: TestClient[Any], bearer: dict[str, str]) -> None:
    assert idle.get("/v1/recipes", headers={**bearer, "origin": BASE}).status_code == 200


def pair(server: Server, client: TestClient[Any], origin: str | None) -> dict[str, str]:
    headers = {} if origin is None else {"origin": origin}
    reply = client.post("/v1/pair", json={"code": server.pairing.new_code()}, headers=headers)
    assert reply.status_code == 201, reply.text
    assert reply.json()["origin"] == origin
    return {"authorization": f"Bearer {reply.json()['token']}"}


def test_a_paired_extension_gets_in_and_may_read_the_answer(server: Server, idle: TestClient[Any]) -> None:
    token = pair(server, idle, EXTENSION)
    reply = idle.get("/v1/recipes", headers={**token, "origin": EXTENSION})
    assert reply.status_code == 200
    assert reply.headers["access-control-allow-origin"] == EXTENSION
    assert reply.headers["vary"] == "origin"


def test_a_token_is_bound_to_its_origin(server: Server, idle: TestClient[Any]) -> None:
    token = pair(server, idle, EXTENSION)
    pair(server, idle, OTHER)
    assert idle.get("/v1/recipes", headers={**token, "origin": OTHER}).status_code == 401
    assert idle.get("/v1/recipes", headers={**token, "origin": BASE}).status_code == 401
    assert idle.post("/v1/jobs", headers=token).status_code == 401  # browsers send Origin with all that changes things
    assert idle.get("/v1/recipes", headers=token).status_code == 200  # and leave it out of some reads


def test_a_client_without_an_origin_can_be_paired(server: Server, idle: TestClient[Any]) -> None:
    token = pair(server, idle, None)
    assert idle.get("/v1/recipes", headers=token).status_code == 200
    assert idle.get("/v1/recipes", headers={**token, "origin": BASE}).status_code == 401


def test_the_command_lines_token_is_not_for_extensions(
    server: Server, idle: TestClient[Any], bearer: dict[str, str]
) -> None:
    pair(server, idle, EXTENSION)
    assert idle.get("/v1/recipes", headers={**bearer, "origin": EXTENSION}).status_code == 401


def test_a_revoked_token_and_its_origin_are_refused_at_once(server: Server, idle: TestClient[Any]) -> None:
    token = pair(server, idle, EXTENSION)
    server.tokens.revoke(server.tokens.entries()[0].id)
    assert idle.get("/v1/recipes", headers={**token, "origin": EXTENSION}).status_code == 403
    assert idle.get("/v1/recipes", headers=token).status_code == 401


def test_a_web_page_cannot_pair_itself(server: Server, idle: TestClient[Any]) -> None:
    reply = idle.post("/v1/pair", json={"code": server.pairing.new_code()}, headers={"origin": SITE})
    assert reply.status_code == 403
    assert server.tokens.entries() == []


def test_guessing_the_code_ends_after_five_tries(server: Server, idle: TestClient[Any]) -> None:
    code = server.pairing.new_code()
    tries = [idle.post("/v1/pair", json={"code": "AAAA-AAAA"}).status_code for _ in range(6)]
    assert tries == [403] * 5 + [429]
    assert idle.post("/v1/pair", json={"code": code}).status_code == 429


def test_only_the_owner_opens_another_code(server: Server, idle: TestClient[Any], bearer: dict[str, str]) -> None:
    extension = {**pair(server, idle, EXTENSION), "origin": EXTENSION}
    assert idle.post("/v1/pair/code", headers=extension).status_code == 403
    reply = idle.post("/v1/pair/code", headers=bearer)
    assert reply.status_code == 201
    assert reply.json()["expiresIn"] == 300
    assert idle.post("/v1/pair", json={"code": reply.json()["code"]}).status_code == 201


def test_a_preflight_is_answered_for_paired_origins_alone(server: Server, idle: TestClient[Any]) -> None:
    asked = {"origin": EXTENSION, "access-control-request-method": "POST"}
    assert idle.options("/v1/protect", headers=asked).status_code == 403
    pair(server, idle, EXTENSION)
    reply = idle.options("/v1/protect", headers={**asked, "access-control-request-private-network": "true"})
    assert reply.status_code == 204
    assert reply.headers["access-control-allow-origin"] == EXTENSION
    assert "authorization" in reply.headers["access-control-allow-headers"]
    assert reply.headers["access-control-allow-private-network"] == "true"


def test_an_extension_may_ask_before_it_is_paired_only_for_pairing(idle: TestClient[Any]) -> None:
    asked = {"origin": EXTENSION, "access-control-request-method": "POST"}
    assert idle.options("/v1/pair", headers=asked).status_code == 204
    assert idle.options("/v1/pair/code", headers=asked).status_code == 403


@pytest.mark.parametrize("path", ["/static/../v1/recipes", "/static/%2e%2e/app.py", "/static/x/../../v1/recipes"])
def test_the_open_folder_leads_nowhere_else(idle: TestClient[Any], path: str) -> None:
    assert idle.get(path).status_code in (401, 404)


def test_every_answer_forbids_caching_sniffing_and_framing(idle: TestClient[Any]) -> None:
    for path in ("/health", "/nowhere", "/", "/docs"):
        headers = idle.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "photos.example"])  # noqa: S104  # refused
def test_listening_elsewhere_demands_a_token_and_says_what_it_means(host: str) -> None:
    with pytest.raises(RecipeError, match=r"other machines reach this server.*unencrypted.*--token EXAMPLE$"):
        check_binding(host, None, "EXAMPLE")
    check_binding(host, "x" * 20, "EXAMPLE")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_listening_here_needs_none(host: str) -> None:
    check_binding(host, None, "EXAMPLE")


def test_a_token_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(RecipeError, match="at least 20 characters"):
        check_binding("127.0.0.1", "secret", "EXAMPLE")


def test_the_default_is_loopback() -> None:
    from anti_i2v_server.settings import Settings

    assert Settings().host == "127.0.0.1"
