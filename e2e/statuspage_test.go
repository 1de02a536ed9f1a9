package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
)

// The page of an agent that works, of one whose collector is gone, and of one that is gone itself, in Debian's Chromium.
func TestTheStatusPage(t *testing.T) {
	t.Parallel()
	engine := enginetest.Shared(t)
	c := startCollector(t, engine.DSN())
	c.ready()
	dir := t.TempDir()
	a := startAgent(t, c.grpc, fmt.Sprintf(", tail: [{include: [%q]}]", filepath.Join(dir, "*.log")))
	name := filepath.Join(dir, hostileFile+".log")
	lines, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	b := startBrowser(t)

	p := b.open("http://" + a.admin + "/")
	p.look(1280, 900, "light")
	stop := writing(t, lines, a.grpc)
	p.shows("headline", "Data is safe and flows.")
	p.shows("files", name)
	p.becomes("a rate above 0", rateAbove0)
	p.becomes("all of the file read", `[...document.querySelectorAll("#files td")].some(td => td.textContent.startsWith("100 %"))`)
	p.eval("document.activeElement.blur()")
	p.picture("agent-light")
	p.look(1280, 900, "dark")
	p.picture("agent-dark")
	p.look(360, 740, "light")
	fits(p)
	p.picture("agent-360")
	p.look(1280, 900, "light")
	reachable(p)
	p.eval("document.activeElement.blur()")

	// The collector's own.
	q := b.open("http://" + c.admin + "/")
	q.look(1280, 900, "light")
	q.shows("tables", "otel_logs")
	q.becomes("a rate above 0", rateAbove0)
	q.picture("collector-light")
	q.clean(c.admin)
	p.do("Page.bringToFront", nil) // a page that nobody sees asks nothing

	c.kill()
	p.shows("headline", "Data is safe and waits.")
	p.shows("problems", "nobody listens there")
	p.becomes("the rest of the path turned", `document.querySelectorAll("#path .warn, #path .cut").length >= 2`)
	p.picture("broken-light")
	p.look(1280, 900, "dark")
	p.picture("broken-dark")
	p.look(360, 740, "dark")
	fits(p)
	p.picture("broken-360")
	stop()

	a.kill()
	p.becomes("it says that nobody answers", `!document.getElementById("dead").hidden`)
	p.shows("dead-head", "does not answer any more")
	p.look(1280, 900, "light")
	p.picture("gone-light")
	harmless(p)
	p.clean(a.admin)
}

// What a collector says in an error, and what it is called, is shown and not obeyed; and no other page may ask.
func TestTheStatusPageIsNotTheirs(t *testing.T) {
	t.Parallel()
	at, err := kit.Listen()
	if err != nil {
		t.Fatal(err)
	}
	hostile := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		return status.Error(codes.Unavailable, hostileText)
	}))
	go hostile.Serve(at)
	t.Cleanup(hostile.Stop)
	a := startAgent(t, at.Addr().String(), "")
	newLoad(t, a.grpc, t.Name(), 10).some(1)
	b := startBrowser(t)
	p := b.open("http://" + a.admin + "/")
	p.look(1280, 900, "light")
	p.shows("targets", hostileText)
	p.shows("problems", hostileText)
	p.becomes("the warning is there", `document.querySelectorAll("#messages details").length > 0`)
	p.eval(`document.querySelectorAll("details").forEach(d => d.open = true)`)
	p.shows("messages", hostileText)
	p.shows("messages", "The next hop is away")
	p.shows("config", "forward:")
	p.picture("hostile-light")
	harmless(p)
	p.clean(a.admin)

	// Another site's page, and a name of somebody else's that leads here.
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><title>site</title>") }))
	defer site.Close()
	evil := b.open(site.URL)
	evil.becomes("loaded", `document.title === "site"`)
	for _, mode := range []string{"cors", "no-cors"} {
		got := evil.eval(fmt.Sprintf(`fetch("http://%s/status", {mode: %q}).then(r => r.text()).then(t => "got " + t.length, e => "no: " + e.message)`, a.admin, mode))
		if text, _ := got.(string); text != "got 0" && !strings.HasPrefix(text, "no: ") {
			t.Errorf("another site's page reads the status with %s: %v", mode, got)
		}
	}
	_, port, err := net.SplitHostPort(a.admin)
	if err != nil {
		t.Fatal(err)
	}
	evil.goTo("http://rebound.localhost:" + port + "/status") // which the browser takes for 127.0.0.1
	evil.becomes("refused", `document.body && document.body.innerText.includes("this admin port is for this machine")`)
}

// harmless fails if something that was a text has become more.
func harmless(p *webPage) {
	p.b.t.Helper()
	if got := p.eval("document.title"); strings.HasPrefix(got.(string), "owned") {
		p.b.t.Error("a text was obeyed")
	}
	if got := p.eval(`document.querySelectorAll("img, iframe, main script, [onerror]").length`); got != 0.0 {
		p.b.t.Errorf("%v elements came out of a text", got)
	}
}

const hostileText = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`

const rateAbove0 = `parseFloat(document.querySelector("#figures dd").textContent) > 0`

// hostileFile is a name for a log.
const hostileFile = "<img src=x onerror=document.title='owned'>"

// writing writes lines and sends records until it is stopped.
func writing(t *testing.T, to *os.File, grpc string) (stop func()) {
	t.Helper()
	load := newLoad(t, grpc, t.Name(), 50)
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	writers.Go(func() { load.run(ctx, 1, 100*time.Millisecond) })
	writers.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				fmt.Fprintf(to, "{\"event\":\"line %d\",\"level\":\"info\"}\n", n)
			}
		}
	})
	return func() { cancel(); writers.Wait() }
}

// fits fails if the page has to be moved sideways, or something of it is cut off.
func fits(p *webPage) {
	p.b.t.Helper()
	p.becomes("drawn for the width", "innerWidth === 360")
	if got := p.eval(`document.documentElement.scrollWidth + " of " + document.documentElement.clientWidth`); got != "360 of 360" {
		p.b.t.Errorf("the page is %v wide: %v", got, p.eval(`[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > 361).map(e => e.tagName + "." + e.className + "#" + e.id).join(" ")`))
	}
}

// reachable has Tab go once around, and fails if it comes to nothing that it should.
func reachable(p *webPage) {
	p.b.t.Helper()
	p.eval("document.activeElement.blur()")
	seen := make(map[string]bool)
	for range 40 {
		p.press("Tab", 9)
		at := p.eval(`(e => [e.tagName, e.id, e.className, e.getAttribute("aria-label") || ""].join("|") + "|" + getComputedStyle(e).outlineStyle)(document.activeElement)`).(string)
		if seen[at] {
			break
		}
		seen[at] = true
	}
	for _, want := range []string{"A||skip||solid", "BUTTON|pause|||solid", "DIV||box scroll|Log files, those with most unread first|solid", "SUMMARY||||solid"} {
		if !seen[want] {
			p.b.t.Errorf("Tab does not come to %s with a ring around it: it came to %v", want, seen)
		}
	}
}

// A standalone process has the whole path on one page: no stage is squeezed, wherever it is drawn side by side.
func TestTheStatusPageOfAStandaloneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	admin, grpc := port(t), port(t)
	file := config(t, fmt.Sprintf(`
receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}}
wal: {min_free_mib: 64}
admin: {endpoint: %q}
collector:
  receivers: {otlp: {grpc: {endpoint: %q}, http: {endpoint: %q}}}
  admin: {endpoint: %q}
`, grpc, port(t), admin, port(t), port(t), port(t)))
	s := start(t, "standalone", admin, "standalone", "--data-dir", dir, "--config", file, "--clickhouse", enginetest.Shared(t).DSN())
	s.ready()
	newLoad(t, grpc, t.Name(), 100).some(3)
	p := startBrowser(t).open("http://" + admin + "/")
	for _, width := range []int{1500, 1281, 1100, 360} {
		p.look(width, 900, "light")
		p.becomes("drawn for the width", fmt.Sprintf("innerWidth === %d", width))
		p.becomes("rows in ClickHouse", `document.querySelectorAll("#path .stage").length === 6 && document.querySelector("#path .stage:last-child .state").textContent === "inserting"`)
		if got := p.eval(`[...document.querySelectorAll("#path .stage dd")].filter(d => d.clientWidth < 40).length + " squeezed, " + (document.documentElement.scrollWidth - document.documentElement.clientWidth) + " too wide"`); got != "0 squeezed, 0 too wide" {
			t.Errorf("at %d: %v", width, got)
		}
		p.picture(fmt.Sprintf("standalone-%d", width))
	}
	p.clean(admin)
}
