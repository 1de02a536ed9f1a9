// Package docs is the pages that the program itself shows.
package docs

import _ "embed"

// Operating says what each warning and error means, and what to do.
//
//go:embed operating.md
var Operating string
