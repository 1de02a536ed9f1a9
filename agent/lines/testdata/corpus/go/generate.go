// Generate writes a .log beside itself for each logging library of Go, and a .txt for each stack
// trace:
//
//	go run -trimpath .
//
// Clocks are fixed where the library lets us, else the time is put in afterwards. Lines that begin
// with # say how what follows is configured.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"time"

	charm "github.com/charmbracelet/log"
	kit "github.com/go-kit/log"
	"github.com/go-kit/log/level"
	"github.com/hashicorp/go-hclog"
	"github.com/inconshreveable/log15/v3"
	"github.com/phuslu/log"
	"github.com/rs/zerolog"
	"github.com/sirupsen/logrus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
)

var moment = time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.UTC)

type item struct {
	SKU string  `json:"sku"`
	N   float64 `json:"n"`
}

type cart struct {
	ID    int    `json:"id"`
	Items []item `json:"items"`
}

var full = cart{7, []item{{"a", 1.5}}}

var errDeclined = fmt.Errorf("pay: %w", errors.New("card was declined"))

func main() {
	if len(os.Args) > 1 {
		crash(os.Args[1])
	}
	for name, write := range map[string]func(io.Writer){
		"zap": ofZap, "zerolog": ofZerolog, "slog": ofSlog, "logrus": ofLogrus, "hclog": ofHclog, "phuslu": ofPhuslu,
		"kit": ofKit, "log15": ofLog15, "charm": ofCharm, "klog": ofKlog,
	} {
		var out bytes.Buffer
		write(&out)
		check(os.WriteFile(name+".log", out.Bytes(), 0o644))
	}
	for _, how := range []string{"panic", "nil", "error", "fatal", "again"} {
		check(os.WriteFile(how+".txt", trace(how), 0o644))
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func section(out io.Writer, title string) { fmt.Fprintln(out, "#", title) }

type clock struct{}

func (clock) Now() time.Time                         { return moment }
func (clock) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }

func ofZap(out io.Writer) {
	section(out, "zap, production")
	config := zap.NewProductionEncoderConfig()
	core := func(c zapcore.EncoderConfig) *zap.Logger {
		return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(c), zapcore.AddSync(out), zapcore.DebugLevel), zap.WithClock(clock{}), zap.AddCaller(), zap.AddStacktrace(zapcore.ErrorLevel))
	}
	l := core(config).Named("shop").Named("cart").With(zap.String("user", "u-1"))
	for _, at := range []zapcore.Level{zapcore.DebugLevel, zapcore.InfoLevel, zapcore.WarnLevel, zapcore.ErrorLevel, zapcore.DPanicLevel} {
		l.Log(at, "spoken", zap.Any("cart", full), zap.Duration("took", 250*time.Millisecond), zap.Stringp("who", nil))
	}
	l.Error("payment failed", zap.Error(errDeclined))
	section(out, "ISO times, levels in capitals")
	config.EncodeTime, config.EncodeLevel = zapcore.ISO8601TimeEncoder, zapcore.CapitalLevelEncoder
	core(config).Warn("spoken")
	section(out, "console")
	c := zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig())
	zap.New(zapcore.NewCore(c, zapcore.AddSync(out), zapcore.DebugLevel), zap.WithClock(clock{})).Warn("spoken", zap.Any("cart", full))
}

func ofZerolog(out io.Writer) {
	section(out, "zerolog")
	zerolog.TimestampFunc = func() time.Time { return moment }
	l := zerolog.New(out).Level(zerolog.TraceLevel).With().Timestamp().Caller().Str("user", "u-1").Logger()
	for _, at := range []zerolog.Level{zerolog.TraceLevel, zerolog.DebugLevel, zerolog.InfoLevel, zerolog.WarnLevel, zerolog.ErrorLevel} {
		l.WithLevel(at).Interface("cart", full).Dur("took", 250*time.Millisecond).Interface("who", nil).Msg("spoken")
	}
	l.Error().Err(errDeclined).Msg("payment failed")
	l.WithLevel(zerolog.FatalLevel).Send()
	section(out, "times in milliseconds")
	zerolog.TimeFieldFormat = zerolog.TimeFormatUnixMs
	l.Info().Msg("spoken")
}

func ofSlog(out io.Writer) {
	section(out, "log/slog")
	fixed := func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			a.Value = slog.TimeValue(moment.In(time.FixedZone("", 7200)))
		}
		return a
	}
	options := &slog.HandlerOptions{Level: slog.Level(-8), AddSource: true, ReplaceAttr: fixed}
	l := slog.New(slog.NewJSONHandler(out, options)).With("user", "u-1")
	for _, at := range []slog.Level{-8, slog.LevelDebug, slog.LevelInfo, slog.LevelInfo + 2, slog.LevelWarn, slog.LevelError, slog.LevelError + 4} {
		l.Log(context.Background(), at, "spoken", "cart", full, "took", 250*time.Millisecond, "who", nil)
	}
	l.WithGroup("request").Error("payment failed", "path", "/pay", slog.Any("err", errDeclined))
	l.Error("payment failed", "err", errDeclined)
	section(out, "its text")
	slog.New(slog.NewTextHandler(out, options)).Warn("spoken", "user", "u-1")
}

func ofLogrus(out io.Writer) {
	section(out, "logrus")
	l := logrus.New()
	l.Out, l.Level, l.ReportCaller, l.Formatter = out, logrus.TraceLevel, true, &logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano}
	for _, at := range []logrus.Level{logrus.TraceLevel, logrus.DebugLevel, logrus.InfoLevel, logrus.WarnLevel, logrus.ErrorLevel} {
		l.WithTime(moment).WithFields(logrus.Fields{"user": "u-1", "cart": full, "who": nil}).Log(at, "spoken")
	}
	l.WithTime(moment).WithError(errDeclined).Error("payment failed")
	section(out, "a field with a name of its own")
	l.ReportCaller = false
	l.WithTime(moment).WithField("msg", "mine").Info("spoken")
	section(out, "text")
	l.Formatter = &logrus.TextFormatter{}
	l.WithTime(moment).WithField("user", "u-1").Warn("spoken")
}

func ofHclog(out io.Writer) {
	section(out, "hclog")
	l := hclog.New(&hclog.LoggerOptions{Name: "shop", Level: hclog.Trace, Output: out, JSONFormat: true, IncludeLocation: true, TimeFn: func() time.Time { return moment }}).Named("cart").With("user", "u-1")
	for _, at := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn, hclog.Error} {
		l.Log(at, "spoken", "cart", full, "who", nil)
	}
	l.Error("payment failed", "error", errDeclined)
}

// later puts the moment in for every time of now.
func later(out io.Writer, written []byte) {
	now := regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)`)
	out.Write(now.ReplaceAll(written, []byte(moment.Format("2006-01-02T15:04:05.000Z"))))
}

func ofPhuslu(to io.Writer) {
	var out bytes.Buffer
	section(&out, "phuslu/log")
	l := log.Logger{Level: log.TraceLevel, Caller: 1, Writer: log.IOWriter{Writer: &out}}
	for _, e := range []*log.Entry{l.Trace(), l.Debug(), l.Info(), l.Warn(), l.Error()} {
		e.Str("user", "u-1").Any("cart", full).Dur("took", 250*time.Millisecond).Any("who", nil).Msg("spoken")
	}
	l.Error().Err(errDeclined).Msg("payment failed")
	text := regexp.MustCompile(`"goid":\d+,`).ReplaceAll(out.Bytes(), []byte(`"goid":1,`))
	later(to, text)
}

func ofKit(out io.Writer) {
	section(out, "go-kit/log")
	l := kit.With(kit.NewJSONLogger(out), "ts", kit.TimestampFormat(func() time.Time { return moment }, time.RFC3339Nano), "caller", kit.DefaultCaller)
	for _, at := range []func(kit.Logger) kit.Logger{level.Debug, level.Info, level.Warn, level.Error} {
		check(at(l).Log("msg", "spoken", "user", "u-1", "cart", full, "who", nil))
	}
	check(level.Error(l).Log("msg", "payment failed", "err", errDeclined))
	section(out, "logfmt")
	check(kit.NewLogfmtLogger(out).Log("level", "warn", "msg", "spoken"))
}

func ofLog15(out io.Writer) {
	section(out, "log15")
	l := log15.New("user", "u-1")
	format := log15.JsonFormat()
	l.SetHandler(log15.FuncHandler(func(r log15.Record) error {
		r.Time = moment
		_, err := out.Write(format.Format(r))
		return err
	}))
	for _, say := range []func(string, ...any){l.Debug, l.Info, l.Warn, l.Error, l.Crit} {
		say("spoken", "cart", full, "who", nil)
	}
	l.Error("payment failed", "err", errDeclined)
}

func ofCharm(out io.Writer) {
	section(out, "charmbracelet/log, JSON")
	l := charm.NewWithOptions(out, charm.Options{Level: charm.DebugLevel, Prefix: "shop", ReportTimestamp: true, ReportCaller: true, TimeFunction: func(time.Time) time.Time { return moment }, Formatter: charm.JSONFormatter})
	for _, at := range []charm.Level{charm.DebugLevel, charm.InfoLevel, charm.WarnLevel, charm.ErrorLevel} {
		l.Log(at, "spoken", "user", "u-1", "cart", full, "who", nil)
	}
	l.Error("payment failed", "err", errDeclined)
}

func ofKlog(out io.Writer) {
	section(out, "klog: text whose levels only a rule can tell")
	var written bytes.Buffer
	var flags flag.FlagSet
	klog.InitFlags(&flags)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "FATAL", "one_output": "true"} {
		check(flags.Set(name, value))
	}
	klog.SetOutput(&written)
	klog.InfoS("spoken", "user", "u-1")
	klog.ErrorS(errDeclined, "payment failed")
	klog.Flush()
	stamp := regexp.MustCompile(`(?m)^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+`)
	out.Write(stamp.ReplaceAll(written.Bytes(), []byte("${1}0506 07:08:09.123456       7")))
}

// crash ends the program as programs end.
func crash(how string) {
	switch how {
	case "panic":
		panic("card was declined\ntry another")
	case "nil":
		var c *cart
		fmt.Println(c.ID)
	case "error":
		panic(errDeclined)
	case "fatal":
		new(sync.Mutex).Unlock()
	case "again":
		defer func() { panic(fmt.Sprint("again: ", recover())) }()
		panic("first")
	}
}

// trace is what a program prints that crashes so, after a line of its log.
func trace(how string) []byte {
	self, err := os.Executable()
	check(err)
	c := exec.Command(self, how)
	c.Env = append(os.Environ(), "GOTRACEBACK=single")
	out, _ := c.CombinedOutput()
	out = regexp.MustCompile(`0x[0-9a-f]+`).ReplaceAll(out, []byte("0x1"))
	return append([]byte("2024/05/06 07:08:09 paying\n"), bytes.TrimRight(out, "\n")...)
}
