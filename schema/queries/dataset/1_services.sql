-- The services that send telemetry: twelve domains in five tiers.
CREATE TABLE services ENGINE = Memory AS
WITH
    ['catalog', 'cart', 'checkout', 'payment', 'shipping', 'account', 'search', 'pricing', 'review', 'media', 'mail', 'fraud'] AS domains,
    ['web', 'api', 'worker', 'store', 'sync'] AS tiers
SELECT
    toUInt8(number) AS id,
    domains[number % 12 + 1] AS domain,
    concat(domain, '-', tiers[intDiv(number, 12) + 1]) AS name
FROM numbers(60)
