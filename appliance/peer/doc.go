// Package peer is how nodes speak to each other. It owns the control plane's
// port: every connection to it passes this door, which reads the ClientHello
// and hands browsers, clients of the API and of the registry on untouched, and
// ends TLS itself for the protocols among nodes:
//
//	skerry-raft/1     the stream that raft runs over (Stream)
//	skerry-peer/1     HTTP/2 for everything else (Handle, Client)
//	skerry-propose/1  writes and read indexes that members hand to the leader (Forward, ReadIndex)
//	skerry-join/1     hosts that want to join (Join); the only one without a client certificate
//
// A node is known by its id, proved by a certificate of the cluster's authority
// whose name is <id>.node.skerry.internal; its addresses are only where it is
// looked for. The address book keeps them from what nodes announce with their
// keys, so that it needs no quorum and an address may change at any time.
//
// Every connection begins with a short hello in both directions (cluster,
// generation, node, version). Who does not belong here is told why in one
// sentence, and the log has it with the remote address.
//
// It never decides what a request means, holds no state of the cluster, and
// reads it through Directory. The composition root makes one Server a node, mounts
// handlers and runs it. Everything exported is safe for concurrent use.
package peer
