package lines

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
)

// A ResourceRule describes files by their path.
type ResourceRule struct {
	Path *regexp.Regexp `yaml:"path"` // regular expression (RE2) that a file's path has to match

	// Attributes are those of the files whose path matches. $name, ${name} and $1 in a value are
	// what the group matched, and $$ is a dollar sign.
	Attributes map[string]string `yaml:"attributes"`
}

// reference is what regexp.Regexp.Expand replaces.
var reference = regexp.MustCompile(`\$(?:\$|\{([\pL\p{Nd}_]+)\}|([\pL\p{Nd}_]+))`)

// Validate tells what is wrong with r.
func (r *ResourceRule) Validate() error {
	if r.Path == nil || r.Path.String() == "" {
		return errors.New("path: needs a regular expression")
	}
	var errs []error
	if len(r.Attributes) == 0 {
		errs = append(errs, errors.New("attributes: name at least one"))
	}
	for _, key := range slices.Sorted(maps.Keys(r.Attributes)) {
		if key == "" {
			errs = append(errs, errors.New("attributes: a key needs a name"))
		}
		for _, m := range reference.FindAllStringSubmatch(r.Attributes[key], -1) {
			if name := m[1] + m[2]; name != "" && !r.hasGroup(name) {
				errs = append(errs, fmt.Errorf("attributes: %s: path has no group %s: write ${name} if other letters follow, and $$ for a dollar sign", key, name))
			}
		}
	}
	return errors.Join(errs...)
}

func (r *ResourceRule) hasGroup(name string) bool {
	if n, err := strconv.Atoi(name); err == nil {
		return n <= r.Path.NumSubexp() && strconv.Itoa(n) == name
	}
	return r.Path.SubexpIndex(name) >= 0
}

// Attrs are what the rules that match a path say of its file, the first rule first. An attribute
// without a value is none.
func Attrs(rules []ResourceRule, filePath string) (attrs []Attr) {
	for _, r := range rules {
		at := r.Path.FindStringSubmatchIndex(filePath)
		if at == nil {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(r.Attributes)) {
			if value := r.Path.ExpandString(nil, r.Attributes[key], filePath, at); len(value) > 0 {
				attrs = append(attrs, Attr{key, string(value)})
			}
		}
	}
	return attrs
}
