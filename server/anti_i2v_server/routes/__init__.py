"""The routes of the API. A handler reads the request, asks the service and words the answer."""

from __future__ import annotations

from anti_i2v_server.routes import jobs, lists, operations, pairing, protect

__all__ = ["HANDLERS"]

HANDLERS = [
    protect.protect,
    jobs.submit,
    jobs.status,
    jobs.events,
    jobs.result,
    jobs.receipt,
    jobs.cancel,
    lists.recipes,
    lists.presets,
    lists.surrogates,
    pairing.pair,
    pairing.open_code,
    operations.health,
    operations.ready,
    operations.metrics,
    operations.page,
]
