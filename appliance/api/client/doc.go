// Package client is the Go client of the API, generated from openapi.yaml.
//
// It owns nothing: how to reach a control plane (socket, token, pinned
// authority), what a refusal means and how streams are read is the caller's
// (cmd/skerry/cli). Safe for concurrent use as its http.Client is.
package client

//go:generate go tool -modfile=../../../packaging/tools/go.mod oapi-codegen -config oapi-client.yaml ../openapi.yaml
