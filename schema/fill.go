package schema

// A fill is how the rows of a table fill a column. It is given the column of a new
// Rows and has the Rows call back for every row, or for every part of one. A column
// without a fill is the server's to fill.
type fill func(*Rows, blockColumn)

// fillers add a row's, or a part's, values to its columns, one call a column.
type fillers[R any] []func(*R)

func (f fillers[R]) add(row *R) {
	for _, fill := range f {
		fill(row)
	}
}

// bound hands the column on, for rows that are not only added but changed, too.
func bound[C blockColumn](bind func(*Rows, C)) fill {
	return func(r *Rows, c blockColumn) { bind(r, c.(C)) }
}

func into[C blockColumn, R any](list func(*Rows) *fillers[R], add func(C, *R)) fill {
	return bound(func(r *Rows, c C) {
		l := list(r)
		*l = append(*l, func(row *R) { add(c, row) })
	})
}

func fromLog[C blockColumn](add func(C, *logRow)) fill {
	return into(func(r *Rows) *fillers[logRow] { return &r.logs }, add)
}

func fromSpan[C blockColumn](add func(C, *spanRow)) fill {
	return into(func(r *Rows) *fillers[spanRow] { return &r.spans }, add)
}

func fromPoint[C blockColumn](add func(C, *pointRow)) fill {
	return into(func(r *Rows) *fillers[pointRow] { return &r.points }, add)
}

// parts are what a row has any number of: a span's events and links, a point's
// exemplars. Their columns are arrays.
type parts[P any] struct {
	fill fillers[P]
	ends []func()
}

// end closes the row that the parts were added to.
func (p *parts[P]) end() {
	for _, end := range p.ends {
		end()
	}
}

func eachPart[E blockColumn, P any](list func(*Rows) *parts[P], add func(E, *P)) fill {
	return bound(func(r *Rows, c *arrays[E]) {
		l := list(r)
		l.fill = append(l.fill, func(part *P) { add(c.elems, part) })
		l.ends = append(l.ends, c.end)
	})
}

func eachEvent[E blockColumn](add func(E, *spanEvent)) fill {
	return eachPart(func(r *Rows) *parts[spanEvent] { return &r.events }, add)
}

func eachLink[E blockColumn](add func(E, *spanLink)) fill {
	return eachPart(func(r *Rows) *parts[spanLink] { return &r.links }, add)
}

func eachExemplar[E blockColumn](add func(E, *exemplar)) fill {
	return eachPart(func(r *Rows) *parts[exemplar] { return &r.exemplars }, add)
}

// A repeater can add its last row again, cheaper than it can add it anew.
type repeater interface {
	blockColumn
	repeat(times int)
}

// A head is a column that is filled from what the rows of a scope share: anew for the
// first row of it in a Rows, and for all others at once, from that row.
type head struct {
	add    func(*header)
	column repeater
}

func fromHead[C repeater](add func(C, *header)) fill {
	return bound(func(r *Rows, c C) {
		r.heads = append(r.heads, head{func(h *header) { add(c, h) }, c})
	})
}

// fromStream fills the column of streams, which tells where one record ends.
func fromStream(r *Rows, c blockColumn) {
	r.stream = c.(*lowCard)
	fromHead(func(c *lowCard, h *header) { c.add(h.stream) })(r, c)
}
