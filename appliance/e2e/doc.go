// Package e2e tries the built product as a person would: the real binary, the
// real engine, real packets, images made of Debian's packages. Every test has a
// node of its own in a network namespace. `make build` must have run. It holds
// tests only.
package e2e
