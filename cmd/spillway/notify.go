package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A notifier tells the service manager how the process is, by the protocol of sd_notify(3): datagrams
// to the socket that NOTIFY_SOCKET names. nil tells nobody.
type notifier struct {
	conn     *net.UnixConn
	watchdog time.Duration // the manager ends a process that it has not heard of for that long; 0: never
	log      *slog.Logger

	mu     sync.Mutex
	status string // as last sent
}

const (
	// statusEvery is how often the status line is looked at without a watchdog.
	statusEvery = 10 * time.Second
	// notifyTime bounds what one datagram waits for a manager that does not read.
	notifyTime = time.Second
)

// newNotifier is nil when nobody wants to hear.
func newNotifier(env func(string) (string, bool), log *slog.Logger) *notifier {
	socket, _ := env("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		log.Warn("the service manager cannot be told anything", "NOTIFY_SOCKET", socket, "err", err)
		return nil
	}
	return &notifier{conn: conn, watchdog: watchdogTime(env), log: log}
}

// watchdogTime is sd_watchdog_enabled(3).
func watchdogTime(env func(string) (string, bool)) time.Duration {
	if pid, ok := env("WATCHDOG_PID"); ok && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	text, _ := env("WATCHDOG_USEC")
	usec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || usec <= 0 || usec > int64(24*time.Hour/time.Microsecond) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// say sends assignments in one datagram. status, unless it was the last, comes with them.
func (n *notifier) say(status string, assignments ...string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if status != n.status {
		n.status = status
		assignments = append(assignments, "STATUS="+strings.ReplaceAll(status, "\n", "; "))
	}
	if len(assignments) == 0 {
		return
	}
	n.conn.SetWriteDeadline(time.Now().Add(notifyTime))
	if _, err := n.conn.Write([]byte(strings.Join(assignments, "\n"))); err != nil {
		n.log.Warn("the service manager was not told", "what", assignments[0], "err", err)
	}
}

const (
	notifyReady    = "READY=1"
	notifyStopping = "STOPPING=1"
	notifyWatchdog = "WATCHDOG=1"
)

// reloading is to be followed by notifyReady, whatever comes of it.
func (n *notifier) reloading() {
	if n == nil {
		return
	}
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // it does not fail for this clock
	n.say("reading the configuration again", "RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

// run keeps the status line up to date and the watchdog quiet until ctx is done. Between the two is
// status: as long as it does not return, for it looks at what the process works with, the watchdog
// hears nothing.
func (n *notifier) run(ctx context.Context, status func() string) {
	if n == nil {
		return
	}
	every, beat := statusEvery, []string(nil)
	if n.watchdog > 0 {
		every, beat = min(every, n.watchdog/2), []string{notifyWatchdog}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		n.say(status(), beat...)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// close lets go of the socket.
func (n *notifier) close() {
	if n != nil {
		n.conn.Close()
	}
}
