package tail

import (
	"os"
	"path/filepath"
	"strings"
)

// A glob is a pattern, cut at the slashes.
type glob struct {
	root  string // the part before the first wildcard
	steps []string
}

func parseGlob(pattern string) glob {
	pattern = filepath.Clean(pattern)
	if i := strings.IndexAny(pattern, `*?[\`); i >= 0 {
		i = strings.LastIndexByte(pattern[:i], filepath.Separator) + 1
		root := filepath.Clean(pattern[:i])
		return glob{root: root, steps: strings.Split(pattern[i:], string(filepath.Separator))}
	}
	return glob{root: filepath.Dir(pattern), steps: []string{filepath.Base(pattern)}}
}

// walk calls file for each path that matches, and dir for each directory in which one could
// appear. Links are followed; the pattern has an end, so the walk has too.
func (g glob) walk(file func(path string), dir func(path string, err error)) {
	root := g.root
	for !isDir(root) && root != filepath.Dir(root) {
		root = filepath.Dir(root)
	}
	if root != g.root {
		dir(root, nil) // where the next step to the root will appear
	}
	g.step(g.root, g.steps, file, dir)
}

func (g glob) step(at string, steps []string, file func(string), dir func(string, error)) {
	entries, err := os.ReadDir(at)
	if os.IsNotExist(err) {
		return
	}
	dir(at, err)
	for _, e := range entries {
		if ok, _ := filepath.Match(steps[0], e.Name()); !ok {
			continue
		}
		path := filepath.Join(at, e.Name())
		if len(steps) == 1 {
			file(path)
			continue
		}
		if e.IsDir() || e.Type()&os.ModeSymlink != 0 && isDir(path) {
			g.step(path, steps[1:], file, dir)
		}
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
