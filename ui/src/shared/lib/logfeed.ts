/** What a log stream brings: an event's name and data, or how many log lines were passed over unread. */
export interface FedEvent {
  event: string
  data: string
}

const lf = 10
const logEvent = new TextEncoder().encode('event: log\n')

/**
 * Takes a log's event stream apart with a bound on the work. Fifty megabytes a second cannot be decoded and drawn, but they
 * can be searched for the blank lines that end an event; so `push` reads at most `budget` events of a piece and only counts
 * the log lines behind them. Events of other names are always read. It takes the daemon's own form (LF, blank line between
 * events), cut anywhere.
 */
export class LogFeed {
  private rest = new Uint8Array(0)
  private readonly decoder = new TextDecoder()

  /** Feeds a piece. Returns what it completes, in order, and how many log lines were only counted. */
  push(piece: Uint8Array, budget: number): { events: FedEvent[]; skipped: number } {
    let bytes = piece
    if (this.rest.length > 0) {
      bytes = new Uint8Array(this.rest.length + piece.length)
      bytes.set(this.rest)
      bytes.set(piece, this.rest.length)
    }
    const events: FedEvent[] = []
    let skipped = 0
    let start = 0
    let from = 0
    for (;;) {
      const at = bytes.indexOf(lf, from)
      if (at < 0 || at + 1 >= bytes.length) break
      if (bytes[at + 1] !== lf) {
        from = at + 1
        continue
      }
      if (events.length < budget || !isLog(bytes, start)) {
        const event = parse(this.decoder.decode(bytes.subarray(start, at)))
        if (event) events.push(event)
      } else {
        skipped++
      }
      start = from = at + 2
    }
    this.rest = bytes.slice(start)
    return { events, skipped }
  }
}

function isLog(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < logEvent.length; i++) if (bytes[at + i] !== logEvent[i]) return false
  return true
}

function parse(text: string): FedEvent | null {
  let event = 'message'
  let data: string | undefined
  for (const line of text.split('\n')) {
    if (line.startsWith('data: ')) data = data === undefined ? line.slice(6) : `${data}\n${line.slice(6)}`
    else if (line.startsWith('event: ')) event = line.slice(7)
  }
  return data === undefined ? null : { event, data }
}
