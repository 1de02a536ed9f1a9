package tail

import (
	"path/filepath"
	"slices"
	"strings"
)

// rotatedFrom is the name that a rotated file had, by its own: "" if it does not look like one.
//
//	0.log.20260102-030405     kubelet
//	app.log.1, app.log.2.gz   logrotate
//	app.log-20260102          logrotate with dateext
//	app-20260102.log, app.1.log  logrotate with extension, and many a library
func rotatedFrom(name string) string {
	dir, base := filepath.Split(name)
	base = strings.TrimSuffix(base, ".gz")
	if cut := cutDate(base); cut != "" {
		return dir + cut
	}
	ext := filepath.Ext(base)
	if ext == "" {
		return ""
	}
	stem := strings.TrimSuffix(base, ext)
	if cut := cutDate(stem); cut != "" && (stem[len(cut)] == '.' || len(stem)-len(cut) > len("-20260102")-1) {
		return dir + cut + ext // web-7.log is no web.log
	}
	if base != filepath.Base(name) {
		return dir + base // only compressed
	}
	return ""
}

// rootOf is the name that a log has when it is new: that of the file, or what it was rotated from.
func rootOf(name string) string {
	if from := rotatedFrom(name); from != "" {
		return from
	}
	return name
}

// addRoots adds the roots of names, of which some may be empty, that are not among roots.
func addRoots(roots []string, names ...string) []string {
	for _, name := range names {
		if root := rootOf(name); name != "" && !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	return roots
}

// cutDate takes a number or a date, and what divides it, off the end of a name.
func cutDate(name string) string {
	i := len(name)
	for i > 0 && (isDigit(name[i-1]) || strings.IndexByte("-_T:+", name[i-1]) >= 0 || name[i-1] == '.' && i > 1 && isDigit(name[i-2]) && i < len(name)) {
		i--
	}
	// What divides it may be one of the bytes of a date.
	for i < len(name) && !isDigit(name[i]) {
		i++
	}
	if i >= len(name) || i < 2 || strings.IndexByte(".-_", name[i-1]) < 0 {
		return ""
	}
	return strings.TrimRight(name[:i], ".-_")
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
