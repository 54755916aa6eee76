package api

//go:generate go tool -modfile=../../packaging/tools/go.mod oapi-codegen -config oapi-server.yaml openapi.yaml
