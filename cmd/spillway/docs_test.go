package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

const repository = "../.."

// pages are the Markdown files for readers, by their path in the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && path != repository) {
			return fs.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(repository, path)
			if err != nil {
				return err
			}
			all[name] = string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A toldCommand is one that a page tells its reader to run; what comes after the first line of a quoted text is not in it.
type toldCommand struct{ page, line string }

func commands(t *testing.T) (all []toldCommand) {
	t.Helper()
	for page, text := range pages(t) {
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(text, -1) {
			quoted := false
			for line := range strings.Lines(block[1]) {
				line = strings.TrimRight(line, "\n")
				if !quoted && strings.TrimSpace(line) != "" {
					command, _, _ := strings.Cut(line, "  #")
					all = append(all, toldCommand{page, strings.TrimSpace(command)})
				}
				quoted = quoted != ((strings.Count(line, "'")+strings.Count(line, `"`))%2 == 1)
			}
		}
	}
	return all
}

// ran says what runs each command that a page shows: a test, or with "ci" what .ci/run does, or why nothing does. The first prefix of a
// page's line counts.
var ran = []struct{ page, command, by string }{
	{"README.md", "make run", "ci"},
	{"README.md", "make test", "ci"},
	{"README.md", "bin/spillway standalone", "TestGettingStarted"},
	{"README.md", "bin/spillway collector", "TestTheStatusPage"},
	{"README.md", "bin/spillway agent", "TestTheStatusPage"},
	{"README.md", "bin/spillway check", "TestEveryConfigurationIsGood"},
	{"README.md", "bin/spillway status", "TestTheDoctorOfANodeThatIsWell"},
	{"README.md", "bin/spillway doctor", "TestTheDoctorOfANodeThatIsWell"},
	{"README.md", "bin/spillway verify", "TestVerify"},
	{"README.md", "bin/spillway schema plan", "TestSchemaCommands"},
	{"docs/clickhouse.md", "spillway schema", "TestSchemaCommands"},
	{"docs/getting-started.md", "make build engine", "ci"},
	{"docs/getting-started.md", "", "TestGettingStarted"},
	{"docs/kubernetes.md", "kubectl", "TestTheOverlayOfThePageBuilds"},
	{"docs/migrating.md", "", "TestMigrationFromACollector"},
	{"docs/operating.md", "spillway verify", "TestVerify"},
	{"docs/sidecar.md", "python -m ops_backend | spillway tee", "TestASidecarsWaysSurviveKill9"},
	{"docs/status.md", "spillway status", "TestTheStatusCommand"},
	{"docs/status.md", "spillway doctor", "TestTheDoctorCommand"},
	{"docs/systemd.md", "dpkg -i", "TestPackagesComeAndGo"},
	{"docs/systemd.md", "spillway check", "TestPackagesComeAndGo"},
	{"docs/systemd.md", "systemctl enable --now spillway-agent", "TestTheAgentRunsUnderSystemd"}, // it starts it; enabling is systemd's
	{"docs/systemd.md", "systemctl status spillway-agent", "TestTheAgentRunsUnderSystemd"},       // it reads the same by systemctl show
	{"docs/systemd.md", "systemctl reload spillway-agent", "TestTheAgentRunsUnderSystemd"},
	{"docs/systemd.md", "systemctl enable --now spillway-verify.timer", "TestTheTimerCountsUnderSystemd"},
	{"docs/systemd.md", "systemctl start spillway-verify", "TestTheTimerCountsUnderSystemd"},
	{"docs/systemd.md", "journalctl -u spillway-verify", "TestTheTimerCountsUnderSystemd"},
	{"docs/systemd.md", "ln -s /var/lib/spillway-verify", "TestTheTimerCountsUnderSystemd"}, // it reads the file as another user; the link is by hand
	{"docs/verify.md", "spillway verify", "TestVerify"},
	{"docs/wal.md", "spillway wal", "TestTheDocumentedCommandsAreRun"},
	{"deploy/docker/README.md", "make build", "ci"},
	{"deploy/docker/README.md", "docker build", "TestTheImageIsTheProgram"}, // there is no docker here: its files are judged
	{"deploy/docker/README.md", "docker compose", "TestComposeLoads"},
	{"deploy/kubernetes/README.md", "kubectl kustomize", "TestEveryManifestIsOfItsType"}, // nor a cluster
	{"deploy/kubernetes/README.md", "kubectl apply", "TestTheAPIServerTakesEveryManifest"},
}

// Each command of a page has something that runs it, or where that cannot be had here what comes nearest, and the program knows the words and flags that it has.
func TestCommandsOfThePagesAreRun(t *testing.T) {
	tests := testNames(t)
	used := make([]bool, len(ran))
	for _, c := range commands(t) {
		i := slices.IndexFunc(ran, func(r struct{ page, command, by string }) bool {
			return r.page == c.page && strings.HasPrefix(c.line, r.command)
		})
		if i < 0 {
			t.Errorf("%s: nothing runs %q: say in this test what does", c.page, c.line)
			continue
		}
		used[i] = true
		if by := ran[i].by; by != "ci" && !tests[by] {
			t.Errorf("%s: %q is said to be run by %s, which is not there", c.page, c.line, by)
		}
		if at := regexp.MustCompile(`\bspillway (.*)$`).FindStringSubmatch(c.line); at != nil && !strings.HasPrefix(c.line, "docker") && !strings.HasPrefix(c.line, "kubectl") && !strings.HasPrefix(c.line, "systemctl") {
			p := &program{env: noEnv, stdout: io.Discard, stderr: io.Discard}
			command, rest, err := p.root().Find(strings.Fields(at[1]))
			if err == nil {
				err = command.ParseFlags(rest)
			}
			if err == nil && command.Args != nil {
				err = command.Args(command, command.Flags().Args())
			}
			if err != nil || !command.Runnable() {
				t.Errorf("%s: %q: the program does not understand it: %v", c.page, c.line, err)
			}
		}
	}
	for i, r := range ran {
		if !used[i] {
			t.Errorf("%s shows no %q any more", r.page, r.command)
		}
	}
}

// testNames are the tests of this repository.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`).FindAllSubmatch(src, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// What pages name is there: tests, files, and headings.
func TestPagesNameWhatIsThere(t *testing.T) {
	tests, all := testNames(t), pages(t)
	anchors := make(map[string]map[string]bool)
	for page, text := range all {
		anchors[page] = make(map[string]bool)
		for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
			anchors[page][anchor(m[1])] = true
		}
	}
	for page, text := range all {
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`").FindAllStringSubmatch(text, -1) {
			if !tests[m[1]] {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
		prose := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`").ReplaceAllString(text, "")
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(prose, -1) {
			target, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(filepath.Join(repository, file)); err != nil {
				t.Errorf("%s leads to %s: %v", page, m[1], err)
			} else if heading != "" && !anchors[file][heading] {
				t.Errorf("%s leads to %s, and there is no such heading", page, m[1])
			}
		}
	}
}

// anchor is what forges make of a heading: lower case, dashes for spaces, nothing for the rest.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}
