-- One row again, by its key and where it lies.
SELECT * FROM otel_logs
WHERE Timestamp = {row_timestamp:DateTime64(9)} AND ServiceName = {row_service:String} AND toDate(Timestamp, 'UTC') = toDate({row_timestamp:DateTime64(9)}, 'UTC')
    AND toStartOfFiveMinutes(Timestamp) = toStartOfFiveMinutes({row_timestamp:DateTime64(9)}) AND _block_number = {row_block:UInt64} AND _block_offset = {row_offset:UInt64}
LIMIT 1
