package manifests

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	podsecurity "k8s.io/pod-security-admission/policy"
)

// What the agent needs beyond the standard restricted, and nothing else does: its node's directories and ports, and
// to be the owner of container logs.
var agentNeeds = []string{"hostPort", "restricted volume types", "runAsNonRoot != true", "runAsUser=0"}

func TestPodsMeetThePodSecurityStandards(t *testing.T) {
	evaluator, err := podsecurity.NewEvaluator(podsecurity.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	violations := func(w workload) (reasons []string) {
		level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
		for _, r := range evaluator.EvaluatePod(level, &w.pod.ObjectMeta, &w.pod.Spec) {
			if !r.Allowed {
				reasons = append(reasons, r.ForbiddenReason)
			}
		}
		slices.Sort(reasons)
		return slices.Compact(reasons)
	}
	everything(t, func(t *testing.T, c *cluster) {
		for _, w := range c.workloads() {
			var want []string
			if w.name == "spillway-agent" {
				want = agentNeeds
			}
			if got := violations(w); !slices.Equal(got, want) {
				t.Errorf("%s needs %q, want %q", w.name, got, want)
			}
			for _, container := range w.containers() {
				s := container.SecurityContext
				if container.Image == "spillway" && (s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || slices.Contains(s.Capabilities.Add, "") || len(s.Capabilities.Add) > 0) {
					t.Errorf("%s: %s may write to its root, or has capabilities: %+v", w.name, container.Name, s)
				}
				if container.Resources.Limits.Memory().IsZero() && container.Name != "ops-backend" {
					t.Errorf("%s: %s has no limit of memory, by which its limiter goes", w.name, container.Name)
				}
			}
			if a := w.pod.Spec.AutomountServiceAccountToken; a == nil || *a {
				t.Errorf("%s gets a token for the API server, which nobody asks", w.name)
			}
		}
	})
	weak := build(t, filepath.Join(kubernetes, "spillway"))
	for _, w := range weak.workloads() {
		w.pod.Spec.Containers[0].SecurityContext.Capabilities = &core.Capabilities{}
		if got := strings.Join(violations(w), " "); !strings.Contains(got, "unrestricted capabilities") {
			t.Errorf("%s with capabilities passes: %s", w.name, got)
		}
	}
}
