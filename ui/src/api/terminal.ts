import { controlFrame, inputFrames, readFrame, type Channel, type End, type OpenChannel } from '@/shared/terminal/channel'
import { address, dress } from './client'
import { problemOf } from './problem'

/** The socket's address of an operation: the page's own host, so that the session's cookie goes with it. */
function socketAddress(path: string, query: [string, string][]): string {
  const url = new URL(address(path))
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  for (const [name, value] of query) url.searchParams.append(name, value)
  return url.toString()
}

/**
 * Opens terminals of a container: `exec` runs a command in it, `attach` (command null) joins its own streams. A browser does
 * not tell why a socket was refused, so a refused one is asked for once more as an ordinary request, whose answer says why.
 */
export function channelOf(container: string, attachStdin: boolean): OpenChannel {
  return (command, { cols, rows }, events): Channel => {
    const size: [string, string][] = [['cols', String(cols)], ['rows', String(rows)]]
    const base = `/containers/${encodeURIComponent(container)}`
    const url = command
      ? socketAddress(`${base}/exec`, [...command.map((word): [string, string] => ['command', word]), ['tty', 'true'], ['stdin', 'true'], ['env', 'TERM=xterm-256color'], ...size])
      : socketAddress(`${base}/attach`, [['stdin', String(attachStdin)], ...size])
    const socket = new WebSocket(url)
    socket.binaryType = 'arraybuffer'
    let opened = false
    let ended = false
    const end = (how: End) => {
      if (ended) return
      ended = true
      events.onEnd(how)
    }
    socket.onopen = () => {
      opened = true
      events.onOpen()
    }
    socket.onmessage = ({ data }) => {
      if (!(data instanceof ArrayBuffer) || ended) return
      const frame = readFrame(data)
      if (frame?.channel === 'output') events.onOutput(frame.bytes, frame.stderr)
      else if (frame?.channel === 'control') {
        if (frame.control.error !== undefined) end({ kind: 'error', sentence: frame.control.error })
        else if (frame.control.exit !== undefined) end({ kind: 'exit', code: frame.control.exit })
      }
    }
    socket.onclose = () => {
      if (opened) end({ kind: 'lost' })
      else if (!ended) void whyRefused(url.replace(/^ws/, 'http')).then(end)
    }
    const send = (frame: Uint8Array<ArrayBuffer>) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(frame)
    }
    return {
      write: (text) => inputFrames(text).forEach(send),
      resize: (cols, rows) => send(controlFrame({ resize: { cols, rows } })),
      close: () => {
        ended = true
        socket.close()
      },
    }
  }
}

async function whyRefused(url: string): Promise<End> {
  try {
    const response = await fetch(dress(new Request(url, { headers: { Accept: 'application/json' } })))
    if (response.ok) return { kind: 'lost' }
    const problem = await problemOf(response)
    // Nothing else is wrong with it than that it is no socket: the way to it was broken, not the request.
    if (problem.code === 'websocket_needed' || problem.status >= 500) return { kind: 'lost' }
    return { kind: 'error', sentence: problem.message, code: problem.code, requestId: problem.requestId }
  } catch {
    return { kind: 'lost' }
  }
}
