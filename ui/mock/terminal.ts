import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'

/**
 * A terminal for the mock: a WebSocket in the contract's frames over a shell that knows five words. It stands in for a node
 * in development and in the browser tests of the page; what a real shell does is tested against a real node.
 */
export function mockTerminal(request: IncomingMessage, socket: Duplex) {
  const url = new URL(request.url ?? '/', 'http://mock')
  const key = request.headers['sec-websocket-key']
  if (!/^\/api\/v1\/containers\/[^/]+\/(exec|attach)$/.test(url.pathname) || !key) return
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
  const send = (channel: number, text: string) => {
    const body = Buffer.concat([Buffer.from([channel]), Buffer.from(text)])
    const head = body.length < 126 ? Buffer.from([0x82, body.length]) : Buffer.from([0x82, 126, body.length >> 8, body.length & 255])
    socket.write(Buffer.concat([head, body]))
  }
  const end = (code: number) => {
    send(3, JSON.stringify({ exit: code }))
    socket.end(Buffer.from([0x88, 2, 3, 232]))
  }
  const command = url.searchParams.getAll('command')
  // As in a small image: there is no bash.
  if (command[0] === '/bin/bash') {
    send(2, 'skerry: /bin/bash: no such program in the container\r\n')
    return end(127)
  }
  const name = decodeURIComponent(url.pathname.split('/')[4] ?? '')
  if (url.pathname.endsWith('/attach')) send(1, 'ready to accept connections\r\n')
  else if (command[0] !== '/bin/sh') {
    send(1, `${command.join(' ')}: done\r\n`)
    return end(0)
  } else send(1, '\x1b[1;36m/ #\x1b[0m ')
  let line = ''
  let rest = Buffer.alloc(0)
  socket.on('data', (piece: Buffer) => {
    rest = Buffer.concat([rest, piece])
    for (;;) {
      const frame = takeFrame(rest)
      if (!frame) return
      rest = rest.subarray(frame.size)
      if (frame.opcode === 8) return void socket.end()
      const [channel] = frame.body
      if (channel === 3) {
        const control = JSON.parse(frame.body.subarray(1).toString()) as { resize?: { cols: number; rows: number } }
        if (control.resize) size = control.resize
      }
      if (channel !== 0) continue
      for (const char of frame.body.subarray(1).toString()) {
        if (char === '\r') {
          send(1, '\r\n')
          const word = line.trim()
          line = ''
          if (word === 'exit') return end(0)
          if (word === 'drop') return void socket.destroy()
          if (word === 'ls') send(1, '\x1b[34mbin\x1b[0m  \x1b[34metc\x1b[0m  \x1b[34mhome\x1b[0m  \x1b[32mdocker-entrypoint.sh\x1b[0m\r\n')
          else if (word === 'hostname') send(1, `${name}\r\n`)
          else if (word === 'stty size') send(1, `${size.rows} ${size.cols}\r\n`)
          else if (word) send(1, `sh: ${word}: not found\r\n`)
          send(1, '\x1b[1;36m/ #\x1b[0m ')
        } else if (char === '\x7f') {
          if (line) send(1, '\b \b')
          line = line.slice(0, -1)
        } else {
          line += char
          send(1, char)
        }
      }
    }
  })
  let size = { cols: Number(url.searchParams.get('cols') ?? 80), rows: Number(url.searchParams.get('rows') ?? 24) }
  socket.on('error', () => socket.destroy())
}

/** Takes one masked frame from the front; null when it is not whole yet. */
function takeFrame(bytes: Buffer): { opcode: number; body: Buffer; size: number } | null {
  if (bytes.length < 2) return null
  const opcode = (bytes[0] ?? 0) & 15
  let length = (bytes[1] ?? 0) & 127
  let at = 2
  if (length === 126) {
    if (bytes.length < 4) return null
    length = bytes.readUInt16BE(2)
    at = 4
  } else if (length === 127) {
    if (bytes.length < 10) return null
    length = Number(bytes.readBigUInt64BE(2))
    at = 10
  }
  const mask = bytes.subarray(at, at + 4)
  at += 4
  if (bytes.length < at + length) return null
  const body = Buffer.from(bytes.subarray(at, at + length).map((byte, i) => byte ^ (mask[i % 4] ?? 0)))
  return { opcode, body, size: at + length }
}
