package main

import (
	"strings"
	"testing"
)

func TestWhatItCannotDoIsSaidAtOnce(t *testing.T) {
	t.Setenv("SPILLWAY_ENGINE_LIB", "main.go") // is there, and never gets loaded
	for args, want := range map[string]string{
		"":                                       "no data directory",
		"--data-dir x --http 0.0.0.0:0":          "--insecure-listen",
		"--data-dir x --native localhost:0":      "--insecure-listen",
		"--data-dir x --http nonsense":           "missing port",
		"--data-dir x y":                         `unexpected argument "y"`,
		"--engine-lib no/such/file --data-dir x": "no/such/file",
	} {
		if err := run(strings.Fields(args)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}
