package clickhouse

import (
	"errors"
	"strings"

	driver "github.com/ClickHouse/clickhouse-go/v2"
)

// ClickHouse does not say which of its errors may go away. This table does; names and numbers
// are those of the server's ErrorCodes.cpp, held against a real engine by a test.

// A class is what to do about an error.
type class uint8

const (
	transient class = iota // try again, with the same block and token
	config                 // every INSERT fails until somebody acts: hold, say what to do, try again slowly
	poison                 // the block itself: find the culprit
	fenced                 // it came too late: the caller decides
)

func (c class) String() string { return [...]string{"transient", "config", "poison", "fenced"}[c] }

// codeClass holds the codes that are not transient. An unknown code is transient: wrongly
// trying again costs time, wrongly giving up costs data.
var codeClass = map[int32]class{
	16:  config, // NO_SUCH_COLUMN_IN_TABLE
	60:  config, // UNKNOWN_TABLE
	81:  config, // UNKNOWN_DATABASE
	115: config, // UNKNOWN_SETTING
	164: config, // READONLY
	192: config, // UNKNOWN_USER
	193: config, // WRONG_PASSWORD
	194: config, // REQUIRED_PASSWORD
	452: config, // SETTING_CONSTRAINT_VIOLATION
	497: config, // ACCESS_DENIED
	516: config, // AUTHENTICATION_FAILED
	701: config, // CLUSTER_DOESNT_EXIST

	6:   poison, // CANNOT_PARSE_TEXT
	26:  poison, // CANNOT_PARSE_QUOTED_STRING
	27:  poison, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
	38:  poison, // CANNOT_PARSE_DATE
	41:  poison, // CANNOT_PARSE_DATETIME
	53:  poison, // TYPE_MISMATCH
	69:  poison, // ARGUMENT_OUT_OF_BOUND
	70:  poison, // CANNOT_CONVERT_TYPE
	72:  poison, // CANNOT_PARSE_NUMBER
	117: poison, // INCORRECT_DATA
	131: poison, // TOO_LARGE_STRING_SIZE
	321: poison, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
	349: poison, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
	469: poison, // VIOLATED_CONSTRAINT
}

// hints say what an operator can do about a config error.
var hints = map[int32]string{
	16:  "the table lacks a column: run spillway schema apply, or set schema.create: true",
	60:  "the table does not exist: run spillway schema apply, or set schema.create: true",
	81:  "the database does not exist: run spillway schema apply, or set schema.create: true",
	164: "the user or the server is read-only: use a user that may INSERT",
	192: "check user and password in forward.clickhouse.dsn",
	193: "check user and password in forward.clickhouse.dsn",
	194: "check user and password in forward.clickhouse.dsn",
	497: "the user lacks a grant: it needs INSERT, SELECT and SHOW on the database",
	516: "check user and password in forward.clickhouse.dsn",
}

const fenceCode = 395 // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO

func classify(err error) class {
	ex, ok := errors.AsType[*driver.Exception](err)
	if !ok {
		return transient
	}
	switch {
	case strings.Contains(ex.Message, "while pushing to view"):
		return config // the rows themselves were fine
	case ex.Code == fenceCode && strings.Contains(ex.Message, "fenced"):
		return fenced
	case ex.Code == 252 && strings.Contains(ex.Message, "partitions"):
		return poison // too many partitions for one block; too many parts is transient
	}
	return codeClass[ex.Code]
}

// hint is what to do about err, or "".
func hint(err error) string {
	if ex, ok := errors.AsType[*driver.Exception](err); ok {
		return hints[ex.Code]
	}
	return ""
}
