import { absent, shells, type Channel, type End, type OpenChannel } from './channel'

/** What a terminal does now. `away`: the connection broke; it is opened anew after `retryIn` ms. */
export type SessionState =
  | { kind: 'connecting'; command: readonly string[] | null }
  | { kind: 'open'; command: readonly string[] | null }
  | { kind: 'away'; command: readonly string[] | null; retryIn: number }
  | { kind: 'ended'; command: readonly string[] | null; end: End }

export interface SessionEvents {
  onState: (state: SessionState) => void
  onOutput: (bytes: Uint8Array) => void
  /** A new command begins where another was: what it printed stays, and a word says so. */
  onAgain: () => void
}

/**
 * One person's terminal over any number of connections. Without a command it takes the first shell that the container has.
 * A broken connection is opened anew after 1, 2, 4 ... at most 15 seconds; the command that ran is gone with the old one
 * (the server ends it), so a new one begins. What ended by itself or was refused stays ended until `restart`.
 */
export class TerminalSession {
  private channel: Channel | null = null
  private size = { cols: 80, rows: 24 }
  private failures = 0
  private everOpen = false
  private timer: ReturnType<typeof setTimeout> | undefined
  private closed = false
  private round = 0
  private typed = false

  constructor(
    private readonly open: OpenChannel,
    private readonly events: SessionEvents,
    private readonly wanted: readonly string[] | 'shell' | null,
  ) {}

  start(cols: number, rows: number) {
    this.size = { cols, rows }
    this.connect(0)
  }

  write(text: string) {
    this.typed = true
    this.channel?.write(text)
  }

  resize(cols: number, rows: number) {
    if (cols === this.size.cols && rows === this.size.rows) return
    this.size = { cols, rows }
    this.channel?.resize(cols, rows)
  }

  /** Begins anew, at once. */
  restart() {
    clearTimeout(this.timer)
    this.channel?.close()
    this.failures = 0
    this.connect(0)
  }

  close() {
    this.closed = true
    clearTimeout(this.timer)
    this.channel?.close()
  }

  private connect(shell: number) {
    if (this.closed) return
    const round = ++this.round
    const command = this.wanted === 'shell' ? (shells[shell] ?? null) : this.wanted
    this.typed = false
    // A terminal's command writes to stdout alone; on stderr the server says why it could not be started.
    const held: Uint8Array[] = []
    this.events.onState({ kind: 'connecting', command })
    const current = () => round === this.round && !this.closed
    this.channel = this.open(command, this.size, {
      onOpen: () => {
        if (!current()) return
        if (this.everOpen && shell === 0) this.events.onAgain()
        this.everOpen = true
        this.events.onState({ kind: 'open', command })
      },
      onOutput: (bytes, stderr) => {
        if (!current()) return
        this.failures = 0
        if (stderr && this.wanted === 'shell') held.push(bytes)
        else this.events.onOutput(bytes)
      },
      onEnd: (end) => {
        if (!current()) return
        this.channel = null
        if (this.wanted === 'shell' && shell + 1 < shells.length && absent(end, this.typed)) return this.connect(shell + 1)
        for (const bytes of held) this.events.onOutput(bytes)
        if (end.kind === 'lost') this.again(command)
        else this.events.onState({ kind: 'ended', command, end })
      },
    })
  }

  private again(command: readonly string[] | null) {
    const retryIn = Math.min(15_000, 1_000 * 2 ** this.failures++)
    this.events.onState({ kind: 'away', command, retryIn })
    this.timer = setTimeout(() => this.connect(0), retryIn)
  }
}
