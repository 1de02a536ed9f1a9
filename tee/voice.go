package tee

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// A voice says things on stderr, which may be a stuck pipe too: what cannot be said at once waits
// behind a few others or is left out. It never holds anybody up.
type voice struct {
	lines chan string
	over  chan struct{}
	out   io.Writer
	wg    sync.WaitGroup

	mu   sync.Mutex
	last map[string]time.Time
}

const (
	seldom    = 10 * time.Second // between two lines about the same
	voiceWait = time.Second      // for stderr at the end
)

func newVoice(out io.Writer) *voice {
	v := &voice{lines: make(chan string, 16), over: make(chan struct{}), out: out, last: make(map[string]time.Time)}
	v.wg.Go(v.run)
	return v
}

func (v *voice) run() {
	for {
		select {
		case l := <-v.lines:
			io.WriteString(v.out, l)
			continue
		default:
		}
		select {
		case l := <-v.lines:
			io.WriteString(v.out, l)
		case <-v.over:
			if len(v.lines) == 0 {
				return
			}
		}
	}
}

func (v *voice) say(format string, args ...any) {
	select {
	case v.lines <- "spillway tee: " + fmt.Sprintf(format, args...) + "\n":
	default:
	}
}

// seldom says what text returns, unless something was said about it in the last 10 s.
func (v *voice) seldom(about string, text func() string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := time.Now(); now.Sub(v.last[about]) >= seldom {
		v.last[about] = now
		v.say("%s", text())
	}
}

// close waits a moment for what is to be said. A stuck stderr keeps the goroutine until the process ends.
func (v *voice) close() {
	close(v.over)
	said := make(chan struct{})
	go func() { v.wg.Wait(); close(said) }()
	select {
	case <-said:
	case <-time.After(voiceWait):
	}
}
