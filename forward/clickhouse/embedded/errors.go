package embedded

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// Exception is an error of the engine, or one of ours in the same form, as a ClickHouse server would report it.
type Exception struct {
	Code int32  // ClickHouse's number of the error, 60 for UNKNOWN_TABLE
	Text string // "Code: 60. DB::Exception: Unknown table … (UNKNOWN_TABLE)"
}

func (e *Exception) Error() string { return e.Text }

var (
	exceptionCode = regexp.MustCompile(`Code: (\d+)\. `)
	// The engine adds its version to some texts and not to others.
	exceptionVersion = regexp.MustCompile(` \(version [0-9.]+( \([a-z ]*\))?\)\s*$`)
)

// parseException reads what the engine gives as the text of an error.
func parseException(text string) *Exception {
	e := &Exception{Code: int32(proto.ErrUnknownException), Text: strings.TrimSpace(exceptionVersion.ReplaceAllString(text, ""))}
	if m := exceptionCode.FindStringSubmatch(text); m != nil {
		if code, err := strconv.ParseInt(m[1], 10, 32); err == nil && code > 0 {
			e.Code = int32(code)
		}
	}
	return e
}

// exception makes an error of ours. The name is ClickHouse's for the code.
func exception(code proto.Error, name, message string) *Exception {
	return &Exception{
		Code: int32(code),
		Text: "Code: " + strconv.Itoa(int(code)) + ". DB::Exception: " + message + " (" + name + ")",
	}
}

func unsupported(message string) *Exception {
	return exception(proto.ErrNotImplemented, "NOT_IMPLEMENTED", message)
}

// nativeText is the message as the native protocol carries it: the number travels apart from it.
func (e *Exception) nativeText() string {
	return strings.TrimPrefix(e.Text, "Code: "+strconv.Itoa(int(e.Code))+". ")
}

// httpText is the message as a body of the HTTP protocol.
func (e *Exception) httpText(version string) string {
	return e.Text + " (version " + version + " (official build))"
}

// httpStatus is the status ClickHouse answers with for the kinds of error that clients tell apart by it.
func (e *Exception) httpStatus() int {
	switch proto.Error(e.Code) {
	case proto.ErrRequiredPassword:
		return http.StatusUnauthorized
	case proto.ErrUnknownUser, proto.ErrWrongPassword:
		return http.StatusForbidden
	case proto.ErrBadArguments, proto.ErrSyntaxError, proto.ErrIncorrectData, proto.ErrTypeMismatch,
		proto.ErrCannotParseText, proto.ErrCannotParseEscapeSequence, proto.ErrCannotParseQuotedString,
		proto.ErrCannotParseDate, proto.ErrCannotParseDatetime, proto.ErrCannotParseNumber,
		proto.ErrCannotParseInputAssertionFailed, proto.ErrValueIsOutOfRangeOfDataType:
		return http.StatusBadRequest
	case proto.ErrUnknownTable, proto.ErrUnknownDatabase, proto.ErrUnknownFunction, proto.ErrUnknownIdentifier,
		proto.ErrUnknownType, proto.ErrUnknownStorage, proto.ErrUnknownSetting, proto.ErrUnknownFormat:
		return http.StatusNotFound
	case proto.ErrQueryIsTooLarge:
		return http.StatusRequestEntityTooLarge
	case proto.ErrTimeoutExceeded:
		return http.StatusRequestTimeout
	case proto.ErrNotImplemented:
		return http.StatusNotImplemented
	case proto.ErrTooManySimultaneousQueries, proto.ErrSocketTimeout:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
