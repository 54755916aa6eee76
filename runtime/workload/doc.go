// Package workload is the vocabulary of what one host runs: what a container
// should be (Spec), what it is (State), what happened to it (Event), what it
// uses (Stats) and the ways in which asking for it can fail (the Err values).
//
// It owns types and their validation only. It performs no I/O, imports only the
// standard library and knows neither containerd nor the replicated state: the
// agent translates assignments into these types, runtime/ctrd makes them real.
// All types are plain values; none is safe for concurrent mutation.
package workload
