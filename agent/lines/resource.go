package lines

import (
	"path"
	"strconv"
	"strings"
)

// An Attr is an attribute of a resource.
type Attr struct{ Key, Value string }

// A Resource describes where lines come from, as OTLP encodes it. It does not change, and may be
// shared.
type Resource struct {
	encoded []byte // the field of ResourceLogs
}

// NewResource describes the file at path. For logs of Kubernetes the path itself tells the
// namespace, pod and container:
//
//	/var/log/pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log
//	/var/log/containers/POD_NAMESPACE_CONTAINER-ID.log
//
// and for those of Docker the container's id, of which twelve digits are a name when there is no
// other:
//
//	/var/lib/docker/containers/ID/ID-json.log
//
// where only the last two directories, or the last one, count, so that they may be mounted
// elsewhere. Any other file is described by log.file.path. defaults come behind what the path
// tells, and of equal keys the first one counts; but service.name is from defaults, else it is
// the container's name, else the file's without .log and what follows.
func NewResource(filePath string, defaults []Attr) *Resource {
	var d description
	service := fileService(filePath)
	if container := d.pod(filePath); container != "" {
		service = container
	} else if container := d.container(filePath); container != "" {
		service = container
	} else if id := d.docker(filePath); id != "" {
		service = id[:shortID]
	} else {
		d.add("log.file.path", filePath)
	}
	for _, a := range defaults {
		d.add(a.Key, a.Value)
	}
	d.add("service.name", service)
	return d.resource()
}

// NewResourceOf describes what has these attributes. Of equal keys the first one counts, and an
// empty value is none.
func NewResourceOf(attrs []Attr) *Resource {
	var d description
	for _, a := range attrs {
		d.add(a.Key, a.Value)
	}
	return d.resource()
}

// A description is a list of attributes with unique keys.
type description struct {
	attributes []byte
	keys       map[string]bool
}

func (d *description) resource() *Resource {
	encoded, start := begin(nil, resourceLogsResource)
	return &Resource{end(append(encoded, d.attributes...), start)}
}

// admit tells whether an attribute with that key is missing.
func (d *description) admit(key string) bool {
	if key == "" || d.keys[key] {
		return false
	}
	if d.keys == nil {
		d.keys = make(map[string]bool)
	}
	d.keys[key] = true
	return true
}

func (d *description) add(key, value string) {
	if !d.admit(key) || value == "" {
		return
	}
	dst, begun := beginEntry(d.attributes, resourceAttributes, []byte(strings.ToValidUTF8(key, "\uFFFD")))
	d.attributes = endEntry(appendBytes(dst, valueString, strings.ToValidUTF8(value, "\uFFFD")), begun)
}

func (d *description) addInt(key string, value int64) {
	d.admit(key)
	dst, begun := beginEntry(d.attributes, resourceAttributes, []byte(key))
	d.attributes = endEntry(appendInt(dst, value), begun)
}

// pod adds what a path below pods tells and returns the container's name, if it is one. Rotated
// files have a date behind .log.
func (d *description) pod(filePath string) (container string) {
	dir, file := path.Split(filePath)
	dir, container = path.Split(path.Clean(dir))
	dir, pod := path.Split(path.Clean(dir))
	name := strings.Split(pod, "_")
	restarts, _, isLog := strings.Cut(file, ".log")
	count, err := strconv.ParseUint(restarts, 10, 31)
	if path.Base(dir) != "pods" || len(name) != 3 || !isLog || err != nil {
		return ""
	}
	d.add("k8s.namespace.name", name[0])
	d.add("k8s.pod.name", name[1])
	d.add("k8s.pod.uid", name[2])
	d.add("k8s.container.name", container)
	d.addInt("k8s.container.restart_count", int64(count))
	return container
}

// container adds what a path below containers tells and returns the container's name, if it is
// one.
func (d *description) container(filePath string) (container string) {
	dir, file := path.Split(filePath)
	base, isLog := strings.CutSuffix(file, ".log")
	name := strings.Split(base, "_")
	if path.Base(dir) != "containers" || len(name) != 3 || !isLog {
		return ""
	}
	i := strings.LastIndexByte(name[2], '-')
	if i <= 0 {
		return ""
	}
	container = name[2][:i]
	d.add("k8s.namespace.name", name[1])
	d.add("k8s.pod.name", name[0])
	d.add("k8s.container.name", container)
	d.add("container.id", name[2][i+1:])
	return container
}

// Digits of a container's id, and how many of them people use.
const (
	containerID = 64
	shortID     = 12
)

// docker adds what a path of Docker's tells and returns the container's id, if it is one. Rotated
// files have a number behind -json.log.
func (d *description) docker(filePath string) (id string) {
	dir, file := path.Split(filePath)
	dir, id = path.Split(path.Clean(dir))
	rotated, ok := strings.CutPrefix(file, id+"-json.log")
	if path.Base(dir) != "containers" || len(id) != containerID || strings.Trim(id, "0123456789abcdef") != "" || !ok || rotated != "" && rotated[0] != '.' {
		return ""
	}
	d.add("container.id", id)
	return id
}

// fileService is the name of a service whose log is that file.
func fileService(filePath string) string {
	base := path.Base(filePath)
	if i := strings.Index(base+".", ".log."); i >= 0 {
		base = base[:i]
	}
	if base == "" || base == "." || base == "/" {
		return "unknown_service"
	}
	return base
}
