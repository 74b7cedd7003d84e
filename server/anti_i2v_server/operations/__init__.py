"""Operations: health, readiness, metrics, the API's documentation and the server's page."""
