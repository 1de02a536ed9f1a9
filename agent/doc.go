// Package agent is what runs on a node: sources put telemetry into the node's log, and drains
// deliver it from there. Run is the data path from top to bottom, and then the shutdown.
package agent
