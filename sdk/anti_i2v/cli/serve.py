"""`anti-i2v serve`: the protection server on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anti_i2v.cli._options import check_device
from anti_i2v.errors import RecipeError, SurrogateError

__all__ = ["serve"]

MEGA = 1_000_000
MIB = 2**20
PACKAGES = ("filelock", "litestar", "uvicorn", "structlog", "prometheus_client", "onnxruntime")


def serve(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen; elsewhere needs --token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="0 takes a free one.")] = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            envvar="ANTI_I2V_TOKEN",
            show_envvar=True,
            help="A token for clients, beside those that are paired; better from the environment.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", readable=False, help="Holds the token: a container's or systemd's secret."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:PORT", help="Another value of the Host header, of a proxy; may be repeated."),
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(metavar="DEVICE", help="One worker each: auto, cpu, cuda, cuda:1; may be repeated."),
    ] = None,
    surrogate: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME_OR_FOLDER", help="Optimise on this artifact; may be repeated. By default all."),
    ] = None,
    queue: Annotated[int, typer.Option(min=1, metavar="N", help="Photos that may wait.")] = 32,
    body_limit: Annotated[int, typer.Option(min=1, metavar="MB", help="Largest upload.")] = 64,
    pixel_limit: Annotated[int, typer.Option(min=1, metavar="MP", help="Largest photo, in megapixels.")] = 64,
    worker_memory: Annotated[
        int, typer.Option(min=256, metavar="MIB", help="Memory at which a worker is replaced.")
    ] = 4096,
    body_timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="In which an upload has to arrive.")
    ] = 60.0,
    job_timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="What one photo may take at most.")
    ] = 600.0,
) -> None:
    """Run the protection server: a private service for the browser extension and API clients."""
    _need_packages()
    from secrets import token_urlsafe

    from anti_i2v.engines import check_names
    from anti_i2v_server.runner import serve as run
    from anti_i2v_server.security import check_binding
    from anti_i2v_server.settings import Settings

    token = _read_token(token_file, token)
    check_binding(host, token, token_urlsafe(32))
    for name in device or []:
        check_device(name)
        if name == "mps":
            raise RecipeError("ONNX Runtime has no device 'mps': use auto, cpu or cuda")
    check_names("onnx", surrogate or [])
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
        raise RecipeError("a token comes from --token (or ANTI_I2V_TOKEN) or from --token-file, not from both")
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        raise RecipeError(f"{file} cannot be read as a token: it must be a file of one line of letters") from None


def _need_packages() -> None:
    from importlib.util import find_spec

    for package in PACKAGES:
        if find_spec(package) is None:
            raise SurrogateError(
                f'the server needs {package}, which is not installed: pip install "anti-i2v-sdk[server,cpu]"'
            )
