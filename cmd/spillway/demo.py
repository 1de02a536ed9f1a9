import itertools
import sys
import time

import structlog

structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ],
    logger_factory=structlog.PrintLoggerFactory(sys.stdout),
)
log = structlog.get_logger().bind(logger="ops.http")

for n in itertools.count():
    bound = log.bind(order_id=n, path=f"/orders/{n % 97}", trace_id=f"{n + 1:032x}")
    if n % 50 == 49:
        try:
            raise TimeoutError(f"payment of order {n} timed out")
        except TimeoutError:
            bound.exception("payment failed", status=504)
    else:
        bound.info("request finished", status=200, duration_ms=n % 300)
    time.sleep(0.02)
