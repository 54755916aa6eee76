// Package observe records what a node and its containers use: every second into
// memory, where the last 15 minutes are kept, and every 30 seconds an average
// and the highest value into an embedded time-series database, which keeps a
// week.
//
// It owns the figures and <data>/metrics and nothing else: what it cannot
// measure or write is a hole, never an error that stops the node. It never
// decides who may see a figure; a query names an object that the API has found.
// It takes no name or label from users as a key.
//
// A Probe measures (Kernel is the real one), a Recorder keeps and answers.
// appliance runs Recorder.Run, noderuntime calls Range; Range may be called from
// any goroutine, also before and after Run.
package observe
