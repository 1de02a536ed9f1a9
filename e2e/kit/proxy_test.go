package kit

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"
)

// echo is a server that repeats lines and hands out what it got.
func echo(t *testing.T) (addr string, got <-chan string) {
	t.Helper()
	l, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	lines := make(chan string, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for s := bufio.NewScanner(conn); s.Scan(); {
					lines <- s.Text()
					io.WriteString(conn, s.Text()+"\n")
				}
			}()
		}
	}()
	return l.Addr().String(), lines
}

// A rope is a connection through a proxy.
type rope struct {
	net.Conn
	t     *testing.T
	lines *bufio.Reader
}

func pull(t *testing.T, p *Proxy) *rope {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rope{conn, t, bufio.NewReader(conn)}
}

func (r *rope) say(line string) {
	r.t.Helper()
	if _, err := io.WriteString(r, line+"\n"); err != nil {
		r.t.Fatal(err)
	}
}

// hears is an answer within d, or how that ended.
func (r *rope) hears(d time.Duration) (string, error) {
	r.SetReadDeadline(time.Now().Add(d))
	return r.lines.ReadString('\n')
}

func TestWeather(t *testing.T) {
	addr, got := echo(t)
	p, err := NewProxy(1, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const soon, long = 50 * time.Millisecond, 10 * time.Second
	arrives := func(want string) {
		t.Helper()
		limit := time.After(long)
		for {
			select {
			case line := <-got:
				if line == want { // else it was cut off, and came through before that
					return
				}
			case <-limit:
				t.Fatalf("%q did not arrive", want)
			}
		}
	}

	r := pull(t, p)
	r.say("fine")
	arrives("fine")
	if line, err := r.hears(long); line != "fine\n" {
		t.Errorf("fine: %q, %v", line, err)
	}

	p.Set(Weather{Stalled: true})
	r.say("stalled")
	if line, err := r.hears(soon); err == nil || len(got) > 0 {
		t.Errorf("stalled: %q, %d lines arrived", line, len(got))
	}
	p.Set(Weather{Delay: soon})
	arrives("stalled")
	if line, err := r.hears(long); line != "stalled\n" {
		t.Errorf("stalled no more: %q, %v", line, err)
	}

	p.Set(Weather{Deaf: true})
	r.say("deaf")
	arrives("deaf")
	if line, err := r.hears(soon); err == nil {
		t.Errorf("deaf: %q", line)
	}
	p.Cut()
	if line, err := r.hears(long); err == nil || line != "" {
		t.Errorf("cut: %q, %v", line, err)
	}

	r = pull(t, p)
	p.Set(Weather{Cutting: true, Budget: len("cutting\n") + 1})
	r.say("cutting")
	arrives("cutting")
	r.say("cut")
	if line, err := r.hears(long); err == nil || line != "" {
		t.Errorf("cut after a request: %q, %v", line, err)
	}

	r = pull(t, p)
	r.say("half")
	arrives("half")
	if _, err := r.hears(long); err != nil {
		t.Error(err)
	}
	p.HalfClose(true)
	if line, err := r.hears(long); err != io.EOF || line != "" {
		t.Errorf("half-closed: %q, %v", line, err)
	}
	r.say("the other half")
	arrives("the other half")
}
