"""The API's documentation: the OpenAPI description, as JSON and as one plain HTML page without scripts or a CDN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from litestar import Request
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme

from anti_i2v.receipts.receipt import versions

__all__ = ["DocsPage", "openapi_config"]

METHODS = ("get", "post", "delete")


def openapi_config() -> OpenAPIConfig:
    """Return Litestar's configuration of the description, served below /docs."""
    return OpenAPIConfig(
        title="Anti-I2V",
        version=versions()["anti-i2v-sdk"],
        summary="Protects photos on your own machine.",
        description="Every request needs the header Authorization: Bearer TOKEN, except where marked. "
        "Errors are problem details (RFC 9457).",
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        components=Components(
            security_schemes={
                "token": SecurityScheme(
                    type="http", scheme="bearer", description="From POST /v1/pair, or the command line's --token."
                )
            }
        ),
        security=[{"token": []}],
        use_handler_docstrings=True,
        path="/docs",
        render_plugins=[DocsPage(path="/"), JsonRenderPlugin(path="/openapi.json")],
    )


class DocsPage(OpenAPIRenderPlugin):
    """Renders an OpenAPI description as HTML."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return _page(openapi_schema).encode()


def _page(api: Mapping[str, Any]) -> str:
    info = api["info"]
    body = "".join(
        _operation(path, method, item[method], api)
        for path, item in sorted(api["paths"].items())
        for method in METHODS
        if method in item
    )
    schemas = "".join(_schema(name, schema) for name, schema in sorted(api["components"]["schemas"].items()))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f'<title>{escape(info["title"])} API</title><link rel="stylesheet" href="/static/docs.css"></head><body><main>'
        f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1><p>{escape(info['description'])}</p>"
        f'<p><a href="/docs/openapi.json">openapi.json</a></p>{body}<h2>Schemas</h2>{schemas}</main></body></html>'
    )


def _operation(path: str, method: str, operation: Mapping[str, Any], api: Mapping[str, Any]) -> str:
    security = operation.get("security", api.get("security"))
    note = "" if security and {} not in security else " <small>no token</small>"
    sections = "".join((_parameters(operation), _body(operation), _responses(operation)))
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code>{note}</h2>"
        f"<p>{escape(operation.get('description') or operation.get('summary') or '')}</p>{sections}</section>"
    )


def _parameters(operation: Mapping[str, Any]) -> str:
    rows = [
        (item["name"], item["in"], _type_name(item.get("schema", {})), item.get("description", ""))
        for item in operation.get("parameters", ())
    ]
    return _table("Parameters", ("name", "in", "type", ""), rows)


def _body(operation: Mapping[str, Any]) -> str:
    body = operation.get("requestBody")
    if body is None:
        return ""
    rows = [(kind, _type_name(media.get("schema", {}))) for kind, media in body["content"].items()]
    return _table("Body", ("content type", "schema"), rows)


def _responses(operation: Mapping[str, Any]) -> str:
    rows = [
        (status, ", ".join(response.get("content", {})), response.get("description", ""))
        for status, response in sorted(operation["responses"].items())
    ]
    return _table("Responses", ("status", "content type", ""), rows)


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = [
        (key, _type_name(value), "" if key in required else "optional")
        for key, value in schema.get("properties", {}).items()
    ]
    return f'<h3 id="{escape(name)}">{escape(name)}</h3>' + _table("", ("field", "type", ""), rows)


def _type_name(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "oneOf" in schema:
        return " | ".join(_type_name(one) for one in schema["oneOf"])
    kind = schema.get("type", "")
    if kind == "array":
        return f"list of {_type_name(schema.get('items', {}))}"
    return " | ".join(kind) if isinstance(kind, list) else str(schema.get("format") or kind)


def _table(title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    lines: Iterator[str] = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    return f"<table>{caption}<tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
