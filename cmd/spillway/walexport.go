package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/spillway-io/spillway/wal"
)

func (p *program) walExport() *cobra.Command {
	s, out := &selection{}, ""
	c := &cobra.Command{Use: "export DIR|FILE --out FILE", Short: "copy records, with their identities, to one file that the other commands read", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if out == "" {
				return usageError{errors.New("--out: name the file to make")}
			}
			return p.export(s, args[0], out)
		}}
	s.flags(c)
	c.Flags().StringVar(&out, "out", "", "the file to make; it must not exist")
	return c
}

// export makes the file under another name first: what has the right name is whole.
func (p *program) export(s *selection, from, out string) (err error) {
	if _, err := os.Lstat(out); err == nil {
		return usageError{fmt.Errorf("%s exists: name another file", out)}
	}
	f, err := os.OpenFile(out+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return usageError{err}
	}
	defer func() {
		if err != nil {
			os.Remove(out + ".part")
		}
	}()
	w := bufio.NewWriterSize(f, 1<<20)
	x := wal.NewExporter(w)
	infos, err := s.read(from, func(r stored) error {
		chosen := len(r.Data) == 0 // it only carries a cursor
		if err := s.units(r, func(unit) error { chosen = true; return nil }); err != nil || !chosen {
			return err
		}
		return x.Add(r.Found)
	})
	if err = errors.Join(err, x.Close(), w.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(out+".part", out); err != nil {
		return err
	}
	if err := (wal.OS{}).SyncDir("export", filepath.Dir(out)); err != nil {
		return err
	}
	records, items, bytes := x.Totals()
	damaged := p.warn(infos)
	if _, err := fmt.Fprintf(p.stdout, "exported: records %d, items %d, bytes %d\n", records, items, bytes); err != nil {
		return err
	}
	if damaged {
		// err of the outer scope stays nil: the file is good for what could be read.
		return errNotAll
	}
	return nil
}

var errNotAll = errors.New("not everything could be read; see above")
