"""The server matches its OpenAPI description, for generated valid and invalid requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")

from hypothesis import HealthCheck, Phase, given  # noqa: E402  # after importorskip
from hypothesis import settings as hypothesis_settings  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402

from anti_i2v_server.app import make_server  # noqa: E402
from anti_i2v_server.settings import Settings  # noqa: E402
from anti_i2v_server.tokens import TokenStore  # noqa: E402

TOKEN = "a-token-for-tests-of-32-letters!"  # noqa: S105  # opens nothing but the tests' own server
MODES = list(schemathesis.GenerationMode)
API = schemathesis.openapi.from_dict(
    make_server(Settings(), tokens=TokenStore(Path("nowhere"))).litestar.openapi_schema.to_schema()
)
OPERATIONS = {operation.ok().label: operation.ok() for operation in API.get_all_operations()}

EXCLUDED_CHECKS = [
    schemathesis.checks.positive_data_acceptance,  # random bytes are not a photo
    schemathesis.checks.ignored_auth,  # its request still sends our header; see test_security_middleware
]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids=[mode.value for mode in MODES])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_every_response_is_declared(running_server: Any, operation: Any, mode: Any) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @hypothesis_settings(
        max_examples=20,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    def send(case: Any) -> None:
        case.call_and_validate(
            base_url=running_server.url,
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=60,
            excluded_checks=EXCLUDED_CHECKS,
        )

    try:
        send()
    except Unsatisfiable:
        assert not operation.body  # without parameters and body no request is invalid


def test_every_route_is_described() -> None:
    assert set(OPERATIONS) == {
        "POST /v1/protect",
        "POST /v1/jobs",
        "GET /v1/jobs/{job_id}",
        "GET /v1/jobs/{job_id}/events",
        "GET /v1/jobs/{job_id}/result",
        "GET /v1/jobs/{job_id}/receipt",
        "DELETE /v1/jobs/{job_id}",
        "GET /v1/recipes",
        "GET /v1/presets",
        "GET /v1/surrogates",
        "POST /v1/pair",
        "POST /v1/pair/code",
        "GET /health",
        "GET /ready",
        "GET /metrics",
    }
