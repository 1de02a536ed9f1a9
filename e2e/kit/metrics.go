package kit

import (
	"fmt"
	"strconv"
	"strings"
)

// Samples reads what /metrics says, as "name{labels}".
func Samples(said []byte) (map[string]float64, error) {
	all := make(map[string]float64)
	for line := range strings.Lines(string(said)) {
		line = strings.TrimSpace(line)
		end := strings.LastIndexByte(line, ' ')
		if end < 0 || line[0] == '#' {
			continue
		}
		var err error
		if all[line[:end]], err = strconv.ParseFloat(line[end+1:], 64); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Total adds up the samples of a metric whose labels contain all of labels.
func Total(m map[string]float64, name string, labels ...string) (sum float64) {
samples:
	for sample, v := range m {
		if sample != name && !strings.HasPrefix(sample, name+"{") {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(sample, l) {
				continue samples
			}
		}
		sum += v
	}
	return sum
}

// Unbalanced says for which signals of a hop, "agent" or "collector", in + recovered = out + held +
// lost does not hold.
func Unbalanced(m map[string]float64, hop string) (wrong []string) {
	h := fmt.Sprintf("hop=%q", hop)
	for _, signal := range []string{"logs", "traces", "metrics"} {
		s := fmt.Sprintf("signal=%q", signal)
		in := Total(m, "spillway_in_items_total", h, s) + Total(m, "spillway_recovered_items", h, s)
		held := Total(m, "spillway_wal_held_items", h, s) + Total(m, "spillway_held_items", h, s)
		out, lost := Total(m, "spillway_out_items_total", h, s), Total(m, "spillway_lost_items_total", h, s)
		if in != out+held+lost {
			wrong = append(wrong, fmt.Sprintf("%s: in and recovered %.0f are not out %.0f, held %.0f and lost %.0f", signal, in, out, held, lost))
		}
	}
	return wrong
}
