import { execFile, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const ui = fileURLToPath(new URL('..', import.meta.url))

/** What the tests drive: a node, or the built console over the mock. */
export interface Target {
  url: string
  setupToken: string
  /** Whether real containers stand behind it. */
  real: boolean
  stop: () => Promise<void>
}

/**
 * The node that SKERRY_URL and SKERRY_SETUP_TOKEN name, which must be without an administrator; without them the
 * console is built and shown by `vite preview` over the mock, in the scene given.
 */
export async function openTarget(scene: 'fresh' | 'busy'): Promise<Target> {
  const { SKERRY_URL: url, SKERRY_SETUP_TOKEN: setupToken } = process.env
  if (url) {
    if (!setupToken) throw new Error('SKERRY_URL is set, but not SKERRY_SETUP_TOKEN: the token that the first start of the node printed')
    return { url: url.replace(/\/$/, ''), setupToken, real: true, stop: async () => {} }
  }
  return openMock(scene)
}

/** The built console over the mock, whatever SKERRY_URL says. */
export async function openMock(scene: 'fresh' | 'busy'): Promise<Target> {
  const vite = 'node_modules/vite/bin/vite.js'
  // As the product is built: under Vitest's NODE_ENV it would be React's slower development build.
  // A folder of its own: dist belongs to the binary that may be being built from it.
  await promisify(execFile)(process.execPath, [vite, 'build', '--outDir', '.preview', '--logLevel', 'warn'], { cwd: ui, env: { ...process.env, NODE_ENV: 'production' } })
  const port = await freePort()
  const child = spawn(process.execPath, [vite, 'preview', '--mode', 'mock', '--outDir', '.preview', '--host', '127.0.0.1', '--port', String(port), '--strictPort'], {
    cwd: ui,
    env: { ...process.env, SKERRY_MOCK_SCENE: scene },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stdout.on('data', (piece: Buffer) => (said += piece.toString()))
  child.stderr.on('data', (piece: Buffer) => (said += piece.toString()))
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()))
  const address = `http://127.0.0.1:${port}`
  const deadline = Date.now() + 30_000
  for (;;) {
    if (child.exitCode !== null) throw new Error(`vite preview ended: ${said}`)
    if (await fetch(`${address}/api/v1/setup`).then((reply) => reply.ok, () => false)) break
    if (Date.now() > deadline) throw new Error(`vite preview does not answer: ${said}`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return {
    url: address,
    setupToken: 'mock-setup-token',
    real: false,
    stop: async () => {
      child.kill()
      await ended
    },
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => (address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port'))))
    })
  })
}
