package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

func (p *program) installCommand() *cobra.Command {
	return &cobra.Command{Use: "install FILE", Short: "copy this program to FILE, where another container has it too", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return install(args[0])
		}}
}

// install copies the running program. FILE is whole or not there: it may be started while
// this runs again, and what was started before keeps the file that it has.
func install(file string) (err error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	temp, err := os.CreateTemp(filepath.Dir(file), ".spillway-*")
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(temp.Name())
		}
	}()
	_, err = io.Copy(temp, self)
	if err == nil {
		err = temp.Chmod(0o755) // whatever the umask: another user is to run it
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	if err = os.Rename(temp.Name(), file); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	return nil
}
