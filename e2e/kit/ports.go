package kit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// Ports that stay free while their process is down: below those that the kernel gives to
// connections (net.ipv4.ip_local_port_range), and none twice.
const (
	firstPort = 15000
	ports     = 17000
)

var lastPort atomic.Uint32

func init() { lastPort.Store(rand.Uint32N(ports)) } // another run may be beside us

// Listen listens on a port of loopback.
func Listen() (l net.Listener, err error) {
	for range 100 {
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+lastPort.Add(1)%ports)); err == nil {
			return l, nil
		}
	}
	return nil, fmt.Errorf("no free port from %d on: %w", firstPort, err)
}

// FreeAddr is an address to listen on.
func FreeAddr() (string, error) {
	l, err := Listen()
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
