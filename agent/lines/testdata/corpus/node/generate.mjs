// Writes a .log beside itself for each logging library of Node, and a .txt for each stack trace:
//
//	npm ci --omit=optional && node generate.mjs
//
// Clock, process and host are fixed, and the code that logs lies where a container has it, so that
// the output is the same everywhere. Lines that begin with # say how what follows is configured.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

const here = path.dirname(fileURLToPath(import.meta.url))
const require = createRequire(import.meta.url)
const moment = Date.UTC(2024, 4, 6, 7, 8, 9, 123)

const RealDate = Date
globalThis.Date = class extends RealDate {
  constructor(...args) { args.length ? super(...args) : super(moment) }
  static now() { return moment }
}
Object.defineProperty(process, 'pid', { value: 7 })
os.hostname = () => 'web-0'
process.env.TZ = 'UTC'

// What a library writes to, with the titles of what follows.
class Output extends Writable {
  text = ''
  section(title) { this.text += `# ${title}\n` }
  _write(chunk, _, done) { this.text += chunk; done() }
}

// An error with the stack that it would have in a container.
function declined() {
  const cause = new TypeError('no such card')
  cause.stack = 'TypeError: no such card\n    at find (/app/cards.js:7:11)'
  const error = new RangeError('card was declined', { cause })
  error.code = 'E_DECLINED'
  error.stack = 'RangeError: card was declined\n    at charge (/app/orders.js:3:9)\n    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)'
  return error
}

const cart = { id: 7, items: ['a', { n: 1.5 }] }

const libraries = {
  pino(out) {
    const pino = require('pino')
    out.section('pino')
    const log = pino({ level: 'trace', name: 'shop' }, out)
    for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) log.child({ user: 'u-1' })[level]({ cart, who: null }, 'spoken to %s', 'u-1')
    log.error(declined())
    log.error({ err: declined(), order: 7 }, 'payment failed')
    out.section('levels by name, ISO times, another message key')
    const named = pino({ messageKey: 'message', timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (level) => ({ level }) } }, out)
    named.warn({ cart }, 'spoken')
  },
  winston(out) {
    const winston = require('winston')
    const { combine, errors, json, timestamp, simple, colorize } = winston.format
    const log = (...formats) => winston.createLogger({ level: 'silly', format: combine(...formats), transports: [new winston.transports.Stream({ stream: out })] })
    out.section('winston: errors, timestamp, json')
    const full = log(errors({ stack: true }), timestamp(), json())
    for (const level of ['silly', 'debug', 'verbose', 'http', 'info', 'warn', 'error']) full.child({ user: 'u-1' })[level]('spoken', { cart })
    full.error(declined())
    full.error('payment failed', declined())
    out.section('levels of syslog')
    const syslog = winston.createLogger({ level: 'debug', levels: winston.config.syslog.levels, format: combine(timestamp({ format: () => '2024-05-06 07:08:09.123' }), json()), transports: [new winston.transports.Stream({ stream: out })] })
    for (const level of Object.keys(winston.config.syslog.levels)) syslog[level]('spoken')
    out.section('simple, with colours')
    log(colorize(), simple()).warn('spoken')
  },
  bunyan(out) {
    const bunyan = require('bunyan')
    out.section('bunyan')
    const log = bunyan.createLogger({ name: 'shop', hostname: 'web-0', level: 'trace', streams: [{ level: 'trace', stream: out }], serializers: bunyan.stdSerializers })
    for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) log.child({ component: 'cart' })[level]({ cart }, 'spoken to %s', 'u-1')
    log.error(declined())
    log.error({ err: declined(), order: 7 }, 'payment failed')
  },
  log4js(out) {
    const log4js = require('log4js')
    out.section('log4js, basic and coloured layout')
    for (const type of ['basic', 'coloured']) {
      log4js.configure({ appenders: { out: { type: { configure: (config, layouts) => { const layout = layouts.layout(config.layout.type); return (event) => out.write(layout(event) + '\n') } }, layout: { type } } }, categories: { default: { appenders: ['out'], level: 'trace' } } })
      for (const level of ['info', 'warn']) log4js.getLogger('shop.cart')[level]('spoken to', 'u-1')
    }
  },
  'ecs-pino'(out) {
    const pino = require('pino')
    const { ecsFormat } = require('@elastic/ecs-pino-format')
    out.section('pino in the Elastic Common Schema')
    const log = pino({ ...ecsFormat({ apmIntegration: false }), level: 'trace', name: 'shop' }, out)
    for (const level of ['trace', 'info', 'fatal']) log[level]({ cart, 'trace.id': '0af7651916cd43dd8448eb211c80319c', 'span.id': 'b7ad6b7169203331' }, 'spoken')
    log.error({ err: declined() }, 'payment failed')
  },
  'ecs-winston'(out) {
    const winston = require('winston')
    const { ecsFormat } = require('@elastic/ecs-winston-format')
    out.section('winston in the Elastic Common Schema')
    const log = winston.createLogger({ level: 'silly', format: ecsFormat({ apmIntegration: false }), transports: [new winston.transports.Stream({ stream: out })] })
    for (const level of ['silly', 'info', 'error']) log[level]('spoken', { cart })
    log.error('payment failed', { err: declined() })
  },
}

for (const [name, write] of Object.entries(libraries)) {
  const out = new Output()
  write(out)
  await new Promise((resolve) => setTimeout(resolve, 50))
  writeFileSync(path.join(here, name + '.log'), out.text)
}

// What Node prints when nobody catches it.
const traces = {
  uncaught: 'function charge() {\n  throw new TypeError("card was declined\\ntry another")\n}\n\ncharge()\n',
  coded: 'const pay = () => new URL("no url")\npay()\n',
  console: 'class Declined extends Error {}\nDeclined.prototype.name = "Declined"\nconsole.error("payment failed:", new Declined("no card", { cause: new Error("no money") }))\n',
}
const dir = mkdtempSync(path.join(os.tmpdir(), 'corpus-'))
for (const [name, source] of Object.entries(traces)) {
  const file = path.join(dir, 'orders.js')
  writeFileSync(file, source)
  const { stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8', env: { ...process.env, NO_COLOR: '1' } })
  writeFileSync(path.join(here, name + '.txt'), stderr.replaceAll(dir, '/app').replaceAll(process.version, 'v20.0.0').trimEnd())
}
rmSync(dir, { recursive: true })
