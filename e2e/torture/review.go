package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spillway-io/spillway/e2e/kit"
)

// review is what went wrong beside numbers: processes that ended by themselves, what the harness
// could not do, damage that no ledger tells of, and accounts that do not add up.
func (c *cluster) review() (findings []string) {
	for _, p := range c.processes() {
		p.mu.Lock()
		findings = append(findings, p.falls...)
		p.mu.Unlock()
	}
	c.mu.Lock()
	findings = append(findings, c.foundBy...)
	c.mu.Unlock()
	for _, a := range c.agents {
		findings = append(findings, a.untold()...)
		findings = append(findings, a.account("agent")...)
	}
	for _, n := range c.collectors {
		findings = append(findings, n.account("collector")...)
	}
	return findings
}

// account holds, for each signal, in + recovered = out + held + lost.
func (n *node) account(hop string) (findings []string) {
	m, err := n.metrics()
	if err != nil {
		return []string{fmt.Sprintf("%s does not answer: %v", n.name, err)}
	}
	for _, wrong := range kit.Unbalanced(m, hop) {
		findings = append(findings, n.name+", "+wrong)
	}
	return findings
}

// untold are the generations that were destroyed and of which the ledger does not tell.
func (a *agent) untold() (findings []string) {
	told := make(map[generation]bool)
	for _, name := range []string{"ledger.jsonl.1", "ledger.jsonl"} {
		if err := readLedger(filepath.Join(a.wal, name), told); err != nil && !errors.Is(err, os.ErrNotExist) {
			findings = append(findings, err.Error())
		}
	}
	for _, g := range a.destroyed {
		if !told[generation{Lane: g.Lane, Number: g.Number}] {
			findings = append(findings, fmt.Sprintf("%s: %s with %d records was destroyed, and its ledger says nothing of it", a.name, g, g.Records))
		}
	}
	return findings
}

// readLedger notes the generations of which a line says that something in them was corrupt.
func readLedger(name string, told map[generation]bool) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		var line struct{ Lane, Reason, Detail string }
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		words := strings.Fields(line.Detail)
		if line.Reason != "corrupt" || len(words) < 2 {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSuffix(words[1], ","), 10, 64); err == nil && words[0] == "generation" {
			told[generation{Lane: line.Lane, Number: fmt.Sprintf("%016x", n)}] = true
		}
	}
	return s.Err()
}
