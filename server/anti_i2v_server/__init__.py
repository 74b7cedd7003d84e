"""The self-hosted protection server: `anti-i2v serve`.

    app, gate, security, tokens, pairing      what comes in over HTTP, and who may
    routes, body, replies, openapi, problems  the API itself
    service, board, jobs, options              what is asked for, in which order, and what became of it
    pool, worker, wire                        one process a device, which owns the models
    child, memory                             what runs inside that process

Neither process ever imports torch.
"""
