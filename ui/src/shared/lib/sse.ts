/** One event of a `text/event-stream`. */
export interface StreamEvent {
  id: string
  event: string
  data: string
}

/**
 * Takes a stream of server-sent events apart, fed with text in any pieces. It follows the specification: LF, CR and CRLF end
 * a line, a blank line ends an event, lines of `data` are joined by LF, comments are dropped, an id stays until replaced.
 */
export class EventStreamParser {
  private rest = ''
  private data: string[] = []
  private event = ''
  private id = ''
  private first = true

  /** Feeds a piece and returns the events that it completes. */
  push(piece: string): StreamEvent[] {
    let text = this.rest + piece
    if (this.first && text.length > 0) {
      this.first = false
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1)
    }
    const events: StreamEvent[] = []
    let start = 0
    for (;;) {
      const end = text.slice(start).search(/[\r\n]/)
      if (end < 0) break
      const at = start + end
      // A CR at the very end may be the first half of CRLF: wait for more.
      if (text[at] === '\r' && at === text.length - 1) break
      const next = text[at] === '\r' && text[at + 1] === '\n' ? at + 2 : at + 1
      const done = this.line(text.slice(start, at))
      if (done) events.push(done)
      start = next
    }
    this.rest = text.slice(start)
    return events
  }

  private line(line: string): StreamEvent | null {
    if (line === '') {
      const event = this.data.length > 0 ? { id: this.id, event: this.event || 'message', data: this.data.join('\n') } : null
      this.data = []
      this.event = ''
      return event
    }
    const colon = line.indexOf(':')
    if (colon === 0) return null
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'data') this.data.push(value)
    else if (field === 'event') this.event = value
    else if (field === 'id' && !value.includes('\0')) this.id = value
    return null
  }
}

/** The daemon writes at least a comment every 15 seconds: a stream that is silent for longer than this is dead. */
const longestSilence = 40_000

/** Reads a response's body as server-sent events until it ends, falls silent for too long or the request is aborted. */
export async function* readEventStream(response: Response, silenceMs = longestSilence): AsyncGenerator<StreamEvent> {
  if (!response.body) return
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  const parser = new EventStreamParser()
  let silence: ReturnType<typeof setTimeout> | undefined
  try {
    for (;;) {
      // A cancelled reader ends the read that waits.
      silence = setTimeout(() => void reader.cancel().catch(() => undefined), silenceMs)
      const { done, value } = await reader.read()
      clearTimeout(silence)
      if (done) return
      yield* parser.push(decoder.decode(value, { stream: true }))
    }
  } finally {
    clearTimeout(silence)
    void reader.cancel().catch(() => undefined)
  }
}
