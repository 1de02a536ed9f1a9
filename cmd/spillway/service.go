package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A service is what a mode runs, open and not running yet.
type service interface {
	// run serves until ctx is done, and then stops in the order of the data.
	run(ctx context.Context) error
	// summary is one line for operators. It looks at what run works with.
	summary() string
	// reload has the file hold that the service was opened with, without a stop, all of it or nothing.
	// It returns the keys whose values are others now. It is called while run runs, once at a time.
	reload(ctx context.Context) (keys []string, err error)
}

// serve opens a mode and runs it until ctx is done, while the service manager is told how it is. On
// SIGHUP it has the service read file again; without one there is nothing to read, and the signal
// ends the process as it does any other.
func (p *program) serve(ctx context.Context, file string, open func(context.Context, *slog.Logger, *reloads) (service, error)) error {
	hangups := make(chan os.Signal, 1) // one more than the one that is worked at: it reads what is there then
	if file != "" {
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
	}
	log := p.logger()
	told := newNotifier(p.env, log)
	defer told.close()
	told.say("starting")
	r := newReloads()
	s, err := open(ctx, log, r)
	if err != nil {
		told.say("not started: " + err.Error())
		return err
	}

	told.say(r.status(s), notifyReady)
	var beside sync.WaitGroup
	ended, end := context.WithCancel(context.WithoutCancel(ctx))
	running, stop := context.WithCancel(ended)
	beside.Go(func() { told.run(ended, func() string { return r.status(s) }) }) // a stop takes time, too
	beside.Go(func() {
		defer stop() // behind a reload, which is neither begun nor half done then
		for {
			select {
			case <-ctx.Done():
				told.say("stopping: "+r.status(s), notifyStopping)
				return
			case <-ended.Done():
				return
			case <-hangups:
				told.reloading()
				r.do(ctx, s, file, log)
				told.say(r.status(s), notifyReady)
			}
		}
	})
	err = s.run(running)
	end()
	beside.Wait()
	return err
}

// reloads is the account of them.
type reloads struct {
	refused atomic.Pointer[string] // what was wrong with the last one; nil: nothing, or there was none

	total      *prometheus.CounterVec
	successful prometheus.Gauge
	at         prometheus.Gauge
}

func newReloads() *reloads {
	r := &reloads{
		total:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: "spillway_config_reloads_total", Help: "Reloads of the configuration, by what came of them."}, []string{"outcome"}),
		successful: prometheus.NewGauge(prometheus.GaugeOpts{Name: "spillway_config_last_reload_successful", Help: "1 if the configuration holds that the file had at the start, or at the last SIGHUP; 0 if that one was refused."}),
		at:         prometheus.NewGauge(prometheus.GaugeOpts{Name: "spillway_config_last_reload_success_timestamp_seconds", Help: "When the configuration was taken that holds, in unix seconds."}),
	}
	r.total.WithLabelValues("applied")
	r.total.WithLabelValues("refused")
	r.successful.Set(1)
	r.at.SetToCurrentTime()
	return r
}

// register shows the account; nil is nobody's.
func (r *reloads) register(reg prometheus.Registerer) {
	if r != nil {
		reg.MustRegister(r.total, r.successful, r.at)
	}
}

func (r *reloads) do(ctx context.Context, s service, file string, log *slog.Logger) {
	began := time.Now()
	keys, err := s.reload(ctx)
	if err != nil {
		text := err.Error()
		r.refused.Store(&text)
		r.total.WithLabelValues("refused").Inc()
		r.successful.Set(0)
		log.Error("configuration not reloaded, the one before still holds: correct the file and send SIGHUP again", "file", file, "err", err)
		return
	}
	r.refused.Store(nil)
	r.total.WithLabelValues("applied").Inc()
	r.successful.Set(1)
	r.at.SetToCurrentTime()
	log.Info("configuration reloaded", "file", file, "changed", keys, "took", time.Since(began).String())
}

// lastRefusal is what was wrong with the last reload, "" for nothing.
func (r *reloads) lastRefusal() string {
	if r == nil {
		return ""
	}
	if refused := r.refused.Load(); refused != nil {
		return *refused
	}
	return ""
}

// status is the service's summary, and what is wrong with the file.
func (r *reloads) status(s service) string {
	if refused := r.refused.Load(); refused != nil {
		first, rest, _ := strings.Cut(*refused, "\n")
		if rest != "" {
			first += fmt.Sprintf(" (and %d more)", strings.Count(rest, "\n")+1)
		}
		return s.summary() + "; reload refused: " + first
	}
	return s.summary()
}
