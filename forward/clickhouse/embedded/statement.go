package embedded

import (
	"fmt"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

type statementKind int

const (
	other   statementKind = iota // runs, and its result is taken whole
	selects                      // its result is streamed
	inserts                      // takes data; INSERT … SELECT is other
)

// statement is what has to be known of a statement before the engine gets it: a server reads the data of an INSERT itself, while
// the engine wants statement and data apart.
type statement struct {
	kind     statementKind
	readonly bool
	text     string // what the engine is given, without FORMAT clause, VALUES or data
	format   string // of the result, or of an INSERT's data; "" when the statement does not say

	// Of inserts:
	target  string   // the table as written; as DESCRIBE TABLE takes it
	columns []string // unquoted; nil when there is no list
	data    string   // what followed FORMAT or VALUES
}

// parseStatement looks at the outline of a statement; whether it is valid is for the engine to say.
func parseStatement(sql string) (statement, error) {
	p := &outline{lexer: lexer{text: sql}}
	p.next()
	if p.tok.isWord("INSERT") {
		return p.insert()
	}
	return p.other()
}

// outline reads a statement token by token, with one token of look-ahead in tok.
type outline struct {
	lexer
	tok token
}

func (p *outline) next() { p.tok = p.lexer.next() }

var readonlyWords = map[string]bool{
	"SELECT": true, "WITH": true, "FROM": true, "SHOW": true, "DESCRIBE": true, "DESC": true, "EXISTS": true, "EXPLAIN": true,
}

// other reads any statement but INSERT.
func (p *outline) other() (statement, error) {
	first := strings.ToUpper(p.tok.text)
	s := statement{text: p.lexer.text, readonly: readonlyWords[first] || first == "("}
	if first == "SELECT" || first == "WITH" || first == "FROM" || first == "(" {
		s.kind = selects
	}
	return p.clauses(s)
}

// clauses reads on to the end of a statement that brings no data, and takes its FORMAT clause out.
func (p *outline) clauses(s statement) (statement, error) {
	for depth := 0; p.tok.kind != tokEnd; {
		switch at := p.tok; {
		case at.text == "(" || at.text == "[" || at.text == "{":
			depth++
			p.next()
		case at.text == ")" || at.text == "]" || at.text == "}":
			depth--
			p.next()
		case depth > 0:
			p.next()
		case at.isWord("INTO"):
			if p.next(); p.tok.isWord("OUTFILE") {
				return s, unsupported("INTO OUTFILE is for clients to carry out")
			}
			s.kind, s.readonly = other, false // WITH … INSERT INTO … SELECT
		case at.isWord("FORMAT"):
			p.next()
			name := p.tok
			if name.kind != tokWord {
				break
			}
			p.next()
			if p.tok.kind == tokEnd || p.tok.text == ";" || p.tok.isWord("SETTINGS") { // else it is a column of that name
				s.format = name.text
				s.text = s.text[:at.pos] + strings.Repeat(" ", name.end-at.pos) + s.text[name.end:]
			}
		case at.text == ";":
			for p.tok.text == ";" {
				p.next()
			}
			if p.tok.kind != tokEnd {
				return s, exception(proto.ErrSyntaxError, "SYNTAX_ERROR", "Multi-statements are not allowed")
			}
			s.text = s.text[:at.pos]
		default:
			p.next()
		}
	}
	return s, nil
}

// insert reads an INSERT up to where its data begins.
func (p *outline) insert() (statement, error) {
	s := statement{kind: inserts}
	p.next()
	if p.tok.isWord("INTO") {
		p.next()
	}
	if p.tok.isWord("TABLE") {
		p.next()
	}
	function := p.tok.isWord("FUNCTION")
	if function {
		p.next()
	}
	from := p.tok.pos
	to := p.name()
	if function && p.tok.text == "(" {
		to = p.parens()
	}
	s.target = p.lexer.text[from:to]
	if p.tok.text == "(" {
		if columns, ok := p.columnList(); ok {
			s.columns = columns
		} else {
			return p.clauses(statement{kind: other, text: p.lexer.text})
		}
	}
	for {
		switch at := p.tok; {
		case at.kind == tokEnd || at.text == ";":
			s.text = p.lexer.text[:at.pos]
			return s, nil
		case at.isWord("VALUES"):
			s.text, s.format, s.data = p.lexer.text[:at.pos], "Values", p.lexer.text[at.end:]
			return s, nil
		case at.isWord("FORMAT"):
			p.next()
			if p.tok.kind != tokWord {
				return s, exception(proto.ErrSyntaxError, "SYNTAX_ERROR", fmt.Sprintf("Expected the name of a format at position %d", at.end))
			}
			s.text, s.format = p.lexer.text[:at.pos], p.tok.text
			s.data = inlineData(p.lexer.text[p.tok.end:])
			return s, nil
		case at.isWord("INFILE"):
			return s, unsupported("FROM INFILE is for clients to carry out")
		case at.isWord("SELECT") || at.isWord("WITH") || at.text == "(":
			return p.clauses(statement{kind: other, text: p.lexer.text})
		default:
			p.next()
		}
	}
}

// inlineData is what stands behind "FORMAT name": the blanks up to and with the first line end are not data, nor is a lone
// semicolon.
func inlineData(rest string) string {
	data := strings.TrimLeft(rest, " \t\r")
	data = strings.TrimPrefix(data, "\n")
	if strings.Trim(data, "; \t\r\n") == "" {
		return ""
	}
	return data
}

// name skips a name of one or more parts, each a word, a quoted name or a {parameter}, and returns where it ends.
func (p *outline) name() int {
	for {
		end := p.tok.end
		if p.tok.text == "{" {
			for p.tok.kind != tokEnd && p.tok.text != "}" {
				p.next()
			}
			end = p.tok.end
		}
		if p.next(); p.tok.text != "." {
			return end
		}
		p.next()
	}
}

// parens skips from an opening parenthesis to its closing one, and returns where that ends.
func (p *outline) parens() int {
	for depth := 0; p.tok.kind != tokEnd; {
		end := p.tok.end
		switch p.tok.text {
		case "(":
			depth++
		case ")":
			depth--
		}
		p.next()
		if depth == 0 {
			return end
		}
	}
	return len(p.lexer.text)
}

// columnList reads "(a, `b`, n.c)". It is not ok when the parenthesis holds something else: a SELECT, or a pattern like * EXCEPT.
func (p *outline) columnList() (columns []string, ok bool) {
	column := ""
	for p.next(); ; p.next() {
		switch {
		case p.tok.kind == tokWord && strings.EqualFold(p.tok.text, "SELECT"), p.tok.kind == tokEnd:
			return nil, false
		case p.tok.kind == tokWord || p.tok.kind == tokQuotedName:
			column += p.tok.name()
		case p.tok.text == ".":
			column += "."
		case p.tok.text == ",":
			columns, column = append(columns, column), ""
		case p.tok.text == ")":
			p.next()
			return append(columns, column), true
		default:
			return nil, false
		}
	}
}
