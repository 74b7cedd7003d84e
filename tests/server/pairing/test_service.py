"""Pairing codes: valid once, for five minutes and five tries."""

from __future__ import annotations

from pathlib import Path

import pytest

from anti_i2v_server.errors import PairingExhausted, PairingRefused
from anti_i2v_server.pairing.service import CODE_ALPHABET, CODE_SECONDS, MAX_TRIES, PairingService
from anti_i2v_server.tokens import TokenStore

ORIGIN = "moz-extension://0123"


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(tmp_path: Path) -> TokenStore:
    return TokenStore(tmp_path / "tokens.json")


@pytest.fixture
def pairing(tokens: TokenStore, clock: Clock) -> PairingService:
    return PairingService(tokens, clock)


def wrong(code: str) -> str:
    return code[:-1] + next(letter for letter in CODE_ALPHABET if letter != code[-1])


def test_the_limits_are_five_minutes_and_five_tries() -> None:
    assert (CODE_SECONDS, MAX_TRIES) == (300, 5)


def test_the_code_gives_a_token_bound_to_the_origin(pairing: PairingService, tokens: TokenStore) -> None:
    entry = tokens.find(pairing.exchange(pairing.new_code(), ORIGIN))
    assert entry is not None
    assert entry.origin == ORIGIN


@pytest.mark.parametrize("typed", [str.lower, lambda code: code.replace("-", ""), lambda code: f" {code} "])
def test_case_dashes_and_spaces_of_a_typed_code_do_not_matter(pairing: PairingService, typed: object) -> None:
    assert callable(typed)
    assert pairing.exchange(typed(pairing.new_code()), ORIGIN)


def test_a_code_works_once(pairing: PairingService) -> None:
    code = pairing.new_code()
    pairing.exchange(code, ORIGIN)
    with pytest.raises(PairingExhausted):
        pairing.exchange(code, ORIGIN)


def test_a_code_expires(pairing: PairingService, clock: Clock) -> None:
    code = pairing.new_code()
    clock.now = CODE_SECONDS
    with pytest.raises(PairingExhausted):
        pairing.exchange(code, ORIGIN)


def test_after_five_wrong_tries_the_right_code_is_refused(pairing: PairingService) -> None:
    code = pairing.new_code()
    for _ in range(MAX_TRIES):
        with pytest.raises(PairingRefused):
            pairing.exchange(wrong(code), ORIGIN)
    with pytest.raises(PairingExhausted):
        pairing.exchange(code, ORIGIN)


def test_the_fifth_try_may_succeed(pairing: PairingService) -> None:
    code = pairing.new_code()
    for _ in range(MAX_TRIES - 1):
        with pytest.raises(PairingRefused, match=r"left$"):
            pairing.exchange(wrong(code), ORIGIN)
    assert pairing.exchange(code, ORIGIN)


def test_a_new_code_voids_the_old_one(pairing: PairingService) -> None:
    old = pairing.new_code()
    new = pairing.new_code()
    with pytest.raises(PairingRefused):
        pairing.exchange(old, ORIGIN)
    assert pairing.exchange(new, ORIGIN)


def test_nothing_pairs_before_a_code_is_made(pairing: PairingService) -> None:
    with pytest.raises(PairingExhausted):
        pairing.exchange("", ORIGIN)


@pytest.mark.parametrize("typed", ["", "ä", "\ud800", "A" * 10_000])
def test_any_other_text_is_a_wrong_code(pairing: PairingService, typed: str) -> None:
    pairing.new_code()
    with pytest.raises(PairingRefused):
        pairing.exchange(typed, ORIGIN)
