//go:build !linux

package main

import "errors"

func followParent() error {
	return errors.New("die with parent: only Linux can do that")
}
