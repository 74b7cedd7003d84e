"""Tokens: stored hashed in a private file, invalid as soon as they are revoked."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from anti_i2v_server.errors import TokenFileUnsafe
from anti_i2v_server.tokens import TokenStore

ORIGIN = "chrome-extension://abcdefgh"


@pytest.fixture
def tokens(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "server" / "tokens.json")


def test_a_token_is_found_again_with_its_origin(tokens: TokenStore) -> None:
    token = tokens.issue(ORIGIN)
    found = tokens.find(token)
    assert found is not None
    assert found.origin == ORIGIN
    assert tokens.find(token[:-1]) is None


def test_tokens_have_256_bits_and_differ(tokens: TokenStore) -> None:
    issued = {tokens.issue(None) for _ in range(20)}
    assert len(issued) == 20
    assert all(len(token) == 43 for token in issued)  # 32 bytes in base64


def test_the_file_holds_no_token(tokens: TokenStore) -> None:
    token = tokens.issue(ORIGIN)
    assert token not in tokens.path.read_text()
    assert ORIGIN in tokens.path.read_text()


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_only_the_owner_can_read_the_file(tokens: TokenStore) -> None:
    before = os.umask(0)
    try:
        tokens.issue(ORIGIN)
    finally:
        os.umask(before)
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(tokens.path.parent.stat().st_mode) == 0o700


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_file_that_other_users_can_read_is_refused(tokens: TokenStore) -> None:
    tokens.issue(ORIGIN)
    tokens.path.chmod(0o644)
    with pytest.raises(TokenFileUnsafe, match="chmod 600"):
        tokens.entries()


def test_a_damaged_file_is_refused(tokens: TokenStore) -> None:
    tokens.issue(ORIGIN)
    tokens.path.write_text("[{")
    with pytest.raises(TokenFileUnsafe, match="damaged"):
        tokens.entries()


def test_another_store_sees_a_revocation(tokens: TokenStore) -> None:
    token, other = tokens.issue(ORIGIN), TokenStore(tokens.path)
    entry = other.find(token)
    assert entry is not None
    assert tokens.revoke(entry.id)
    assert other.find(token) is None
    assert other.origins() == set()
    assert not tokens.revoke(entry.id)


def test_concurrent_writers_lose_no_token(tokens: TokenStore) -> None:
    stores = [TokenStore(tokens.path) for _ in range(4)]
    with ThreadPoolExecutor(len(stores)) as threads:
        issued = list(threads.map(lambda store: store.issue(None), [*stores, *stores]))
    assert all(tokens.find(token) for token in issued)
    assert len(tokens.entries()) == len(issued) == 8


def test_without_a_file_there_are_no_tokens(tokens: TokenStore) -> None:
    assert tokens.entries() == []
    assert tokens.find("anything") is None
