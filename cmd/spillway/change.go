package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// A change is a configuration that was found good and does not hold yet. One of apply and discard is
// called, once.
type change struct {
	keys    []string                    // whose values are others
	apply   func(context.Context) error // after an error what held before still holds
	discard func()
}

var errRestart = errors.New("cannot change while the process runs: restart it, or put the old value back; nothing of the file was applied")

// compare returns the keys whose values differ, and names in its error all that can does not allow.
func compare(old, new *config, can func(key string) bool) (keys []string, err error) {
	keys = changed(reflect.ValueOf(old).Elem(), reflect.ValueOf(new).Elem(), "")
	var stuck []error
	for _, key := range keys {
		if !can(key) {
			stuck = append(stuck, fmt.Errorf("%s: %w", key, errRestart))
		}
	}
	return keys, errors.Join(stuck...)
}

// changed are the keys at which two configurations differ, in order: of lists and maps as a whole,
// and of a section that one of them has not.
func changed(old, new reflect.Value, key string) (keys []string) {
	switch {
	case old.Kind() == reflect.Pointer && old.Type().Elem().Kind() == reflect.Struct && !old.IsNil() && !new.IsNil():
		return changed(old.Elem(), new.Elem(), key)
	case old.Kind() == reflect.Struct && old.Type() != reflect.TypeFor[time.Duration]():
		a, b := fieldsOf(old), fieldsOf(new)
		for _, name := range slices.Sorted(maps.Keys(a)) {
			keys = append(keys, changed(a[name], b[name], join(key, name))...)
		}
		return keys
	case reflect.DeepEqual(old.Interface(), new.Interface()):
		return nil
	}
	return []string{key}
}

// within says whether key is one of sections, or in one.
func within(key string, sections ...string) bool {
	return slices.ContainsFunc(sections, func(s string) bool { return key == s || strings.HasPrefix(key, s+".") })
}

// ofPort says whether key is what a port takes over while it listens: tokens and certificates. Whether
// it speaks TLS at all is not.
func ofPort(key string) bool {
	for _, port := range []string{"receivers.otlp.grpc", "receivers.otlp.http", "receivers.loki"} {
		if within(key, port+".auth") || strings.HasPrefix(key, port+".tls.") {
			return true
		}
	}
	return false
}

// Sections that sources are made of.
var (
	filesSections   = []string{"receivers.tail", "service", "resource"}
	journalSections = []string{"receivers.journald", "service", "resource"}
)

// targetSections are what decides where an agent sends, and how it shows who it is.
var targetSections = []string{"forward.otlp.endpoints", "forward.otlp.compression", "forward.otlp.timeout", "forward.otlp.tls",
	"forward.otlp.auth", "forward.otlp.headers", "forward.otlp.identity"}

// nodeCan says what an agent takes over while it runs.
func nodeCan(key string) bool {
	return ofPort(key) || within(key, filesSections...) || within(key, journalSections...) || within(key, targetSections...)
}

// tierCan says what a collector takes over while it runs.
func tierCan(key string) bool {
	return ofPort(key) || within(key, "forward.clickhouse.dsn", "forward.clickhouse.tls")
}

// anyWithin says whether one of keys is in one of sections.
func anyWithin(keys []string, sections ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return within(key, sections...) })
}
