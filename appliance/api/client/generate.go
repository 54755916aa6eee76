package client

//go:generate go tool -modfile=../../../packaging/tools/go.mod oapi-codegen -config oapi-client.yaml ../openapi.yaml
