import { QueryClient } from '@tanstack/react-query'
import { http, HttpResponse } from 'msw'
import { setupServer } from 'msw/node'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { stream } from '@mock/handlers'
import { answer, api, ApiProblem, ifMatch, setCsrf } from './client'
import { currentConnection, followEvents, retryNow } from './events'
import { later } from './logs'
import type { Progress } from './model'
import { asProblem } from './problem'
import { currentReach, forgetReach } from './reach'
import { setScopeTenant } from './scope'
import { mergeProgress, runWork } from './work'

const server = setupServer()
beforeAll(() => server.listen({ onUnhandledRequest: 'error' }))
afterEach(() => {
  server.resetHandlers()
  setScopeTenant('')
  setCsrf('')
})
afterAll(() => server.close())

const problem = { type: 'about:blank', title: 'Conflict', status: 409, code: 'port_taken', detail: 'Port 22 is held by sshd.', requestId: 'rq-1', field: 'services.web.ports[0].hostPort' }

describe('client', () => {
  it('carries the CSRF word with writes, the tenant where it fits, and sends the newest index back', async () => {
    const seen: { url: string; csrf: string | null; index: string | null; match: string | null }[] = []
    const note = ({ request }: { request: Request }) => {
      const url = new URL(request.url)
      seen.push({ url: url.pathname + url.search, csrf: request.headers.get('Skerry-CSRF'), index: request.headers.get('Skerry-Index'), match: request.headers.get('If-Match') })
      return HttpResponse.json({ items: [] }, { headers: { 'Skerry-Index': '4711' } })
    }
    server.use(http.get('*/api/v1/apps', note), http.get('*/api/v1/nodes', note), http.patch('*/api/v1/services/:ref', note))
    setCsrf('word')
    setScopeTenant('tn-7')
    await answer(api.GET('/apps', { params: { query: { limit: 5 } } }))
    await answer(api.GET('/nodes'))
    await answer(api.PATCH('/services/{ref}', { params: { path: { ref: 'shop.web' }, header: ifMatch(3) }, body: { replicas: 2 } }))
    expect(seen[0]).toMatchObject({ url: '/api/v1/apps?limit=5&tenant=tn-7', csrf: null })
    expect(seen[1]).toMatchObject({ url: '/api/v1/nodes', csrf: null, index: '4711' })
    expect(seen[2]).toMatchObject({ url: '/api/v1/services/shop.web?tenant=tn-7', csrf: 'word', match: '"3"' })
  })

  it('throws what the problem document says', async () => {
    server.use(http.get('*/api/v1/status', () => HttpResponse.json(problem, { status: 409, headers: { 'Content-Type': 'application/problem+json' } })))
    const error: unknown = await answer(api.GET('/status')).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ApiProblem)
    expect(error).toMatchObject({ message: problem.detail, status: 409, code: 'port_taken', requestId: 'rq-1', field: problem.field })
  })

  it('says so when something else than the daemon answered', async () => {
    server.use(http.get('*/api/v1/status', () => new HttpResponse('<html>Bad gateway</html>', { status: 502, headers: { 'Content-Type': 'text/html' } })))
    await expect(answer(api.GET('/status'))).rejects.toMatchObject({ code: 'http_502', status: 502 })
  })

  it('says so when nobody answers', async () => {
    server.use(http.get('*/api/v1/status', () => HttpResponse.error()))
    await expect(answer(api.GET('/status'))).rejects.toMatchObject({ code: 'no_connection', status: 0 })
    expect(asProblem(new Error('x')).code).toBe('console_fault')
  })
})

describe('reach', () => {
  const refusal = (code: string, headers: Record<string, string> = {}) => HttpResponse.json({ ...problem, status: 503, code }, { status: 503, headers })
  afterEach(() => forgetReach())

  it('learns from reads how long the node has been cut off, and that it no longer is', async () => {
    let seconds = 12
    server.use(http.get('*/api/v1/nodes', () => HttpResponse.json({ items: [] }, { headers: seconds ? { 'Skerry-Stale': String(seconds) } : {} })))
    await answer(api.GET('/nodes'))
    expect(currentReach().stale).toBe(12)
    seconds = 0
    await answer(api.GET('/nodes'))
    expect(currentReach().stale).toBeUndefined()
  })

  it('keeps a refused read quiet where the frame says why, and never a refused write', async () => {
    server.use(http.get('*/api/v1/nodes', () => refusal('cut_off', { 'Skerry-Stale': '43' })), http.post('*/api/v1/nodes/:ref/activate', () => refusal('no_leader')))
    await expect(answer(api.GET('/nodes'))).rejects.toMatchObject({ code: 'cut_off', ofCluster: true, said: true })
    expect(currentReach().stale).toBe(43)
    await expect(answer(api.POST('/nodes/{ref}/activate', { params: { path: { ref: 'n' } } }))).rejects.toMatchObject({ code: 'no_leader', ofCluster: true, said: false })
    expect(currentReach().leaderless).toBe(true)
    server.use(http.post('*/api/v1/nodes/:ref/activate', () => HttpResponse.json({})))
    await answer(api.POST('/nodes/{ref}/activate', { params: { path: { ref: 'n' } } }))
    expect(currentReach().leaderless).toBe(false)
  })

  it('sends the index back after a reload, and gives it up when no node has ever seen it', async () => {
    const sent: (string | null)[] = []
    server.use(http.get('*/api/v1/nodes', ({ request }) => {
      sent.push(request.headers.get('Skerry-Index'))
      return sent.length === 1 ? HttpResponse.json({ items: [] }, { headers: { 'Skerry-Index': '90210' } }) : sent.length <= 4 ? refusal('index_not_applied') : HttpResponse.json({ items: [] }, { headers: { 'Skerry-Index': '7' } })
    }))
    await answer(api.GET('/nodes'))
    expect(sessionStorage.getItem('skerry.index')).toBe('90210')
    for (let i = 0; i < 3; i++) await expect(answer(api.GET('/nodes'))).rejects.toMatchObject({ code: 'index_not_applied' })
    await answer(api.GET('/nodes'))
    await answer(api.GET('/nodes'))
    expect(sent.slice(1)).toEqual(['90210', '90210', '90210', null, '7'])
  })
})

describe('runWork', () => {
  const work = (onProgress: (step: Progress) => void = () => {}) => runWork<{ name: string }>({ method: 'POST', path: '/apps', json: {}, onProgress })

  it('reports the steps and returns what is done', async () => {
    server.use(
      http.post('*/api/v1/apps', () =>
        stream((send, end) => {
          queueMicrotask(() => {
            send('progress', { id: 'a', step: 'pulling', current: 1, total: 2 })
            send('progress', { id: 'b', step: 'creating' })
            send('progress', { id: 'a', step: 'pulling', current: 2, total: 2 })
            send('done', { name: 'web' })
            end()
          })
          return () => {}
        }),
      ),
    )
    let steps: Progress[] = []
    await expect(work((step) => (steps = mergeProgress(steps, step)))).resolves.toEqual({ name: 'web' })
    expect(steps).toEqual([
      { id: 'a', step: 'pulling', current: 2, total: 2 },
      { id: 'b', step: 'creating' },
    ])
  })

  it('throws a problem that comes within the stream, and one that comes instead of it', async () => {
    server.use(
      http.post(
        '*/api/v1/apps',
        () =>
          stream((send, end) => {
            queueMicrotask(() => {
              send('problem', problem)
              end()
            })
            return () => {}
          }),
        { once: true },
      ),
      http.post('*/api/v1/apps', () => HttpResponse.json(problem, { status: 409 })),
    )
    await expect(work()).rejects.toMatchObject({ code: 'port_taken' })
    await expect(work()).rejects.toMatchObject({ code: 'port_taken', status: 409 })
  })

  it('does not take a stream that breaks off for done', async () => {
    server.use(
      http.post('*/api/v1/apps', () =>
        stream((send, end) => {
          queueMicrotask(() => {
            send('progress', { id: 'a', step: 'pulling' })
            end()
          })
          return () => {}
        }),
      ),
    )
    await expect(work()).rejects.toMatchObject({ code: 'no_connection' })
  })
})

describe('followEvents', () => {
  it('makes changed lists be asked again, says when the stream is lost, goes on after the last event and catches up', async () => {
    const lastIds: (string | null)[] = []
    let send: ((name: string, data: unknown, id?: number) => void) | undefined
    let end: (() => void) | undefined
    server.use(
      http.get('*/api/v1/events', ({ request }) => {
        lastIds.push(request.headers.get('Last-Event-ID'))
        return stream((sender, ender) => {
          send = sender
          end = ender
          return () => {}
        })
      }),
    )
    const queries = new QueryClient()
    const invalidate = vi.spyOn(queries, 'invalidateQueries')
    const stop = followEvents(queries)
    try {
      await vi.waitFor(() => expect(currentConnection()).toBe('live'))
      send?.('change', { kind: 'container', id: 'ct-1', version: 2 })
      send?.('event', { seq: 9, kind: 'app', objectId: 'ap-1' }, 9)
      await vi.waitFor(() => {
        const keys = invalidate.mock.calls.map(([filters]) => filters?.queryKey?.[0])
        expect(keys).toEqual(expect.arrayContaining(['containers', 'services', 'apps', 'status', 'events']))
        // A burst is one round: each list is asked once.
        expect(keys.filter((key) => key === 'apps')).toHaveLength(1)
      })
      invalidate.mockClear()
      end?.()
      await vi.waitFor(() => expect(currentConnection()).toBe('lost'))
      retryNow()
      await vi.waitFor(() => expect(currentConnection()).toBe('live'))
      expect(lastIds).toEqual([null, '9'])
      // No filter: everything on the page is asked again.
      expect(invalidate.mock.calls).toEqual([[]])
    } finally {
      stop()
      end?.()
    }
  })

  it('ends with the session', async () => {
    server.use(http.get('*/api/v1/events', () => HttpResponse.json({ ...problem, status: 401, code: 'not_signed_in' }, { status: 401 })))
    const queries = new QueryClient()
    const invalidate = vi.spyOn(queries, 'invalidateQueries')
    const stop = followEvents(queries)
    await vi.waitFor(() => expect(invalidate).toHaveBeenCalledWith({ queryKey: ['session'] }))
    expect(currentConnection()).not.toBe('lost')
    stop()
  })
})

describe('later', () => {
  it.each([
    ['2026-11-21T06:00:05.12Z', '2026-11-21T06:00:05.1Z', true],
    ['2026-11-21T06:00:05.1Z', '2026-11-21T06:00:05.12Z', false],
    ['2026-11-21T06:00:05Z', '2026-11-21T06:00:05.000000001Z', false],
    ['2026-11-21T06:00:06Z', '2026-11-21T06:00:05.999999999Z', true],
    ['2026-11-21T06:00:05.5Z', '2026-11-21T06:00:05.500Z', false],
  ])('%s after %s: %s', (a, b, expected) => expect(later(a, b)).toBe(expected))
})
