package tail

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// Formats of a file's lines.
const (
	FormatAuto   = "auto"   // each file by its first line
	FormatCRI    = "cri"    // the log format of Kubernetes container runtimes
	FormatDocker = "docker" // the json-file driver of Docker
	FormatPlain  = "plain"
)

// Places where the reading of a file starts that was there before the tailer.
const (
	StartAtBeginning = "beginning"
	StartAtEnd       = "end"
)

// defaultMaxLineBytes holds every line that anybody reads, stack traces of generated code included.
const defaultMaxLineBytes = 1 << 20

// Config is one group of files that are read alike.
type Config struct {
	// Include are globs as in path/filepath.Match; one * does not cross a slash.
	Include []string
	// Exclude are globs that are held against a file's base name and against its full path.
	Exclude []string
	// Format is auto, cri, docker or plain.
	Format string
	// StartAt is where to begin with a file that the first look finds and that has no
	// position: beginning or end. Files that appear later are read from their beginning, and so
	// is one that took the place of a file with a position.
	StartAt string
	// MaxLineBytes is the length at which a line is cut. 0: 1 MiB.
	MaxLineBytes int
	// Multiline is how lines become one.
	Multiline MultilineConfig
	// RateLimit is how much of one source is read.
	RateLimit RateLimit
}

// DefaultConfig reads what the kubelet keeps of its containers, from the beginning.
func DefaultConfig() Config {
	return Config{
		Include: []string{"/var/log/pods/*/*/*.log"},
		Exclude: []string{"*.gz", "*.tmp"},
		Format:  FormatAuto,
		StartAt: StartAtBeginning,
	}
}

// Validate names everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	if len(c.Include) == 0 {
		errs = append(errs, errors.New("include: name at least one file or glob"))
	}
	errs = append(errs, globs("include", c.Include), globs("exclude", c.Exclude))
	if !slices.Contains([]string{FormatAuto, FormatCRI, FormatDocker, FormatPlain}, c.Format) {
		errs = append(errs, fmt.Errorf("format: %q: use auto, cri, docker or plain", c.Format))
	}
	if !slices.Contains([]string{StartAtBeginning, StartAtEnd}, c.StartAt) {
		errs = append(errs, fmt.Errorf("start_at: %q: use beginning or end", c.StartAt))
	}
	if c.MaxLineBytes < 0 {
		errs = append(errs, errors.New("max_line_bytes: cannot be negative"))
	}
	errs = append(errs, c.Multiline.Validate(), c.RateLimit.Validate())
	return errors.Join(errs...)
}

func globs(key string, patterns []string) error {
	var errs []error
	for _, p := range patterns {
		if _, err := filepath.Match(p, ""); err != nil || p == "" {
			errs = append(errs, fmt.Errorf("%s: %q is not a glob: use *, ? and [a-z], and \\ before a literal one", key, p))
		}
	}
	return errors.Join(errs...)
}

func (c Config) maxLine() int {
	if c.MaxLineBytes == 0 {
		return defaultMaxLineBytes
	}
	return c.MaxLineBytes
}

func (c Config) excludes(path string) bool {
	base := filepath.Base(path)
	return slices.ContainsFunc(c.Exclude, func(p string) bool {
		// Validate has seen that the patterns are well formed.
		byName, _ := filepath.Match(p, base)
		byPath, _ := filepath.Match(p, path)
		return byName || byPath
	})
}

// matches says whether a file of this path would be found.
func (c Config) matches(path string) bool {
	included := slices.ContainsFunc(c.Include, func(p string) bool {
		ok, _ := filepath.Match(filepath.Clean(p), path)
		return ok
	})
	return included && !c.excludes(path)
}
