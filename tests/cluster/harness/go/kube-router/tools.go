//go:build tools

// Package tools names the command that this module builds, so that go.mod requires what it needs.
package tools

import _ "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"
