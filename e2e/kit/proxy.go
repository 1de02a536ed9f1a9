// Package kit is what the end-to-end programs and tests share: a TCP proxy with weather, ports,
// metrics as a process shows them, and pieces of OTLP.
package kit

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// A Proxy stands between two processes, on TCP, and has weather.
type Proxy struct {
	targets  []string // one of them for each connection
	listener net.Listener
	serving  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	r       *rand.Rand
	links   map[*link]struct{}
	weather Weather
	changed chan struct{} // closed and replaced when the weather changes
}

// Weather is what befalls all that passes.
type Weather struct {
	Stalled bool          // nothing passes
	Deaf    bool          // no answers pass
	Delay   time.Duration // of each piece
	Cutting bool          // no answers pass, and when Budget is used up every connection is cut
	Budget  int           // bytes of requests
}

// A link is a connection and the one that it goes on as.
type link struct {
	client, server *net.TCPConn
	once           sync.Once
	closed         chan struct{}
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.closed)
		l.client.Close()
		l.server.Close()
	})
}

// NewProxy begins to pass connections on to targets, one of them for each; seed says which.
func NewProxy(seed uint64, targets ...string) (*Proxy, error) {
	l, err := Listen()
	if err != nil {
		return nil, err
	}
	p := &Proxy{targets: targets, listener: l, r: rand.New(rand.NewPCG(seed, 0)), links: make(map[*link]struct{}), changed: make(chan struct{})}
	p.serving.Go(p.serve)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends everything, and waits for it.
func (p *Proxy) Close() {
	p.listener.Close()
	p.Set(Weather{})
	p.Cut()
	p.serving.Wait()
}

func (p *Proxy) serve() {
	for {
		conn, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.serving.Go(func() { p.join(conn.(*net.TCPConn)) })
		}
	}
}

// join connects the client to one of the targets, in random order, and passes bytes on.
func (p *Proxy) join(client *net.TCPConn) {
	defer client.Close()
	p.mu.Lock()
	order := p.r.Perm(len(p.targets))
	p.mu.Unlock()
	for _, i := range order {
		conn, err := net.DialTimeout("tcp", p.targets[i], time.Second)
		if err != nil {
			continue
		}
		l := &link{client: client, server: conn.(*net.TCPConn), closed: make(chan struct{})}
		p.mu.Lock()
		p.links[l] = struct{}{}
		p.mu.Unlock()
		var passing sync.WaitGroup
		passing.Go(func() { p.pass(l, l.client, l.server, false) })
		passing.Go(func() { p.pass(l, l.server, l.client, true) })
		passing.Wait()
		l.close()
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
		return
	}
}

// pass copies one direction until it ends or the link is closed.
func (p *Proxy) pass(l *link, from, to *net.TCPConn, answers bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !p.admit(l, answers) {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				l.close()
				return
			}
			if !answers {
				p.spend(n)
			}
		}
		if errors.Is(err, io.EOF) {
			_ = to.CloseWrite() // it may be closed already
			return
		}
		if err != nil {
			l.close()
			return
		}
	}
}

// admit waits until a piece may pass; false: the link is closed.
func (p *Proxy) admit(l *link, answers bool) bool {
	for {
		p.mu.Lock()
		w, changed := p.weather, p.changed
		p.mu.Unlock()
		held := w.Stalled || answers && (w.Deaf || w.Cutting)
		if !held && w.Delay == 0 {
			return true
		}
		var late <-chan time.Time
		if !held {
			late = time.After(w.Delay)
		}
		select {
		case <-late:
			return true
		case <-changed:
		case <-l.closed:
			return false
		}
	}
}

// spend uses up the budget of a cut that is armed.
func (p *Proxy) spend(n int) {
	p.mu.Lock()
	w := p.weather
	p.weather.Budget -= n
	p.mu.Unlock()
	if w.Cutting && w.Budget <= n {
		p.Cut()
		p.Set(Weather{})
	}
}

// Set changes the weather.
func (p *Proxy) Set(w Weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weather = w
	close(p.changed)
	p.changed = make(chan struct{})
}

// each calls f for every link there is.
func (p *Proxy) each(f func(l *link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		f(l)
	}
}

// Cut closes every connection.
func (p *Proxy) Cut() { p.each((*link).close) }

// HalfClose ends one direction of every connection: the client hears that the server says no
// more, or the other way around.
func (p *Proxy) HalfClose(towardsClient bool) {
	p.each(func(l *link) {
		half := l.server
		if towardsClient {
			half = l.client
		}
		_ = half.CloseWrite() // it may be closed already
	})
}
