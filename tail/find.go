package tail

import "os"

// Found is what the globs of a Config match now, for whoever wants to know before it is tailed.
type Found struct {
	Files    int
	NoAccess map[string]error // files that cannot be opened, and directories that cannot be listed
	Dirs     map[string]bool  // in which a file could appear: each takes a watch
}

// Find looks at each file and directory once. It reads nothing.
func (c Config) Find() Found {
	f := Found{NoAccess: make(map[string]error), Dirs: make(map[string]bool)}
	seen := make(map[string]bool)
	for _, pattern := range c.Include {
		parseGlob(pattern).walk(func(path string) {
			if seen[path] || c.excludes(path) {
				return
			}
			seen[path] = true
			if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() {
				return
			}
			f.Files++
			if h, _, err := openFile(path); err != nil {
				f.NoAccess[path] = err
			} else {
				h.Close()
			}
		}, func(dir string, err error) {
			if f.Dirs[dir] = true; err != nil {
				f.NoAccess[dir] = err
			}
		})
	}
	return f
}
