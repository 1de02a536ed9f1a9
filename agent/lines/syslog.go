package lines

// priorities are syslog's, with the severity numbers that stand for them. The first three are all
// fatal here, as they are when a line names them, and differ so that their order is kept.
var priorities = [8]struct {
	name     string
	severity uint8
}{
	{"emerg", severityFatal + 2},
	{"alert", severityFatal + 1},
	{"crit", severityFatal},
	{"err", severityError},
	{"warning", severityWarn},
	{"notice", severityInfo + 1},
	{"info", severityInfo},
	{"debug", severityDebug},
}

// setPriority fills in the severity, unless it is known already.
func (r *record) setPriority(digit string) {
	if r.leveled || r.severity != 0 || len(digit) != 1 || digit[0] < '0' || digit[0] > '7' {
		return
	}
	p := &priorities[digit[0]-'0']
	r.severity = p.severity
	r.setLevel([]byte(p.name))
}
