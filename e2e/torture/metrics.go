package main

import (
	"strconv"
	"strings"
)

// scrape returns the samples whose names begin with spillway_, as "name{labels}".
func scrape(url string) (map[string]float64, error) {
	said, err := get(url)
	if err != nil {
		return nil, err
	}
	all := make(map[string]float64)
	for line := range strings.Lines(string(said)) {
		line = strings.TrimSpace(line)
		end := strings.LastIndexByte(line, ' ')
		if end < 0 || !strings.HasPrefix(line, "spillway_") {
			continue
		}
		if all[line[:end]], err = strconv.ParseFloat(line[end+1:], 64); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// total adds up the samples of a metric whose labels contain all of labels.
func total(m map[string]float64, name string, labels ...string) (sum float64) {
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
