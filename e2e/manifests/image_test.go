package manifests

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// The image is the program and a directory for its log, for a user who is not root.
func TestTheImageIsTheProgram(t *testing.T) {
	f, err := os.Open(filepath.Join(docker, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	parsed, err := parser.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) != 1 || stages[0].BaseName != "scratch" {
		t.Fatalf("from %+v", stages)
	}
	ignore, err := os.Open(filepath.Join(docker, "Dockerfile.dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	defer ignore.Close()
	patterns, err := ignorefile.ReadAll(ignore)
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	copied, user, starts := map[string]string{}, "", []string{}
	for _, c := range stages[0].Commands {
		switch c := c.(type) {
		case *instructions.CopyCommand:
			src := c.SourcePaths[0]
			copied[src] = c.DestPath + " " + c.Chown + c.Chmod
			if skip, err := ignored.MatchesOrParentMatches(src); err != nil || skip {
				t.Errorf("%s does not reach the build: %v", src, err)
			}
		case *instructions.UserCommand:
			user = c.User
		case *instructions.EntrypointCommand:
			starts = c.CmdLine
			if c.PrependShell {
				t.Error("there is no shell")
			}
		case *instructions.ExposeCommand:
		default:
			t.Errorf("%s: nothing else works in an empty image", c.Name())
		}
	}
	if user != "65532:65532" || !slices.Equal(starts, []string{"/spillway"}) {
		t.Errorf("it runs %q as %q", starts, user)
	}
	if len(copied) != 2 || copied["bin/spillway"] != "/spillway 0755" || copied["deploy/docker/state"] != "/var/lib/spillway 65532:65532" {
		t.Errorf("copied: %v", copied)
	}
	if _, err := os.Stat(filepath.Join(root, "deploy/docker/state")); err != nil {
		t.Error(err)
	}
	if skip, err := ignored.MatchesOrParentMatches("go.mod"); err != nil || !skip {
		t.Errorf("all of the project reaches the build: %v", err)
	}
}
