package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A browser is Debian's Chromium without a window, driven by its DevTools protocol over a pair of pipes
// (https://chromedevtools.github.io/devtools-protocol): messages are JSON, with a zero byte behind each.
type browser struct {
	t  testing.TB
	to *os.File

	mu      sync.Mutex
	last    int
	waiting map[int]chan answer
	pages   map[string]*webPage // by session
	ended   chan struct{}       // closed when nothing more comes
}

type answer struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

// A webPage is a tab, with what it did.
type webPage struct {
	b       *browser
	session string

	mu       sync.Mutex
	problems []string        // errors and warnings of the console, exceptions, and what the policy forbade
	asked    map[string]bool // hosts
}

// startBrowser ends with the test.
func startBrowser(t testing.TB) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("no chromium: run make deps")
	}
	hisIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, hisOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir="+filepath.Join(t.TempDir(), "profile"), "about:blank")
	var said logBuffer
	cmd.Stderr = &said
	cmd.ExtraFiles = []*os.File{hisIn, hisOut} // 3 and 4, as the flag says
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hisIn.Close()
	hisOut.Close()
	b := &browser{t: t, to: in, waiting: make(map[int]chan answer), pages: make(map[string]*webPage), ended: make(chan struct{})}
	go b.read(out)
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // its helpers, too
		cmd.Wait()
		in.Close()
		<-b.ended
		out.Close()
		if t.Failed() {
			t.Logf("chromium said:\n%s", tail(said.String(), 20))
		}
	})
	return b
}

func (b *browser) read(from io.Reader) {
	defer close(b.ended)
	for in := bufio.NewReader(from); ; {
		line, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID        int
			SessionID string
			Method    string
			Params    json.RawMessage
			answer
		}
		if json.Unmarshal(bytes.TrimSuffix(line, []byte{0}), &m) != nil {
			continue
		}
		b.mu.Lock()
		w, p := b.waiting[m.ID], b.pages[m.SessionID]
		delete(b.waiting, m.ID)
		b.mu.Unlock()
		switch {
		case w != nil:
			w <- m.answer
		case p != nil:
			p.hear(m.Method, m.Params)
		}
	}
}

// call asks, and waits for the answer.
func (b *browser) call(session, method string, params any, result any) error {
	b.mu.Lock()
	b.last++
	id, answered := b.last, make(chan answer, 1)
	b.waiting[id] = answered
	b.mu.Unlock()
	if params == nil {
		params = struct{}{}
	}
	text, err := json.Marshal(struct {
		ID        int    `json:"id"`
		SessionID string `json:"sessionId,omitempty"`
		Method    string `json:"method"`
		Params    any    `json:"params"`
	}{id, session, method, params})
	if err != nil {
		return err
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		return err
	}
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	select {
	case a := <-answered:
		if a.Error != nil {
			return fmt.Errorf("%s: %s", method, a.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(a.Result, result)
	case <-b.ended:
		return fmt.Errorf("%s: the browser has ended", method)
	case <-limit.C:
		return fmt.Errorf("%s: no answer", method)
	}
}

type params map[string]any

// open opens a tab. Before it goes anywhere, what it does is watched.
func (b *browser) open(at string) *webPage {
	b.t.Helper()
	var target struct{ TargetID string }
	var attached struct{ SessionID string }
	err := b.call("", "Target.createTarget", params{"url": "about:blank"}, &target)
	if err == nil {
		err = b.call("", "Target.attachToTarget", params{"targetId": target.TargetID, "flatten": true}, &attached)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	p := &webPage{b: b, session: attached.SessionID, asked: make(map[string]bool)}
	b.mu.Lock()
	b.pages[p.session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.do(domain+".enable", nil)
	}
	p.goTo(at)
	b.t.Cleanup(func() {
		if b.t.Failed() {
			text, err := p.evaluated("document.body.innerText")
			p.mu.Lock()
			defer p.mu.Unlock()
			b.t.Logf("%s complained: %q, %v, and shows:\n%v", at, p.problems, err, text)
		}
	})
	return p
}

func (p *webPage) goTo(at string) { p.b.t.Helper(); p.do("Page.navigate", params{"url": at}) }

func (p *webPage) do(method string, with any) {
	p.b.t.Helper()
	if err := p.b.call(p.session, method, with, nil); err != nil {
		p.b.t.Fatal(err)
	}
}

func (p *webPage) hear(method string, raw json.RawMessage) {
	var e struct {
		Type             string
		Args             []struct{ Value, Description any }
		Entry            struct{ Level, Text, URL string }
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
		Request struct{ URL string }
	}
	if json.Unmarshal(raw, &e) != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch method {
	case "Runtime.consoleAPICalled":
		p.problems = append(p.problems, fmt.Sprint("console: ", e.Type, " ", e.Args))
	case "Runtime.exceptionThrown":
		p.problems = append(p.problems, "exception: "+e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	case "Log.entryAdded":
		if e.Entry.Level != "info" && e.Entry.Level != "verbose" {
			p.problems = append(p.problems, e.Entry.Level+": "+e.Entry.Text+" "+e.Entry.URL)
		}
	case "Network.requestWillBeSent":
		if u, err := url.Parse(e.Request.URL); err == nil && u.Scheme != "data" && u.Scheme != "about" {
			p.asked[u.Host] = true
		}
	}
}

// eval is the value of an expression, as JSON has it.
func (p *webPage) eval(expression string) any {
	p.b.t.Helper()
	v, err := p.evaluated(expression)
	if err != nil {
		p.b.t.Fatal(err)
	}
	return v
}

func (p *webPage) evaluated(expression string) (any, error) {
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	err := p.b.call(p.session, "Runtime.evaluate", params{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if err == nil && r.ExceptionDetails != nil {
		err = errors.New(r.ExceptionDetails.Exception.Description)
	}
	return r.Result.Value, err
}

// becomes waits until an expression is true.
func (p *webPage) becomes(what, expression string) {
	p.b.t.Helper()
	until(p.b.t, what, func() bool {
		v, err := p.evaluated(expression) // while a page is left there is nothing to ask
		return err == nil && v == true
	})
}

// shows waits until the text of an element contains something.
func (p *webPage) shows(id, text string) {
	p.b.t.Helper()
	p.becomes(id+" says "+text, fmt.Sprintf("document.getElementById(%q).textContent.includes(%q)", id, text))
}

// look has the window be of that size and in that scheme, light or dark.
func (p *webPage) look(width, height int, scheme string) {
	p.b.t.Helper()
	p.do("Emulation.setDeviceMetricsOverride", params{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
	p.do("Emulation.setEmulatedMedia", params{"features": []params{{"name": "prefers-color-scheme", "value": scheme}}})
}

// picture is kept where SPILLWAY_PICTURES says, for people; the whole page, whatever the window shows.
func (p *webPage) picture(name string) {
	p.b.t.Helper()
	var shot struct{ Data string }
	if err := p.b.call(p.session, "Page.captureScreenshot", params{"format": "png", "captureBeyondViewport": true}, &shot); err != nil {
		p.b.t.Fatal(err)
	}
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil || !bytes.HasPrefix(png, []byte("\x89PNG")) {
		p.b.t.Fatalf("%s: no picture: %v", name, err)
	}
	if dir := os.Getenv("SPILLWAY_PICTURES"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
			p.b.t.Fatal(err)
		}
	}
}

// press is a key, with what it does.
func (p *webPage) press(key string, code int) {
	p.b.t.Helper()
	for _, kind := range []string{"rawKeyDown", "keyUp"} {
		p.do("Input.dispatchKeyEvent", params{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code})
	}
}

// clean fails for what the browser complained about, and for hosts other than those.
func (p *webPage) clean(hosts ...string) {
	p.b.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		if !strings.Contains(problem, "ERR_CONNECTION_REFUSED") { // of a process that was stopped
			p.b.t.Errorf("the browser complains: %s", problem)
		}
	}
	for host := range p.asked {
		if !slices.Contains(hosts, host) {
			p.b.t.Errorf("the page asked %s", host)
		}
	}
	if len(p.asked) == 0 {
		p.b.t.Error("the page asked nobody: this test looks at nothing")
	}
}
