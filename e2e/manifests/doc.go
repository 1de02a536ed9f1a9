// Package manifests reads what deploy/kubernetes and deploy/docker ship as those read it who will run it:
// kustomize's own builder, the API types of Kubernetes and of the Prometheus operator, its Pod Security
// Standards, compose's own loader. It is a module of its own, so that what these need is nothing that
// spillway needs.
package manifests
