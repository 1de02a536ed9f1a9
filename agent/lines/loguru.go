package lines

const loguruSlots = 1<<slotText | 1<<slotRecord

// loguru reads an object as loguru serializes it: text is the line that it would have printed, and
// record is what it knows, of which each member goes where a key of its own would. Left out is
// what says nothing more: icons, the file's and the process's name, the module, and the time since
// the program began. Anything else with such keys keeps them as attributes.
func (e *Encoder) loguru() {
	l := &e.line
	if l.have&loguruSlots == 0 {
		return
	}
	printed, hasText := l.take(slotText)
	record, hasRecord := l.take(slotRecord)
	if hasText && hasRecord && !l.has(slotBody) && !l.has(slotLevel) && printed.value.kind == text && e.loguruRecord(record.value, printed.value) {
		return
	}
	if hasText {
		e.keep(printed)
	}
	if hasRecord {
		e.keep(record)
	}
}

// A loguruMember is a member of a record that is a scalar, or the one named in it that is.
type loguruMember struct {
	key, inner string
	slot       slot
}

var loguruMembers = [...]loguruMember{
	{"message", "", slotBody},
	{"level", "name", slotLevel},
	{"time", "timestamp", slotTime},
	{"name", "", slotLogger},
	{"function", "", slotFunction},
	{"line", "", slotLine},
	{"file", "path", slotPathname},
	{"process", "id", slotProcess},
	{"thread", "id", slotThread},
	{"thread", "name", slotThreadName},
}

func (e *Encoder) loguruRecord(record, printed token) bool {
	if record.kind != object {
		return false
	}
	s := e.scannerAt(record)
	for key, more := s.member(true); more; key, more = s.member(false) {
		if s.any(); !isLoguru(e.text(key)) {
			return false
		}
	}
	if message, level := e.memberOf(record, "message"), e.memberOf(e.memberOf(record, "level"), "name"); message.kind != text || level.kind != text {
		return false
	}
	for _, m := range loguruMembers {
		value := e.memberOf(record, m.key)
		if m.inner != "" {
			value = e.memberOf(value, m.inner)
		}
		if value.kind == invalid || value.kind == null || value.kind == object || value.kind == array || e.line.has(m.slot) {
			continue
		}
		e.line.have |= 1 << m.slot
		e.line.held[m.slot] = held{value: value, key: e.keyBefore(record, m.key)}
	}
	level := e.memberOf(record, "level")
	if number := e.memberOf(level, "no"); number.kind == integer && severityOf(e.text(e.memberOf(level, "name"))) == 0 {
		e.line.have |= 1 << slotLevelNumber // of a level of somebody's own
		e.line.held[slotLevelNumber] = held{value: number, key: e.keyBefore(level, "no")}
	}
	if exception := e.memberOf(record, "exception"); exception.kind == object {
		e.loguruException(exception, printed)
	}
	e.spread(e.memberOf(record, "extra"))
	return true
}

// isLoguru tells whether loguru's records have a member with that key.
func isLoguru(key []byte) bool {
	switch string(key) {
	case "elapsed", "exception", "extra", "file", "function", "level", "line", "message", "module", "name", "process", "thread", "time":
		return true
	}
	return false
}

// loguruException fills in the exception, whose stack trace is in what would have been printed.
func (e *Encoder) loguruException(exception, printed token) {
	if name := e.memberOf(exception, "type"); name.kind == text {
		addString(&e.record, exceptionType, e.text(name))
	}
	if message := e.memberOf(exception, "value"); message.kind == text {
		e.record.addLong(exceptionMessage, e.text(message))
	}
	line := e.text(printed)
	if i := pythonTraceback(line); i >= 0 {
		stack := line[i:]
		for len(stack) > 0 && stack[len(stack)-1] == '\n' {
			stack = stack[:len(stack)-1]
		}
		e.record.addLong(exceptionStacktrace, stack)
	}
}

// memberOf is the value of the last member with that key, a zero token if there is none or t is no
// object.
func (e *Encoder) memberOf(t token, name string) (value token) {
	if t.kind != object {
		return token{}
	}
	s := e.scannerAt(t)
	for key, more := s.member(true); more; key, more = s.member(false) {
		if v := s.any(); string(e.text(key)) == name {
			value = v
		}
	}
	return value
}

// keyBefore is where the quote of that key of an object is, which it has.
func (e *Encoder) keyBefore(t token, name string) (at int) {
	s := e.scannerAt(t)
	for key, more := s.member(true); more; key, more = s.member(false) {
		if s.any(); string(e.text(key)) == name {
			at = key.start - 1
		}
	}
	return at
}

// spread makes an attribute of each member of an object, but for those of a trace.
func (e *Encoder) spread(t token) {
	if t.kind != object {
		return
	}
	s := e.scannerAt(t)
	for key, more := s.member(true); more; key, more = s.member(false) {
		value := s.any()
		name := e.text(key)
		if f := e.keys.meaning(name, hash(name)); traceSlots&(1<<f.slot) != 0 {
			e.hold(f, key.start-1, value)
		} else {
			e.keep(&held{value: value, key: key.start - 1})
		}
	}
}
