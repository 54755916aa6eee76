import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { getResponse } from 'msw'
import type { Connect, Plugin } from 'vite'
import { Database, type Scene } from './db'
import { handlers } from './handlers'
import { mockTerminal } from './terminal'

/**
 * Lets Vite's dev and preview servers answer the API themselves (`--mode mock`), with the scene that SKERRY_MOCK_SCENE
 * names. The handlers run in the server, so the page under it is the very page of the product.
 */
export function mockApi(): Plugin {
  const scene = (process.env.SKERRY_MOCK_SCENE ?? 'busy') as Scene
  const list = handlers(new Database(scene))
  const answer: Connect.NextHandleFunction = (incoming, outgoing, next) => {
    if (!/^\/(api|mock)\//.test(incoming.url ?? '')) return next()
    void reply(incoming, outgoing).catch((error: unknown) => {
      outgoing.statusCode = 500
      outgoing.end(String(error))
    })
  }
  async function reply(incoming: IncomingMessage, outgoing: ServerResponse) {
    const gone = new AbortController()
    outgoing.on('close', () => gone.abort())
    const hasBody = incoming.method !== 'GET' && incoming.method !== 'HEAD'
    const request = new Request(`http://${incoming.headers.host}${incoming.url}`, {
      method: incoming.method,
      headers: Object.entries(incoming.headers).flatMap(([name, value]) => (value === undefined || name.startsWith(':') ? [] : [[name, String(value)] as [string, string]])),
      ...(hasBody ? { body: Readable.toWeb(incoming) as ReadableStream, duplex: 'half' } : {}),
    })
    const response = await getResponse(list, request)
    if (!response) {
      outgoing.statusCode = 501
      outgoing.end(`The mock has no handler for ${incoming.method} ${incoming.url}`)
      return
    }
    outgoing.statusCode = response.status
    response.headers.forEach((value, name) => outgoing.setHeader(name, value))
    if (!response.body) {
      outgoing.end()
      return
    }
    outgoing.flushHeaders()
    const reader = response.body.getReader()
    gone.signal.addEventListener('abort', () => void reader.cancel().catch(() => undefined))
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      outgoing.write(value)
    }
    outgoing.end()
  }
  return {
    name: 'skerry-mock-api',
    configureServer: (server) => {
      server.middlewares.use(answer)
      server.httpServer?.on('upgrade', mockTerminal)
    },
    configurePreviewServer: (server) => {
      server.middlewares.use(answer)
      server.httpServer.on('upgrade', mockTerminal)
    },
  }
}
