package agent

import "github.com/prometheus/client_golang/prometheus"

// filesCollector shows the tailer's account: read = emitted + joined + dropped, in bytes.
type filesCollector struct {
	f     *Files
	files *prometheus.Desc
	bytes *prometheus.Desc
	lines *prometheus.Desc
}

// NewFilesCollector is the metrics of f.
func NewFilesCollector(f *Files) prometheus.Collector {
	return &filesCollector{f: f,
		files: prometheus.NewDesc("spillway_tail_files", "Log files.", []string{"state"}, nil),
		bytes: prometheus.NewDesc("spillway_tail_bytes_total", "Bytes of log files, by what became of them.", []string{"outcome"}, nil),
		lines: prometheus.NewDesc("spillway_tail_lines_total", "Lines of log files, by what became of them.", []string{"outcome"}, nil),
	}
}

// Describe is a prometheus.Collector's.
func (c *filesCollector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, ch) }
