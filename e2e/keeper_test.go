package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spillway-io/spillway/e2e/kit"
	"github.com/spillway-io/spillway/forward/clickhouse/enginetest"
	"github.com/spillway-io/spillway/schema"
)

// zookeeper is Debian's ZooKeeper 3.8, on loopback, with a directory that goes away with the test.
type zookeeper struct {
	t    *testing.T
	addr string
	conf string
	cmd  *exec.Cmd
	done chan struct{}
	log  logBuffer
}

func startZooKeeper(t *testing.T) *zookeeper {
	t.Helper()
	const jar = "/usr/share/java/zookeeper.jar"
	if _, err := os.Stat(jar); err != nil {
		t.Fatalf("%v: run deploy/testdeps.sh", err)
	}
	dir := t.TempDir()
	z := &zookeeper{t: t, addr: port(t), conf: filepath.Join(dir, "zoo.cfg")}
	host, port, err := net.SplitHostPort(z.addr)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("dataDir=%s/data\nclientPortAddress=%s\nclientPort=%s\ntickTime=500\nadmin.enableServer=false\n4lw.commands.whitelist=srvr\n", dir, host, port)
	if err := os.WriteFile(z.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("ZooKeeper said:\n%s", tail(z.log.String(), 30))
		}
		z.kill()
	})
	z.start()
	return z
}

func (z *zookeeper) start() {
	z.t.Helper()
	z.cmd = exec.Command("java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", "/usr/share/java/zookeeper.jar",
		"org.apache.zookeeper.server.quorum.QuorumPeerMain", z.conf)
	z.cmd.Stdout, z.cmd.Stderr = &z.log, &z.log
	z.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := z.cmd.Start(); err != nil {
		z.t.Fatal(err)
	}
	cmd, done := z.cmd, make(chan struct{})
	z.done = done
	go func() {
		defer close(done)
		_ = cmd.Wait() // killed
	}()
	until(z.t, "ZooKeeper serves", func() bool {
		conn, err := net.Dial("tcp", z.addr)
		if err != nil {
			return false
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(2 * time.Second)) // one that is starting may accept, and never answer
		fmt.Fprint(conn, "srvr")
		answer, _ := io.ReadAll(conn) // an incomplete one does not say it
		return strings.Contains(string(answer), "Mode: standalone")
	})
}

func (z *zookeeper) kill() {
	z.cmd.Process.Kill()
	<-z.done
}

// replicated is an engine with that ZooKeeper, and the macros that replicated tables need.
func replicated(t *testing.T, z *zookeeper) *enginetest.Engine {
	t.Helper()
	host, port, _ := net.SplitHostPort(z.addr)
	return enginetest.Start(t, enginetest.WithConfig(fmt.Sprintf(`<clickhouse>
<zookeeper><node><host>%s</host><port>%s</port></node><session_timeout_ms>3000</session_timeout_ms></zookeeper>
<default_replica_path>/clickhouse/tables/{table}/{shard}</default_replica_path>
<macros><shard>1</shard><replica>first</replica></macros>
</clickhouse>`, host, port)))
}

// What a collector does when Keeper is away. Real are: ZooKeeper, the replicated tables in it, the errors 242 and 999 of INSERTs
// into one that is read-only, the error 999 of a statement that needs ZooKeeper while it is away, and the collector. A
// table of this engine is always read-only, because the engine has no address for other replicas; on a server it is so for
// as long as Keeper is away. So the end of that is stood in for: the table is replaced by one that can be written to.
// Replication itself, quorum and statements ON CLUSTER cannot be run on this engine.
func TestSendersWaitWhileKeeperIsAway(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, table, dsn, schema, says, class string }{
		{"a cluster", "otel_logs_local", "", "create: false, cluster: prod, replicated_database: true", "KEEPER_EXCEPTION", "ambiguous"}, // of the quorum, which is asked first
		{"replicated tables that somebody else made", "otel_logs", "?insert_keeper_max_retries=0", "create: false", "TABLE_IS_READ_ONLY", "transient"},
	} {
		t.Run(test.name, func(t *testing.T) {
			z := startZooKeeper(t)
			engine := replicated(t, z)
			o := schema.DefaultOptions()
			o.Database, o.Cluster, o.ReplicatedDatabase = engine.Database(), "prod", true
			plain := o
			plain.Cluster, plain.ReplicatedDatabase = "", false
			var writable string
			for _, table := range schema.Tables() {
				name := table.Name()
				if strings.HasSuffix(test.table, "_local") {
					name = table.LocalName(o)
				}
				engine.SQL(strings.Replace(table.DDL(o), "."+table.LocalName(o), "."+name, 1))
				if name == test.table {
					writable = strings.Replace(table.DDL(plain), "."+table.Name(), "."+name, 1)
				}
			}
			if got := engine.SQL("SELECT sum(is_readonly), sum(total_replicas) FROM system.replicas WHERE zookeeper_path LIKE '/clickhouse/tables/%'"); got != "8\t8" {
				t.Fatalf("read-only, and in ZooKeeper: %s", got)
			}
			c, file := collectorOf(t, fmt.Sprintf("dsn: %q", engine.DSN()+test.dsn), test.schema)
			c.ready()
			if out, err := spillway("schema", "status", "--config", file); err != nil || !strings.Contains(out, "ReplicatedMergeTree") {
				t.Errorf("status: %v\n%s", err, out)
			}
			a := startAgent(t, c.grpc, "")
			l := newLoad(t, a.grpc, "keeper", 20)
			ctx, stop := context.WithCancel(t.Context())
			var loading sync.WaitGroup
			loading.Go(func() { l.run(ctx, 2, 100*time.Millisecond) })
			defer loading.Wait()
			defer stop()
			c.says(test.says)
			c.blamesKeeper(test.says, test.class)

			z.kill()
			mustFail(t, engine, "CREATE TABLE third (a UInt8) ENGINE = ReplicatedMergeTree ORDER BY a", "Code: 999.")
			from := l.ackedCount()
			until(t, "the agent takes records all the same", func() bool { return l.ackedCount() > from+200 })
			if delivered := kit.Total(a.metrics(), "spillway_out_items_total"); delivered != 0 {
				t.Errorf("%.0f records were delivered", delivered)
			}

			z.start()
			engine.SQL("RENAME TABLE " + test.table + " TO readonly")
			engine.SQL(writable)
			if test.table != "otel_logs" {
				engine.SQL("RENAME TABLE " + test.table + " TO otel_logs")
				c.withoutCluster(file)
			}
			stop()
			loading.Wait()
			a.drained()
			c.equation()
			lost, duplicated := l.verify(connect(t, engine.DSN()))
			t.Logf("records %d, lost %d, duplicated %d", l.ackedCount(), lost, duplicated)
			if lost > 0 || duplicated > 0 {
				t.Errorf("%d acknowledged records are lost, %d are there twice", lost, duplicated)
			}
		})
	}
}

// withoutCluster starts the collector again as one that knows of no cluster: what may have been stored is asked of all replicas, and this engine cannot ask any.
func (c *collector) withoutCluster(file string) {
	c.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	c.kill()
	if err := os.WriteFile(file, bytes.Replace(text, []byte(", cluster: prod, replicated_database: true"), nil, 1), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.start()
	c.ready()
}

// blamesKeeper asserts that the collector logged a failed INSERT with that error, of that class, and says where to look.
func (c *collector) blamesKeeper(name, class string) {
	c.t.Helper()
	for line := range strings.Lines(c.log.String()) {
		if strings.Contains(line, "INSERT failed") && strings.Contains(line, name) {
			if !strings.Contains(line, `"class":"`+class+`"`) || !strings.Contains(line, "cannot reach Keeper") {
				c.t.Errorf("the collector says %s", line)
			}
			return
		}
	}
	c.t.Errorf("the collector says nothing of %s", name)
}
