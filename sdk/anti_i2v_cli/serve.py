"""`anti-i2v serve`: run the protection server on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from anti_i2v.errors import RecipeError
from anti_i2v_cli.options import check_device
from anti_i2v_cli.packages import require_packages

__all__ = ["serve"]

MEGA = 1_000_000
MIB = 2**20
PACKAGES = ("filelock", "litestar", "uvicorn", "structlog", "prometheus_client", "onnxruntime")


def serve(
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen on this address; any but this machine's own needs --token.")
    ] = ("127.0.0.1"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Listen on this port; 0 takes a free one.")
    ] = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            envvar="ANTI_I2V_TOKEN",
            show_envvar=True,
            help="Accept this token, besides those of paired clients. Prefer the environment variable.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", readable=False, help="Read the token from this file, such as a container's secret."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:PORT", help="Accept this Host header as well, such as a proxy's; repeatable."),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(metavar="DEVICE", help="Run a worker on auto, cpu, cuda or cuda:1; repeatable. Default: auto."),
    ] = None,
    surrogate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME_OR_FOLDER", help="Optimise on this ONNX artifact; repeatable. Default: all installed."
        ),
    ] = None,
    queue: Annotated[int, typer.Option(min=1, metavar="N", help="Let at most this many photos wait.")] = 32,
    body_limit: Annotated[
        int, typer.Option(min=1, metavar="MB", help="Refuse uploads above this size, in megabytes.")
    ] = 64,
    pixel_limit: Annotated[
        int, typer.Option(min=1, metavar="MP", help="Refuse photos above this size, in megapixels.")
    ] = 64,
    worker_memory: Annotated[
        int, typer.Option(min=256, metavar="MIB", help="Replace a worker that holds more memory than this.")
    ] = 4096,
    body_timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Wait at most this long for an upload.")
    ] = 60.0,
    job_timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Spend at most this long on one photo.")
    ] = 600.0,
) -> None:
    """Run the protection server for the extension and API clients."""
    require_packages("the server", PACKAGES, 'pip install "anti-i2v-sdk[server,cpu]"')
    from secrets import token_urlsafe

    from anti_i2v.engines import check_surrogates
    from anti_i2v_server.runner import serve as run
    from anti_i2v_server.security import check_binding
    from anti_i2v_server.settings import Settings

    token = _read_token(token_file, token)
    check_binding(host, token, token_urlsafe(32))
    _check_devices(device or [])
    check_surrogates("onnx", surrogate or [])
    settings = Settings(
        host=host,
        port=port,
        allow_hosts=tuple(allow_host or ()),
        devices=tuple(device or ("auto",)),
        surrogates=tuple(surrogate) if surrogate else None,
        queue_limit=queue,
        body_limit=body_limit * MEGA,
        pixel_limit=pixel_limit * MEGA,
        worker_memory=worker_memory * MIB,
        body_timeout=body_timeout,
        job_timeout=job_timeout,
    )
    run(settings, token, lambda line: typer.echo(line))


def _read_token(file: Path | None, token: str | None) -> str | None:
    if file is None:
        return token
    if token is not None:
        raise RecipeError("take the token from --token (or ANTI_I2V_TOKEN) or from --token-file, not from both")
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        raise RecipeError(f"{file} cannot be read as a token: it must contain one line of ASCII letters") from None


def _check_devices(devices: Sequence[str]) -> None:
    for name in devices:
        check_device(name)
        if name == "mps":
            raise RecipeError("ONNX Runtime has no device 'mps': use auto, cpu or cuda")
