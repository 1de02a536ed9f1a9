package otlp

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Transports of a ListenerConfig.
const (
	TransportTCP  = "tcp"
	TransportUnix = "unix"
)

// maxSocketPath is what fits into a sockaddr_un of Linux with the zero behind it, unix(7).
const maxSocketPath = 107

// Validate says what is wrong with the port, and what to write instead.
func (c ListenerConfig) Validate() error {
	if c.Endpoint == "" {
		return nil
	}
	switch c.Transport {
	case "", TransportTCP:
		if _, _, err := net.SplitHostPort(c.Endpoint); err != nil {
			return fmt.Errorf("endpoint: %q: write host:port", c.Endpoint)
		}
	case TransportUnix:
		if !filepath.IsAbs(c.Endpoint) || len(c.Endpoint) > maxSocketPath {
			return fmt.Errorf("endpoint: %q: with transport: unix, write the absolute path of a socket, of at most %d bytes", c.Endpoint, maxSocketPath)
		}
	default:
		return fmt.Errorf("transport: %q: write %s or %s", c.Transport, TransportTCP, TransportUnix)
	}
	if c.MaxRecvMsgSizeMiB < 0 || c.MaxRecvMsgSizeMiB > 30 {
		return errors.New("max_recv_msg_size_mib: must be between 1 and 30")
	}
	_, err := c.TLS.Config()
	return err
}

// listen opens the port. A socket may be written to by whoever may enter its directory, as a port on loopback
// may be by whoever is on the machine.
func (c ListenerConfig) listen() (net.Listener, error) {
	if c.Transport != TransportUnix {
		return net.Listen("tcp", c.Endpoint)
	}
	if err := removeStale(c.Endpoint); err != nil {
		return nil, err
	}
	lis, err := net.Listen("unix", c.Endpoint)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(c.Endpoint, 0o666); err != nil {
		lis.Close()
		return nil, err
	}
	return lis, nil
}

// removeStale removes the socket that a killed process has left behind, and nothing else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there and no socket: name another path, or remove it", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return fmt.Errorf("%s is in use by another process", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s is there, and it cannot be told whether it is in use: %w", path, err)
	}
	return os.Remove(path)
}
