// Logs with winston and its Loki transport, unmodified.
//
//   node loki.mjs json|protobuf URL SERVICE UNIX_MILLISECONDS
//
// The second line is one of structlog's. Ends with 1 if Loki's answer was an error.

import winston from 'winston';
import LokiTransport from 'winston-loki';

const [transport, host, service, milliseconds] = process.argv.slice(2);

const loki = new LokiTransport({
  host,
  json: transport === 'json',
  labels: { service_name: service, namespace: 'shop', pod: 'web-0', env: 'prod' },
  format: winston.format.printf(({ message }) => message),
  replaceTimestamp: false,
  onConnectionError: (error) => {
    console.error(error);
    process.exit(1);
  },
});
const logger = winston.createLogger({ level: 'debug', transports: [loki] });
const at = (n) => new Date(Number(milliseconds) + n).toISOString();

logger.warn({ message: 'Grüße 😀 "x"\\', timestamp: at(1), user: 'u-7', trace_id: '4bf92f3577b34da6a3ce929d0e0e4736', span_id: '00f067aa0ba902b7' });
logger.info({
  message: JSON.stringify({
    order: 8812,
    trace_id: '0af7651916cd43dd8448eb211c80319c',
    span_id: 'b7ad6b7169203331',
    event: 'payment failed',
    logger: 'shop.orders',
    level: 'error',
    timestamp: '2024-05-06T07:08:09.123456Z',
  }),
  timestamp: at(2),
});
await loki.flush();
process.exit(0);
