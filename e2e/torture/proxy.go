package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// A proxy stands between two processes, on TCP, and has weather.
type proxy struct {
	name     string
	targets  []string // one of them for each connection
	listener net.Listener
	serving  sync.WaitGroup
	turn     sync.Mutex // held by the fault that has the proxy

	mu      sync.Mutex // guards what follows
	r       *rand.Rand
	links   map[*link]struct{}
	weather weather
	changed chan struct{} // closed and replaced when the weather changes
}

// weather is what befalls all that passes.
type weather struct {
	stalled bool          // nothing passes
	deaf    bool          // no answers pass
	delay   time.Duration // of each piece
	cutting bool          // no answers pass, and when budget is used up every connection is cut
	budget  int           // bytes of requests
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

func newProxy(name string, seed uint64, targets ...string) (*proxy, error) {
	l, err := listen()
	if err != nil {
		return nil, err
	}
	p := &proxy{name: name, targets: targets, listener: l, r: rand.New(rand.NewPCG(seed, 0)), links: make(map[*link]struct{}), changed: make(chan struct{})}
	p.serving.Go(p.serve)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// close ends everything, and waits for it.
func (p *proxy) close() {
	p.listener.Close()
	p.set(weather{})
	p.cut()
	p.serving.Wait()
}

func (p *proxy) serve() {
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
func (p *proxy) join(client *net.TCPConn) {
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
func (p *proxy) pass(l *link, from, to *net.TCPConn, answers bool) {
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
func (p *proxy) admit(l *link, answers bool) bool {
	for {
		p.mu.Lock()
		w, changed := p.weather, p.changed
		p.mu.Unlock()
		held := w.stalled || answers && (w.deaf || w.cutting)
		if !held && w.delay == 0 {
			return true
		}
		var late <-chan time.Time
		if !held {
			late = time.After(w.delay)
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
func (p *proxy) spend(n int) {
	p.mu.Lock()
	w := p.weather
	p.weather.budget -= n
	p.mu.Unlock()
	if w.cutting && w.budget <= n {
		p.cut()
		p.set(weather{})
	}
}

func (p *proxy) set(w weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weather = w
	close(p.changed)
	p.changed = make(chan struct{})
}

// during has weather w for d, or until ctx is done.
func (p *proxy) during(ctx context.Context, w weather, d time.Duration) {
	p.set(w)
	wait(ctx, d)
	p.set(weather{})
}

// each calls f for every link there is.
func (p *proxy) each(f func(l *link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		f(l)
	}
}

// cut closes every connection.
func (p *proxy) cut() { p.each((*link).close) }

// halfClose ends one direction of every connection: the client hears that the server says no
// more, or the other way around.
func (p *proxy) halfClose(towardsClient bool) {
	p.each(func(l *link) {
		half := l.server
		if towardsClient {
			half = l.client
		}
		_ = half.CloseWrite() // it may be closed already
	})
}
