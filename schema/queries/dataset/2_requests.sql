-- What happened: 336,000 requests over two days, each through up to five services, one of each tier, with what is needed to tell it in spans, lines and
-- points. Everything follows from the request's number. Requests go to popular services more often than to others, take a log-normal time, and fail
-- in one of fifty cases. Every six hours, for ten minutes, one of the web services waits for its database in one of five requests; elsewhere
-- that is one request in 33,600. The last minute of a day is left empty, so that no trace crosses midnight and each day is one part.
CREATE TABLE requests ENGINE = Memory AS
WITH
    (salt -> (cityHash64(number, salt) + 0.5) / 18446744073709551616) AS u,
    intDiv(number, 168000) AS day,
    86340. * (number % 168000) / 168000 AS second,
    intDiv(86400 * day + second - 18000, 21600) AS incident,
    86400 * day + second - 18000 - 21600 * incident AS since
SELECT
    toUInt32(number) AS id,
    lower(hex(sipHash128(number))) AS trace,
    fromUnixTimestamp64Nano(toInt64(1795132800000000000 + 86400000000000 * day + 1000000000 * second), 'UTC') AS begins,
    toUInt8(floor(12 * pow(u('web'), 2))) AS web,
    [web,
        12 + (web * 3 + floor(3 * pow(u('api'), 2))) % 12,
        24 + (web * 5 + floor(3 * pow(u('worker'), 2))) % 12,
        36 + (web * 7 + floor(2 * pow(u('store'), 2))) % 12,
        48 + (web * 11 + floor(3 * pow(u('sync'), 2))) % 12]::Array(UInt8) AS hops,
    toUInt8(floor(8 * pow(u('operation'), 2))) AS operation,
    toUInt8(3 + floor(7 * u('spans'))) AS spans,
    (since >= 0 AND since < 600 AND web = incident % 4 AND u('slow') < 0.2) OR number % 33600 = 17 AS slow,
    u('failed') < if(slow, 0.5, 0.02) AS failed,
    toUInt64(if(slow,
        1.8e9 + 1e10 * pow(u('wait'), 3),
        1e7 * (1 + operation % 4) * exp(0.8 * sqrt(-2 * log(u('a'))) * cos(2 * pi() * u('b'))))) AS took
FROM numbers(336000)
