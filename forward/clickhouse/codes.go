package clickhouse

import (
	"errors"
	"net"
	"strings"

	driver "github.com/ClickHouse/clickhouse-go/v2"
)

// A class is what to do about an error.
type class uint8

const (
	// transient: not stored, and may be next time. The same block is sent again with the same token.
	transient class = iota
	// ambiguous: nobody knows whether it was stored. As transient, and the block is never cut anew:
	// only its token keeps it from being stored twice.
	ambiguous
	// crowded: the table has more parts than it can merge. Fewer and larger blocks, and patience.
	crowded
	// heavy: the block takes more memory than there is. As transient, then in halves.
	heavy
	// config: every block fails until somebody acts. Not stored, not kept here: senders are told
	// to wait, and what to do is logged. The next try finds out whether somebody did.
	config
	// poison: the block's own fault. The culprit is looked for.
	poison
	// fenced: it came too late. The caller decides.
	fenced
)

func (c class) String() string {
	return [...]string{"transient", "ambiguous", "crowded", "heavy", "config", "poison", "fenced"}[c]
}

// A code is one of ClickHouse's error codes. The server does not say which of its errors may go
// away; this table does. Numbers and names are those of its ErrorCodes.cpp, held against a real
// engine by a test.
type code struct {
	name  string
	class class
	hint  string // what an operator can do, "" if nothing
}

const (
	hintApply  = "run spillway schema apply, or set schema.create: true"
	hintUser   = "check user and password in forward.clickhouse.dsn"
	hintGrants = "grant the user what deploy/clickhouse/grants.sql says"
	hintParts  = "more INSERTs than merges: look at system.parts and system.merges; fewer, larger batches come by themselves"
	hintDisk   = "free or add disk space, shorten retention, or set cold_after"
	hintKeeper = "ClickHouse cannot reach Keeper or ZooKeeper: look at system.zookeeper and the replica's log"
	hintS3     = "the object storage of the cold volume does not answer: hot data goes on; see docs/clickhouse.md, Hot and cold"
)

// codes holds what is known. A code that is not here is ambiguous: wrongly trying again costs
// time, wrongly giving up costs data, and wrongly taking a block for lost stores it twice.
var codes = map[int32]code{
	3:   {"UNEXPECTED_END_OF_FILE", ambiguous, ""},
	32:  {"ATTEMPT_TO_READ_AFTER_EOF", ambiguous, ""},
	33:  {"CANNOT_READ_ALL_DATA", ambiguous, ""},
	159: {"TIMEOUT_EXCEEDED", ambiguous, ""},
	160: {"TOO_SLOW", transient, ""},
	198: {"DNS_ERROR", transient, ""},
	201: {"QUOTA_EXCEEDED", transient, "raise the user's quota"},
	202: {"TOO_MANY_SIMULTANEOUS_QUERIES", transient, "raise max_concurrent_queries"},
	203: {"NO_FREE_CONNECTION", transient, ""},
	209: {"SOCKET_TIMEOUT", ambiguous, ""},
	210: {"NETWORK_ERROR", ambiguous, ""},
	225: {"NO_ZOOKEEPER", transient, hintKeeper},
	236: {"ABORTED", ambiguous, ""},
	242: {"TABLE_IS_READ_ONLY", transient, hintKeeper},
	243: {"NOT_ENOUGH_SPACE", transient, hintDisk},
	254: {"NO_ACTIVE_REPLICAS", transient, hintKeeper},
	279: {"ALL_CONNECTION_TRIES_FAILED", transient, ""},
	285: {"TOO_FEW_LIVE_REPLICAS", transient, "not enough replicas are up for insert_quorum"},
	286: {"UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", transient, "not enough replicas are up for insert_quorum"},
	289: {"REPLICA_IS_NOT_IN_QUORUM", transient, ""},
	297: {"SHARD_HAS_NO_CONNECTIONS", transient, ""},
	319: {"UNKNOWN_STATUS_OF_INSERT", ambiguous, ""},
	364: {"RECEIVED_ERROR_TOO_MANY_REQUESTS", transient, ""},
	394: {"QUERY_WAS_CANCELLED", ambiguous, ""},
	425: {"SYSTEM_ERROR", ambiguous, ""},
	439: {"CANNOT_SCHEDULE_TASK", ambiguous, ""},
	473: {"DEADLOCK_AVOIDED", transient, ""},
	499: {"S3_ERROR", transient, hintS3},
	574: {"DISTRIBUTED_TOO_MANY_PENDING_BYTES", transient, ""},
	733: {"TABLE_IS_BEING_RESTARTED", transient, ""},
	745: {"SERVER_OVERLOADED", transient, ""},
	999: {"KEEPER_EXCEPTION", ambiguous, hintKeeper},

	252: {"TOO_MANY_PARTS", crowded, hintParts}, // or poison, by its message: see classify

	173: {"CANNOT_ALLOCATE_MEMORY", heavy, "give the server more memory"},
	241: {"MEMORY_LIMIT_EXCEEDED", heavy, "give the server more memory"},

	10:  {"NOT_FOUND_COLUMN_IN_BLOCK", config, hintApply},
	16:  {"NO_SUCH_COLUMN_IN_TABLE", config, hintApply},
	44:  {"ILLEGAL_COLUMN", config, hintApply},
	47:  {"UNKNOWN_IDENTIFIER", config, hintApply},
	60:  {"UNKNOWN_TABLE", config, hintApply},
	81:  {"UNKNOWN_DATABASE", config, hintApply},
	115: {"UNKNOWN_SETTING", config, "the server is older than 26.3, or its user's profile forbids settings"},
	164: {"READONLY", config, "the user or the server is read-only: use a user that may INSERT"},
	192: {"UNKNOWN_USER", config, hintUser},
	193: {"WRONG_PASSWORD", config, hintUser},
	194: {"REQUIRED_PASSWORD", config, hintUser},
	218: {"TABLE_IS_DROPPED", config, hintApply},
	452: {"SETTING_CONSTRAINT_VIOLATION", config, "the user's profile must allow the settings that spillway sends: see deploy/clickhouse/grants.sql"},
	497: {"ACCESS_DENIED", config, hintGrants},
	516: {"AUTHENTICATION_FAILED", config, hintUser},
	701: {"CLUSTER_DOESNT_EXIST", config, "define the cluster in remote_servers, or correct schema.cluster"},

	6:   {"CANNOT_PARSE_TEXT", poison, ""},
	26:  {"CANNOT_PARSE_QUOTED_STRING", poison, ""},
	27:  {"CANNOT_PARSE_INPUT_ASSERTION_FAILED", poison, ""},
	38:  {"CANNOT_PARSE_DATE", poison, ""},
	41:  {"CANNOT_PARSE_DATETIME", poison, ""},
	53:  {"TYPE_MISMATCH", poison, ""},
	69:  {"ARGUMENT_OUT_OF_BOUND", poison, ""},
	70:  {"CANNOT_CONVERT_TYPE", poison, ""},
	72:  {"CANNOT_PARSE_NUMBER", poison, ""},
	117: {"INCORRECT_DATA", poison, ""},
	131: {"TOO_LARGE_STRING_SIZE", poison, ""},
	321: {"VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE", poison, ""},
	349: {"CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN", poison, ""},
	395: {"FUNCTION_THROW_IF_VALUE_IS_NON_ZERO", poison, ""}, // or fenced, by its message
	469: {"VIOLATED_CONSTRAINT", poison, ""},
	691: {"UNKNOWN_ELEMENT_OF_ENUM", poison, ""},
}

const hintType = "a column of the table has another type than ours: spillway schema plan names it"

const hintView = "a materialized view that somebody attached to the table fails: mend or detach it"

// look returns what is known about an error. An error that is not ClickHouse's came from the
// network, and may have come after the block did, but for a connection that there never was.
func look(err error) code {
	ex, ok := errors.AsType[*driver.Exception](err)
	if !ok {
		if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
			return code{class: transient}
		}
		return code{class: ambiguous}
	}
	c, known := codes[ex.Code]
	switch {
	case !known:
		return code{ex.Name, ambiguous, ""}
	case strings.Contains(ex.Message, "while converting column"):
		return code{ex.Name, config, hintType} // ours have the types of our tables
	case strings.Contains(ex.Message, "while pushing to view"):
		return code{ex.Name, ambiguous, hintView} // the rows themselves were fine, and may be in
	case ex.Code == 395 && strings.Contains(ex.Message, "fenced"):
		c.class = fenced
	case ex.Code == 252 && strings.Contains(ex.Message, "partitions for single INSERT block"):
		c.class, c.hint = poison, "" // too many partitions for one block, not too many parts
	}
	return c
}

func classify(err error) class { return look(err).class }
