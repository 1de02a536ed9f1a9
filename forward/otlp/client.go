package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/spillway-io/spillway/forward"
)

// ClientConfig says where batches go.
type ClientConfig struct {
	Endpoints   []string          `yaml:"endpoints"`            // gRPC targets: host:port, dns:///host:port or unix:///path; each name's addresses are used in turn, those that fail are passed over
	Compression string            `yaml:"compression"`          // zstd, gzip or none
	Timeout     time.Duration     `yaml:"timeout"`              // of one attempt; a collector answers when the rows are committed
	TLS         *ClientTLS        `yaml:"tls"`                  // TLS to the peer; without this section: plain text
	Auth        Auth              `yaml:"auth"`                 // what is shown to the peer
	Headers     map[string]string `yaml:"headers" secret:"all"` // gRPC metadata of every request
	// Whether record markers are sent, by which what is sent again is not stored again: auto (to peers that say they know them), on, off.
	Identity string `yaml:"identity"`
}

// Validate names everything that is wrong.
func (c ClientConfig) Validate() error {
	var errs []error
	if len(c.Endpoints) == 0 {
		errs = append(errs, errors.New("endpoints: name at least one collector, for instance dns:///collector:4319"))
	}
	for _, e := range c.Endpoints {
		if strings.HasPrefix(e, "http://") || strings.HasPrefix(e, "https://") {
			errs = append(errs, fmt.Errorf("endpoints: %q: forwarding is by gRPC: write host:port, and tls: for encryption", e))
		}
	}
	switch c.Compression {
	case "zstd", "gzip", "none":
	default:
		errs = append(errs, fmt.Errorf("compression: %q: use zstd, gzip or none", c.Compression))
	}
	switch c.Identity {
	case "auto", "on", "off":
	default:
		errs = append(errs, fmt.Errorf("identity: %q: use auto, on or off", c.Identity))
	}
	if c.Timeout <= 0 {
		errs = append(errs, errors.New("timeout must be positive, for instance 60s"))
	}
	return errors.Join(errs...)
}

const (
	// After a failure an endpoint is passed over, as long as there are others: for a second after
	// the first, twice as long after each further one in a row, and no longer than that.
	maxPassedOver = 30 * time.Second
	// askTime bounds the question that comes before the first batch.
	askTime = 5 * time.Second
	// reconnect bounds the pause between attempts to connect: a collector that is back is seen within it.
	reconnect = 1200 * time.Millisecond
)

// A Client is a Sink that sends each batch to one of several collectors.
type Client struct {
	log   *slog.Logger
	clock forward.Clock
	left  chan struct{} // closed when the last call of the route before this one has returned; Prepare's own

	mu    sync.Mutex
	route *route
	next  int
	woken chan struct{} // closed and replaced when an endpoint becomes ready
}

// A route is one configuration and the connections that it makes.
type route struct {
	cfg       ClientConfig
	endpoints []*endpoint
	stop      context.CancelFunc // of watching; nil before it starts
	watching  sync.WaitGroup
	calls     sync.WaitGroup // Puts under way; grows under Client.mu
}

type endpoint struct {
	name  string
	conn  *grpc.ClientConn
	route *route

	mu          sync.Mutex
	failures    int
	failing     time.Time // since then, without a success
	lastErr     string
	passedOver  time.Time // until then
	compression string
	knows       knowledge // whether it understands markers
}

type knowledge uint8

const (
	notAsked knowledge = iota
	knowsMarkers
	knowsNothing
)

// NewClient connects in the background.
func NewClient(cfg ClientConfig, log *slog.Logger) (*Client, error) {
	r, err := newRoute(cfg)
	if err != nil {
		return nil, err
	}
	c := &Client{log: log, route: r, left: make(chan struct{}), woken: make(chan struct{})}
	close(c.left)
	c.start(r)
	return c, nil
}

// newRoute does not connect yet.
func newRoute(cfg ClientConfig) (*route, error) {
	secure, err := cfg.TLS.Config()
	if err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if secure != nil {
		creds = credentials.NewTLS(secure)
	}
	r := &route{cfg: cfg}
	for _, name := range cfg.Endpoints {
		conn, err := grpc.NewClient(name,
			grpc.WithTransportCredentials(creds),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(1<<20), grpc.WaitForReady(false)),
			grpc.WithDisableRetry(), // a retry that we do not see could store a batch twice
			grpc.WithDisableServiceConfig(),
			grpc.WithStatsHandler(sentHandler{}),
			grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`),
			grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 5 * time.Second,
				Backoff: backoff.Config{BaseDelay: reconnect / 4, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnect}}),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true}),
			grpc.WithInitialWindowSize(minWindow))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("endpoint %s: %w", name, err), r.close())
		}
		r.endpoints = append(r.endpoints, &endpoint{name: name, conn: conn, route: r, compression: cfg.Compression})
	}
	return r, nil
}

func (c *Client) start(r *route) {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	for _, e := range r.endpoints {
		r.watching.Go(func() { c.watch(ctx, e) })
	}
}

// close waits for nobody's call.
func (r *route) close() error {
	if r.stop != nil {
		r.stop()
	}
	r.watching.Wait()
	var errs []error
	for _, e := range r.endpoints {
		errs = append(errs, e.conn.Close())
	}
	return errors.Join(errs...)
}

// Prepare makes ready to send by cfg, and reads the certificates that it names. Either apply has batches
// to come go that way, while calls under way end where they are, or discard drops it. Prepare waits, until ctx
// is done, for the last call from before the change before, which is its Timeout at most: connections are
// there twice, never more often. One goroutine calls it, and what it returns.
func (c *Client) Prepare(ctx context.Context, cfg ClientConfig) (apply, discard func(), err error) {
	select {
	case <-c.left:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	r, err := newRoute(cfg)
	if err != nil {
		return nil, nil, err
	}
	apply = func() {
		c.start(r)
		c.mu.Lock()
		old := c.route
		c.route = r
		c.mu.Unlock()
		left := make(chan struct{})
		c.left = left
		go func() {
			defer close(left)
			old.calls.Wait() // no more come
			old.close()
		}()
	}
	return apply, func() { r.close() }, nil
}

// Close ends all connections. Nobody is in Put, or in Prepare, any more.
func (c *Client) Close() error {
	<-c.left
	return c.route.close()
}

// watch keeps e connected and wakes those who wait when it has become ready.
func (c *Client) watch(ctx context.Context, e *endpoint) {
	for {
		state := e.conn.GetState()
		switch state {
		case connectivity.Idle:
			e.conn.Connect()
		case connectivity.Ready:
			e.mu.Lock()
			e.failures, e.passedOver, e.knows = 0, time.Time{}, notAsked
			e.mu.Unlock()
			c.wake()
		}
		if !e.conn.WaitForStateChange(ctx, state) {
			return
		}
	}
}

func (c *Client) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.woken)
	c.woken = make(chan struct{})
}

// Woken is closed when an endpoint becomes ready: whoever backs off should try again.
func (c *Client) Woken() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.woken
}

// Clock is that of the ClickHouse behind the endpoints, as they state it.
func (c *Client) Clock() *forward.Clock { return &c.clock }

// Put sends b to one endpoint, once. See forward.Sink for what errors mean.
func (c *Client) Put(ctx context.Context, b forward.Batch) error {
	e := c.pick()
	defer e.route.calls.Done()
	limit := e.route.cfg.Timeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer from %s within %s", e.name, limit))
	defer cancel()
	ctx = e.route.cfg.outgoing(ctx)
	room := unmarkedBodies.Get().(*[]byte)
	defer unmarkedBodies.Put(room) // a call that has returned does not read what it was lent
	body, err := c.forPeer(ctx, e, b, room)
	if errors.Is(err, forward.ErrUnfenced) {
		return err
	}
	if err != nil {
		if heard := c.settle(e, err); forward.Refused(heard) == nil {
			return heard
		}
		return &forward.BusyError{NotTaken: true, Err: err} // it is the question that was refused
	}
	resp, err := c.call(ctx, e, b.Signal, body)
	if unsupportedCompression(err) && c.fallBack(e) {
		resp, err = c.call(ctx, e, b.Signal, body)
	}
	if err := c.settle(e, err); err != nil {
		return err
	}
	if p := parseResponse(resp); p != nil {
		return p
	}
	return nil
}

func (c *ClientConfig) outgoing(ctx context.Context) context.Context {
	for k, v := range c.Headers {
		ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(k), v)
	}
	if c.Auth.Token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.Auth.Token)
	}
	return ctx
}

// pick takes the endpoints in turn, passing over those that failed lately or are not connected
// as long as there are others. The call is among those of its route from then on.
func (c *Client) pick() *endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.route.calls.Add(1)
	all := c.route.endpoints
	best := all[c.next%len(all)]
	for i := range all {
		e := all[(c.next+i)%len(all)]
		if e.healthy() && e.conn.GetState() == connectivity.Ready {
			best = e
			break
		}
	}
	c.next++
	return best
}

func (e *endpoint) healthy() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Now().After(e.passedOver)
}

// unmarkedBodies is room for what forPeer makes: megabytes for each batch, which would be garbage at once.
var unmarkedBodies = sync.Pool{New: func() any { return new([]byte) }}

// forPeer takes the markers out of the body for a peer that does not know them: into room. Whether it
// does is asked with an empty request, before the first batch on a connection and after each
// failure: a peer that is still out of order gets no batch that would then have to be looked for.
func (c *Client) forPeer(ctx context.Context, e *endpoint, b forward.Batch, room *[]byte) (body []byte, err error) {
	knows := knowsMarkers
	switch e.route.cfg.Identity {
	case "off":
		knows = knowsNothing
	case "auto":
		if knows, err = c.ask(ctx, e, b.Signal); err != nil {
			if !errors.Is(err, forward.ErrNotSent) {
				err = fmt.Errorf("%w: %w", forward.ErrNotSent, err) // nothing of b
			}
			return nil, err
		}
	}
	if knows == knowsNothing {
		*room, err = forward.AppendUnmarked(slices.Grow((*room)[:0], len(b.Body)), b.Body)
		return *room, err
	}
	if m, _, err := forward.ParseMarker(b.Body); err == nil && m.Until == 0 {
		if _, known := c.clock.Now(); known {
			return nil, forward.ErrUnfenced
		}
	}
	return b.Body, nil
}

func (c *Client) ask(ctx context.Context, e *endpoint, sig forward.Signal) (knowledge, error) {
	e.mu.Lock()
	knows := e.knows
	e.mu.Unlock()
	if knows != notAsked {
		return knows, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, fmt.Errorf("no answer from %s within %s", e.name, askTime))
	defer cancel()
	var header metadata.MD
	if _, err := c.call(ctx, e, sig, nil, grpc.Header(&header)); err != nil {
		return notAsked, err
	}
	knows = knowsNothing
	if version, _ := strconv.Atoi(first(header.Get(identityHeader))); version >= forward.MarkerVersion {
		knows = knowsMarkers
	}
	e.mu.Lock()
	e.knows = knows
	e.mu.Unlock()
	return knows, nil
}

// call makes one gRPC call. Its error says so when not a byte of it went out.
func (c *Client) call(ctx context.Context, e *endpoint, sig forward.Signal, body []byte, opts ...grpc.CallOption) ([]byte, error) {
	out := raw{out: body}
	e.mu.Lock()
	if e.compression != "none" && len(body) > 0 {
		opts = append(opts, grpc.UseCompressor(e.compression))
	} else {
		out.shared = true
	}
	e.mu.Unlock()
	ctx, sent := watchSent(ctx)
	var trailer metadata.MD
	var in raw
	asked := time.Now()
	err := e.conn.Invoke(ctx, "/"+services[sig]+"/Export", &out, &in, append(opts, grpc.Trailer(&trailer))...)
	if nanos, err := strconv.ParseInt(first(trailer.Get(clockHeader)), 10, 64); err == nil {
		c.clock.Set(time.Unix(0, nanos), asked)
	}
	if err != nil {
		if !sent.Load() {
			err = fmt.Errorf("%w: %w", forward.ErrNotSent, err)
		}
		if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
			return nil, fmt.Errorf("%w (%w)", err, cause)
		}
		return nil, err
	}
	defer in.free()
	enc, resp := untag(in.in.Materialize())
	if enc != "" {
		return nil, nil // a compressed answer to an OK is a remark at most; the batch is taken
	}
	return resp, nil
}

// fallBack turns to the next weaker compression, once per endpoint and kind.
func (c *Client) fallBack(e *endpoint) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.compression
	switch was {
	case "zstd":
		e.compression = "gzip"
	case "gzip":
		e.compression = "none"
	default:
		return false
	}
	c.log.Warn("the peer does not know this compression, using another", "endpoint", e.name, "was", was, "now", e.compression)
	return true
}

// settle books the outcome to the endpoint's health and says what it means for the batch.
func (c *Client) settle(e *endpoint, err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		e.failures, e.failing, e.lastErr = 0, time.Time{}, ""
		return nil
	}
	if e.failing.IsZero() {
		e.failing = time.Now()
	}
	e.lastErr = err.Error()
	switch status.Code(err) {
	case codes.InvalidArgument, codes.ResourceExhausted, codes.Canceled:
		// It lives, and says something about the batch or its load.
	default:
		e.knows = notAsked
		wait := min(time.Second<<min(e.failures, 10), maxPassedOver)
		e.failures++
		e.passedOver = time.Now().Add(wait)
		if len(e.route.endpoints) > 1 {
			c.log.Warn("endpoint passed over for a while", "endpoint", e.name, "for", wait, "err", err)
		}
	}
	return fmt.Errorf("%s: %w", e.name, fromStatus(err))
}

// An EndpointStatus is one of several collectors at one moment, for people.
type EndpointStatus struct {
	Name       string
	State      string    // of the connection: idle, connecting, ready, transient_failure, shutdown
	Failing    time.Time // nothing got through since then; zero: it works, or was not tried
	Err        string    // the last failure since then
	PassedOver time.Time // others get the batches until then
	Markers    bool      // it is known to understand record markers
}

// Status is that of the endpoints, in the order of the configuration.
func (c *Client) Status() (list []EndpointStatus) {
	c.mu.Lock()
	r := c.route
	c.mu.Unlock()
	for _, e := range r.endpoints {
		state := strings.ToLower(e.conn.GetState().String())
		e.mu.Lock()
		list = append(list, EndpointStatus{Name: e.name, State: state, Failing: e.failing, Err: e.lastErr, PassedOver: e.passedOver, Markers: e.knows == knowsMarkers})
		e.mu.Unlock()
	}
	return list
}
