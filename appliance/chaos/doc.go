// Package chaos does to a cluster what nobody should, at random, while eight
// clients work with it, and then judges what they were told: writes and strong
// reads must be linearizable, local reads must never go back and must hold what
// the index they bear says. It holds tests only.
//
// There are two beds: members in memory and in virtual time (TestSimulated,
// hundreds of runs a minute), and hosts with the built binary (TestReal). A run
// is named by its seed; `make chaos` runs many and prints the seeds that failed.
package chaos
