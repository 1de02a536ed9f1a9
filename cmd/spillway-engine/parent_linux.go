package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// followParent makes the kernel kill this process when its parent ends, however the parent ends. SIGKILL, as the next engine on the
// same directory may be starting already.
func followParent() error {
	parent := os.Getppid()
	_, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
	if errno != 0 {
		return fmt.Errorf("die with parent: %w", errno)
	}
	if os.Getppid() != parent { // it ended before the kernel was told
		return errors.New("die with parent: it has ended")
	}
	return nil
}
