package lines

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// benchLines are of the size and shape that a service's lines mostly have.
var benchLines = map[string]string{
	"Structlog": `{"user_id": "u-48151623", "path": "/api/v1/orders/8812/items?expand=prices&currency=EUR", "status": 201, ` +
		`"duration_ms": 12.847, "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", ` +
		`"event": "request finished for a customer whose name is not told, with an ordinary message of this length", ` +
		`"logger": "ops_backend.api.orders", "level": "info", "timestamp": "2024-05-06T07:08:09.123456Z"}`,
	"Nested": `{"event": "cart checked out", "cart": {"id": 88, "items": [{"sku": "A-1", "n": 2}, {"sku": "B-7", "n": 1}], "total": 129.95}, ` +
		`"flags": ["beta", "eu"], "logger": "shop.cart", "level": "warning", "timestamp": "2024-05-06T07:08:09.123456Z"}`,
	"Exception": `{"event": "payment failed", "order": 8812, "exception": "Traceback (most recent call last):\n  File \"/app/orders.py\", line 12, in pay\n` +
		strings.Repeat(`    raise Declined(card)\n  File \"/app/cards.py\", line 40, in charge\n`, 12) +
		`shop.errors.Declined: card of \"M. M\u00fcller\" was declined", "level": "error", "timestamp": "2024-05-06T07:08:09.123456Z"}`,
	"Unicode": `{"event": "заказ принят: доставка завтра после обеда, подпись получателя обязательна", "город": "Санкт-Петербург", "level": "info", ` +
		`"timestamp": "2024-05-06T07:08:09.123456Z"}`,
	"Plain":   "\x1b[32mINFO\x1b[0m  [2024-05-06 07:08:09] order 8812 of a customer whose name is not told was paid",
	"Uvicorn": "\x1b[32mINFO\x1b[0m:     127.0.0.1:51234 - \"GET /api/v1/orders/8812 HTTP/1.1\" 200 OK",
	"Joined": "2024-05-06 07:08:09 ERROR shop.orders - payment failed\njava.lang.IllegalStateException: card was declined" +
		strings.Repeat("\n\tat org.example.shop.orders.Payment.charge(Payment.java:40)", 25),
	"Broken": `{"event": "request finished", "user_id": "u-4815{"event": "request finished", "user_id": "u-4815", "level": "info"}`,
}

// cpu is the processor time that the process has used, which other processes do not change.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAdd measures lines per second of processor time, in bodies of 1000 lines.
func BenchmarkAdd(b *testing.B) {
	for _, name := range []string{"Structlog", "Nested", "Exception", "Unicode", "Plain", "Uvicorn", "Joined", "Broken"} {
		b.Run(name, func(b *testing.B) {
			line := []byte(benchLines[name])
			e, r := NewEncoder(Options{}), NewResource("/var/log/pods/shop_web-0_1f2e/app/0.log", nil)
			at := time.Unix(1714979289, 123456789)
			e.Begin(r)
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			before := cpu()
			for i := 0; b.Loop(); i++ {
				e.Add(line, at, at, "stdout", false, false)
				if i%1000 == 999 {
					e.Finish()
					e.Begin(r)
				}
			}
			b.ReportMetric(float64(b.N)/(cpu()-before).Seconds(), "lines/cpu-s")
		})
	}
}
