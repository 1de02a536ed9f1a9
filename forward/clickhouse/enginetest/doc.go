// Package enginetest gives tests a real ClickHouse: the program spillway-engine as a child process, on free ports of loopback, with
// a data directory that goes away with the test.
//
// A test that stops or kills its engine starts one of its own; that takes a few tenths of a second and 200 MB:
//
//	engine := enginetest.Start(t)
//	options, err := clickhouse.ParseDSN(engine.DSN())
//
// All others share one per test process, in a database of their own:
//
//	func TestMain(m *testing.M) { os.Exit(enginetest.Main(m)) }
//
//	engine := enginetest.Shared(t)
//
// The program is built when it is out of date; SPILLWAY_ENGINE_BIN names a built one instead. It needs the engine library, which
// `make engine` fetches; a test that lacks it fails and says so.
package enginetest
