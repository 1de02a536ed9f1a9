package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// A database is asked over HTTP, by nothing of spillway's.
type database struct{ addr, name string }

// query returns the answer, which is to be closed.
func (d database) query(ctx context.Context, sql string) (io.ReadCloser, error) {
	q := url.Values{"database": {d.name}, "wait_end_of_query": {"1"}} // so that an error is not in the middle of the rows
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.addr+"/?"+q.Encode(), strings.NewReader(sql))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		said, err := io.ReadAll(resp.Body)
		return nil, fmt.Errorf("%s: status %s: %s, %v", sql, resp.Status, said, err)
	}
	return resp.Body, nil
}

// text is the answer in tab-separated lines.
func (d database) text(ctx context.Context, sql string) (string, error) {
	body, err := d.query(ctx, sql)
	if err != nil {
		return "", err
	}
	defer body.Close()
	all, err := io.ReadAll(body)
	return string(all), err
}

// pairs calls f for each row of two UInt64.
func (d database) pairs(ctx context.Context, sql string, f func(a, b uint64)) error {
	body, err := d.query(ctx, sql+" FORMAT RowBinary")
	if err != nil {
		return err
	}
	defer body.Close()
	r := bufio.NewReaderSize(body, 1<<16)
	var row [16]byte
	for {
		switch _, err := io.ReadFull(r, row[:]); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", sql, err)
		}
		f(binary.LittleEndian.Uint64(row[:]), binary.LittleEndian.Uint64(row[8:]))
	}
}
