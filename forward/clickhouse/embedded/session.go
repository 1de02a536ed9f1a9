package embedded

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/ch-go/proto"
)

const (
	// slotWait is how long a statement waits for others to end before it is refused.
	slotWait = 10 * time.Second
	// killEvery is how often a KILL QUERY is repeated: one that comes before the statement has started finds nothing to kill.
	killEvery = 50 * time.Millisecond
)

// engine hands out sessions, at most cap(slots) at a time. A session is opened for one statement and closed after it, so that
// nothing of a client's session (settings, SET, USE, temporary tables) can leak into another's. That costs 0.6 ms; setting a used
// one back is hardly cheaper and can be got wrong.
type engine struct {
	args     []string // of connect
	database string   // stands for "default" and for none
	version  string   // SELECT version()
	timezone string
	slots    chan struct{}
	log      *slog.Logger

	mu   sync.Mutex // guards root, which runs one statement at a time
	root *conn      // keeps the engine alive, and kills statements
}

func openEngine(c Config, args []string) (*engine, error) {
	root, err := connect(args)
	if err != nil {
		return nil, err
	}
	e := &engine{args: args, database: c.Database, slots: make(chan struct{}, c.MaxStatements), log: c.Log, root: root}
	row, _, err := root.query("SELECT version(), timezone()", "TSVRaw")
	if err == nil {
		e.version, e.timezone, _ = strings.Cut(strings.TrimSpace(string(row)), "\t")
		err = root.exec("CREATE DATABASE IF NOT EXISTS " + quoteName(c.Database))
	}
	if err != nil {
		root.close()
		return nil, err
	}
	return e, nil
}

// close shuts the engine down, for good in this process. No session may be open.
func (e *engine) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.root.close()
}

// kill asks the engine to stop the statement with the tag, and does not wait for it: the engine forgets a killed statement only
// at the next one of its session, so KILL … SYNC would wait for ever.
func (e *engine) kill(tag string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.root.exec("KILL QUERY WHERE Settings['log_comment'] = " + quote(tag) + " ASYNC"); err != nil {
		e.log.Warn("statement of a client that left could not be stopped", "err", err)
	}
}

// session is one statement's own connection into the engine.
type session struct {
	*conn
	engine *engine
	tag    string // the log_comment by which kill finds the statement
}

// open waits for a free slot and opens a session in the database, with the settings and the query parameters (in ClickHouse's
// escaped form) set. Close it.
func (e *engine) open(ctx context.Context, database string, settings, params map[string]string) (*session, error) {
	if err := e.takeSlot(ctx); err != nil {
		return nil, err
	}
	s := &session{engine: e, tag: rand.Text()}
	if comment := settings["log_comment"]; comment != "" {
		s.tag = comment + " " + s.tag
	}
	var err error
	if s.conn, err = connect(append(slices.Clip(e.args), "--log_comment="+s.tag)); err != nil {
		<-e.slots
		return nil, err
	}
	if err := s.prepare(database, settings, params); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (e *engine) takeSlot(ctx context.Context) error {
	select {
	case e.slots <- struct{}{}:
		return nil
	default:
	}
	patience := time.NewTimer(slotWait)
	defer patience.Stop()
	select {
	case e.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-patience.C:
		return exception(proto.ErrTooManySimultaneousQueries, "TOO_MANY_SIMULTANEOUS_QUERIES",
			fmt.Sprintf("Too many simultaneous queries. Maximum: %d", cap(e.slots)))
	}
}

var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

func (s *session) prepare(database string, settings, params map[string]string) error {
	if database == "" || database == "default" {
		database = s.engine.database
	}
	if err := s.exec("USE " + quoteName(database)); err != nil {
		return err
	}
	var set []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if !settingName.MatchString(name) {
			return exception(proto.ErrUnknownSetting, "UNKNOWN_SETTING", fmt.Sprintf("Unknown setting %q", name))
		}
		if name != "log_comment" { // is part of the tag
			set = append(set, name+" = "+quote(settings[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !settingName.MatchString(name) {
			return exception(proto.ErrBadArguments, "BAD_ARGUMENTS", fmt.Sprintf("Bad name of a query parameter: %q", name))
		}
		set = append(set, "param_"+name+" = "+quote(params[name]))
	}
	if len(set) == 0 {
		return nil
	}
	return s.exec("SET " + strings.Join(set, ", "))
}

func (s *session) close() {
	s.conn.close()
	<-s.engine.slots
}

// cancellable runs f, which runs a statement of this session, and stops the statement when ctx ends before it.
func (s *session) cancellable(ctx context.Context, f func() error) error {
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-ended:
			return
		case <-ctx.Done():
		}
		again := time.NewTicker(killEvery)
		defer again.Stop()
		for {
			s.engine.kill(s.tag)
			select {
			case <-ended:
				return
			case <-again.C:
			}
		}
	}()
	err := f()
	close(ended)
	<-watched
	return err
}

var (
	stringEscaper = strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	nameEscaper   = strings.NewReplacer(`\`, `\\`, "`", "\\`")
)

func quote(s string) string     { return "'" + stringEscaper.Replace(s) + "'" }
func quoteName(s string) string { return "`" + nameEscaper.Replace(s) + "`" }
