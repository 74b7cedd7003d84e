"""The self-hosted protection server, `anti-i2v serve`. Neither the server nor its workers import torch.

jobs/         submit, follow, fetch and cancel jobs; the job store; the routes of /v1/jobs
protection/   recipes and presets, POST /v1/protect, and the worker processes that protect photos
pairing/      one-time codes, tokens and their file
operations/   health, readiness, metrics, the API's documentation and the page

runner, app, settings                              start, assembly, limits
security_middleware, security, access_log          checks and headers of every request, and the log
upload, media_types, errors, problems, openapi     what the routes share
"""
