"""ops-backend, in short: a request that fails, logged with the documented configuration."""

import structlog
import telemetry

telemetry.configure()
log = structlog.get_logger()
log.debug("not printed")
with structlog.contextvars.bound_contextvars(request_id="r-1"):
    log.info("request began", path="/orders")
    try:
        raise ValueError("order 8812 is not paid")
    except ValueError:
        log.exception("request failed", path="/orders", status=500)
