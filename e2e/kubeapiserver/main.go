// Command kubeapiserver is Kubernetes' own API server, for a test that has it judge our manifests. It is a
// module of its own, which says for each part of Kubernetes the release that belongs to it.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	os.Exit(cli.Run(app.NewAPIServerCommand()))
}
