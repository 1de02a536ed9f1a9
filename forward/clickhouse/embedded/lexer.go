package embedded

import "strings"

type tokenKind int

const (
	tokEnd        tokenKind = iota
	tokWord                 // keyword or bare name
	tokQuotedName           // `name` or "name"
	tokLiteral              // number, 'string' or $$string$$
	tokSign                 // one byte of punctuation
)

// token is a piece of a statement: text[pos:end] of the lexer. Its text is empty for literals, so that comparing the text with a
// sign or a word never takes a string for one.
type token struct {
	kind     tokenKind
	text     string
	pos, end int
}

func (t token) isWord(upper string) bool {
	return t.kind == tokWord && strings.EqualFold(t.text, upper)
}

// name is the name that a word or a quoted name stands for.
func (t token) name() string {
	if t.kind != tokQuotedName {
		return t.text
	}
	var b strings.Builder
	inner := t.text[1 : len(t.text)-1]
	for i := 0; i < len(inner); i++ {
		if (inner[i] == '\\' || inner[i] == t.text[0]) && i+1 < len(inner) {
			i++ // of an escaped character, or of the second of two quotes
		}
		b.WriteByte(inner[i])
	}
	return b.String()
}

// lexer cuts ClickHouse SQL into tokens. It knows strings, quoted names and comments, so that a keyword inside one is not seen.
type lexer struct {
	text string
	at   int
}

func (l *lexer) next() token {
	l.skipBlank()
	start := l.at
	if start == len(l.text) {
		return token{pos: start, end: start}
	}
	switch c := l.text[start]; {
	case c == '\'':
		l.quoted(c)
		return token{kind: tokLiteral, pos: start, end: l.at}
	case c == '`' || c == '"':
		if !l.quoted(c) {
			return token{kind: tokLiteral, pos: start, end: l.at}
		}
		return token{kind: tokQuotedName, text: l.text[start:l.at], pos: start, end: l.at}
	case c == '$' && l.heredoc():
		return token{kind: tokLiteral, pos: start, end: l.at}
	case c >= '0' && c <= '9':
		l.word()
		return token{kind: tokLiteral, pos: start, end: l.at}
	case isWordByte(c):
		l.word()
		return token{kind: tokWord, text: l.text[start:l.at], pos: start, end: l.at}
	default:
		l.at++
		return token{kind: tokSign, text: l.text[start:l.at], pos: start, end: l.at}
	}
}

func (l *lexer) skipBlank() {
	for l.at < len(l.text) {
		rest := l.text[l.at:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v", rest[0]) >= 0:
			l.at++
		case strings.HasPrefix(rest, "--"), rest[0] == '#' && len(rest) > 1 && (rest[1] == ' ' || rest[1] == '!'):
			l.skipPast("\n")
		case strings.HasPrefix(rest, "/*"):
			l.at += 2
			l.skipPast("*/")
		default:
			return
		}
	}
}

func (l *lexer) skipPast(mark string) {
	if i := strings.Index(l.text[l.at:], mark); i >= 0 {
		l.at += i + len(mark)
	} else {
		l.at = len(l.text)
	}
}

// quoted moves past a quoted piece, and says whether it was closed.
func (l *lexer) quoted(quote byte) bool {
	for l.at++; l.at < len(l.text); l.at++ {
		switch l.text[l.at] {
		case '\\':
			l.at++
		case quote:
			if l.at++; l.at == len(l.text) || l.text[l.at] != quote {
				return true
			}
		}
	}
	l.at = len(l.text)
	return false
}

// heredoc moves past $tag$ … $tag$, if there is one here.
func (l *lexer) heredoc() bool {
	i := strings.IndexByte(l.text[l.at+1:], '$')
	if i < 0 {
		return false
	}
	tag := l.text[l.at : l.at+i+2]
	for j := 1; j < len(tag)-1; j++ {
		if !isWordByte(tag[j]) {
			return false
		}
	}
	l.at += len(tag)
	l.skipPast(tag)
	return true
}

func (l *lexer) word() {
	for l.at < len(l.text) && isWordByte(l.text[l.at]) {
		l.at++
	}
}

func isWordByte(c byte) bool {
	return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
