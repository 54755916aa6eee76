import { http, HttpResponse, type DefaultBodyType, type HttpHandler, type PathParams } from 'msw'
import type { AppInput, Container, ContainerStats, LogLine, Problem, Progress } from '@/api/model'
import { scenes, type Scene } from './cluster'
import type { Database } from './db'
import { nodeHandlers } from './nodes'
import { registryHandlers } from './registry'
import { runtimeHandlers } from './runtime'
import { stacksHandlers } from './stacks'

const root = '*/api/v1'
let requests = 0

/** A refusal as the daemon words it. */
export function refuse(status: number, code: string, detail: string, field?: string) {
  const body: Problem = { type: 'about:blank', title: String(status), status, code, detail, field, requestId: `rq-${String(++requests).padStart(6, '0')}` }
  return HttpResponse.json(body, { status, headers: { 'Content-Type': 'application/problem+json' } })
}

/** Makes a response of server-sent events; `begin` gets a function to send with and returns how to stop. */
export function stream(begin: (send: (name: string, data: unknown, id?: number) => void, end: () => void) => () => void) {
  const encoder = new TextEncoder()
  let stop = () => {}
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      let open = true
      const alive = setInterval(() => controller.enqueue(encoder.encode(': alive\n\n')), 15_000)
      const end = () => {
        if (!open) return
        open = false
        clearInterval(alive)
        stop()
        controller.close()
      }
      const quit = begin((name, data, id) => {
        if (open) controller.enqueue(encoder.encode(`${id === undefined ? '' : `id: ${id}\n`}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`))
      }, end)
      stop = () => {
        clearInterval(alive)
        quit()
      }
      controller.enqueue(encoder.encode(': open\n\n'))
    },
    cancel() {
      stop()
    },
  })
  return new HttpResponse(body, { headers: { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' } })
}

const wants = (request: Request, type: string) => request.headers.get('Accept')?.includes(type) ?? false
const sessionOf = (request: Request) => /skerry_session=([^;]+)/.exec(request.headers.get('Cookie') ?? '')?.[1]

export type Reply = (info: { request: Request; params: PathParams }) => Promise<Response> | Response

/** Only what a signed-in caller may reach, and writes only with the CSRF word, as the daemon holds it. */
export function guardedBy(db: Database): (reply: Reply) => Reply {
  return (reply) => (info) => {
    const session = sessionOf(info.request)
    if (!session || !db.sessions.has(session)) return refuse(401, 'not_signed_in', 'Sign in first.')
    if (info.request.method !== 'GET' && info.request.headers.get('Skerry-CSRF') !== 'mock-csrf') return refuse(403, 'csrf', 'The request lacks the CSRF word of the session.')
    // Without a leader a node still reads; one that is cut off cannot know who is signed in, and tells only of the quorum.
    if (db.stale === 0 && !db.leader && info.request.method !== 'GET') return refuse(503, 'no_leader', 'No leader can take this change at the moment; try again.')
    if (db.stale === 0) return reply(info)
    const quorum = new URL(info.request.url).pathname.endsWith('/cluster/quorum')
    return Promise.resolve(quorum ? reply(info) : refuse(503, 'cut_off', `this node has not heard of a leader for ${db.stale} seconds, so it cannot know whether your sign-in still holds; ask another node, or use the local socket of this one`)).then((response) => {
      response.headers.set('Skerry-Stale', String(db.stale))
      return response
    })
  }
}

/** The handlers of the mock API over one database. */
export function handlers(db: Database): HttpHandler[] {
  const guarded = guardedBy(db)
  const json = <T extends DefaultBodyType>(body: T, status = 200) => HttpResponse.json(body, { status, headers: { 'Skerry-Index': String(db.index) } })
  const ref = (params: PathParams, name = 'ref') => decodeURIComponent(String(params[name]))
  const enter = (name: string) => {
    const session = `s-${Math.random().toString(36).slice(2)}`
    db.sessions.add(session)
    return new HttpResponse(JSON.stringify(db.me(name)), { status: 200, headers: { 'Content-Type': 'application/json', 'Set-Cookie': `skerry_session=${session}; Path=/; HttpOnly; SameSite=Lax` } })
  }
  const noApp = (name: string) => refuse(404, 'app_not_found', `There is no app named ${name}.`)
  const withApp = (act: (app: NonNullable<ReturnType<Database['find']>>, request: Request) => Promise<Response> | Response) =>
    guarded(({ request, params }) => {
      const app = db.find(ref(params))
      return app ? act(app, request) : noApp(ref(params))
    })
  const withContainer = (act: (container: Container, request: Request) => Promise<Response> | Response) =>
    guarded(({ request, params }) => {
      const container = db.containers.get(ref(params)) ?? [...db.containers.values()].find(({ name }) => name === ref(params))
      return container ? act(container, request) : refuse(404, 'container_not_found', `There is no container named ${ref(params)}.`)
    })

  return [
    ...nodeHandlers(db),
    ...registryHandlers(db),
    ...runtimeHandlers(db),
    ...stacksHandlers(db),
    http.post('*/mock/scene/:scene', ({ params }) => {
      const scene = String(params.scene) as Scene
      if (!scenes.includes(scene)) return refuse(400, 'scene', 'No such scene.')
      db.reset(scene)
      return json({ setupToken: db.setupToken })
    }),
    http.get(`${root}/setup`, () => json({ needed: db.setupNeeded })),
    http.post(`${root}/setup`, async ({ request }) => {
      const body = (await request.json()) as { token: string; name: string; password: string }
      if (body.token !== db.setupToken) return refuse(403, 'setup_token', 'The setup token is wrong or was used; run skerry init on the node to see the present one.', 'token')
      db.setupNeeded = false
      db.users.set(body.name, body.password)
      return enter(body.name)
    }),
    http.get(`${root}/session`, guarded(() => json(db.me('admin')))),
    http.post(`${root}/session`, async ({ request }) => {
      const body = (await request.json()) as { name: string; password: string }
      if (db.users.get(body.name) !== body.password) return refuse(401, 'sign_in_refused', 'The name or the password is wrong.')
      return enter(body.name)
    }),
    http.delete(
      `${root}/session`,
      guarded(({ request }) => {
        db.sessions.delete(sessionOf(request) ?? '')
        return new HttpResponse(null, { status: 204 })
      }),
    ),
    http.put(`${root}/session/password`, guarded(() => new HttpResponse(null, { status: 204 }))),
    http.get(`${root}/status`, guarded(() => json(db.status()))),
    http.get(`${root}/cluster`, guarded(() => json({ id: 'cl-01', version: 1, createdAt: db.node().createdAt, featureLevel: 1, skerryVersion: '0.1.0', pool: '10.42.0.0/16', vipPool: '10.43.0.0/16', portMin: 30000, portMax: 32767, caCertificate: '', caFingerprint: 'sha256:00' }))),
    http.get(`${root}/environments`, guarded(() => json({ items: ['default', ...(db.scene === 'cluster' ? ['acme-dedicated'] : [])].map((name, i) => ({ id: `en-0${i + 1}`, name, version: 1, createdAt: db.node().createdAt, updatedAt: db.node().createdAt })) }))),
    http.get(`${root}/volumes`, guarded(() => json({ items: [...db.volumes.values()] }))),

    http.get(`${root}/apps`, guarded(() => json({ items: [...db.apps.values()] }))),
    http.get(`${root}/apps/:ref`, withApp((app) => json(app))),
    http.post(
      `${root}/apps`,
      guarded(async ({ request }) => {
        const input = (await request.json()) as AppInput
        if (db.find(input.name)) return refuse(409, 'name_taken', `There is already an app named ${input.name}; choose another name.`, 'name')
        const image = Object.values(input.services ?? {})[0]?.container.image ?? ''
        if (!db.findImage(image)) return refuse(422, 'image_not_found', `The image ${image} is not here and its registry does not answer; check the name, or import the image.`, `services.${input.name}.container.image`)
        const port = Object.values(input.services ?? {})[0]?.ports?.[0]?.hostPort
        if (port === 22) return refuse(409, 'port_taken', 'Port 22 is held by sshd on the node skerry-1; choose another port.', `services.${input.name}.ports[0].hostPort`)
        const app = db.createApp(input)
        const { containers } = db.of(app)
        for (const container of containers) db.start(container)
        if (!wants(request, 'text/event-stream')) return json(app, 201)
        return stream((send, end) => {
          const step = (container: Container, name: string): Progress => ({ id: container.name, step: name, message: `${container.name}: ${name}` })
          for (const container of containers) send('progress', step(container, 'creating'))
          const unsubscribe = db.subscribe((name) => {
            if (name !== 'change') return
            for (const container of containers) send('progress', step(container, container.status.phase))
            if (app.status.phase === 'running') {
              send('done', app)
              end()
            }
          })
          return unsubscribe
        })
      }),
    ),
    http.post(
      `${root}/apps/:ref/stop`,
      withApp((app) => {
        app.spec.stopped = true
        for (const container of db.of(app).containers) db.stop(container)
        return json(app)
      }),
    ),
    http.post(
      `${root}/apps/:ref/start`,
      withApp((app) => {
        app.spec.stopped = false
        for (const container of db.of(app).containers) {
          container.intent.stopped = false
          db.start(container)
        }
        return json(app)
      }),
    ),
    http.delete(
      `${root}/apps/:ref`,
      withApp(async (app, request) => {
        await db.removeApp(app, new URL(request.url).searchParams.get('volumes') === 'true')
        return new HttpResponse(null, { status: 202 })
      }),
    ),
    http.get(`${root}/apps/:ref/logs`, withApp((app, request) => logs(request, () => db.of(app).containers))),
    http.get(
      `${root}/services`,
      guarded(({ request }) => {
        const app = db.find(new URL(request.url).searchParams.get('app') ?? '')
        return json({ items: app ? db.of(app).services : [...db.services.values()] })
      }),
    ),
    http.patch(
      `${root}/services/:ref`,
      guarded(async ({ request, params }) => {
        const service = db.services.get(ref(params))
        const app = service && db.apps.get(service.appId)
        if (!service || !app) return refuse(404, 'service_not_found', 'There is no such service.')
        if (request.headers.get('If-Match') !== `"${service.version}"`) return refuse(412, 'stale', 'The service has changed since; look at it again.')
        const { replicas } = (await request.json()) as { replicas: number }
        if (replicas > 100) return refuse(422, 'quota', `${replicas} replicas are more than the tenant's limit of 100.`, 'replicas')
        service.spec.replicas = replicas
        service.version = ++db.index
        const present = db.of(app).containers.filter((container) => container.serviceId === service.id)
        for (const container of present.slice(replicas)) db.remove(container)
        for (let slot = present.length; slot < replicas; slot++) db.start(db.addContainer(app, service, slot))
        db.happened({ kind: 'service', objectId: service.id, object: service.name, appId: app.id, reason: 'Scaled', message: `was scaled to ${replicas}` })
        db.refresh(app)
        return json(service)
      }),
    ),
    http.get(
      `${root}/containers`,
      guarded(({ request }) => {
        const query = new URL(request.url).searchParams
        const wanted = query.get('app')
        const app = wanted ? db.find(wanted) : undefined
        const node = query.get('node')
        const items = wanted ? (app ? db.of(app).containers : []) : [...db.containers.values()]
        return json({ items: node ? items.filter(({ assign }) => assign.nodeId === db.findNode(node)?.id) : items })
      }),
    ),
    http.get(`${root}/containers/:ref/stats`, withContainer((container) => json(containerStats(container)))),
    http.get(`${root}/containers/:ref/logs`, withContainer((container, request) => logs(request, () => [container]))),
    http.post(`${root}/containers/:ref/:action`, guarded(({ params }) => {
      const container = db.containers.get(ref(params))
      if (!container) return refuse(404, 'container_not_found', 'There is no such container.')
      if (params.action === 'start' || params.action === 'restart') {
        container.intent.stopped = false
        container.status.task++
        db.start(container)
      } else db.stop(container, params.action === 'kill' ? 137 : 0)
      return params.action === 'kill' ? new HttpResponse(null, { status: 204 }) : json(container)
    })),

    http.get(`${root}/images`, guarded(() => json({ items: [...db.images.values()] }))),
    http.get(`${root}/images/:ref`, guarded(({ params }) => {
      const image = db.findImage(ref(params))
      if (!image) return refuse(404, 'image_not_found', `There is no image named ${ref(params)}.`)
      const usedBy = [...db.services.values()].filter((service) => service.spec.container.image === image.name).map((service) => ({ kind: 'service', id: service.id, name: service.name, appName: service.appName }))
      return json({ image, config: { exposedPorts: /postgres/.test(image.name) ? ['5432/tcp'] : /redis/.test(image.name) ? ['6379/tcp'] : ['80/tcp'] }, layers: [], usedBy })
    })),
    http.delete(`${root}/images/:ref`, guarded(({ params }) => {
      const image = db.findImage(ref(params))
      if (!image) return refuse(404, 'image_not_found', 'There is no such image.')
      if ([...db.services.values()].some((service) => service.spec.container.image === image.name)) return refuse(409, 'image_in_use', `The image ${image.name} is used by an app; remove the app first.`)
      db.images.delete(image.id)
      db.changed('image', image.id, true)
      return new HttpResponse(null, { status: 204 })
    })),
    http.post(`${root}/image-imports`, guarded(async ({ request }) => {
      const size = (await request.arrayBuffer()).byteLength
      return json({ items: [db.addImage(new URL(request.url).searchParams.get('name') || 'library/imported:latest', size, false, 0)] }, 201)
    })),
    http.post(`${root}/image-pulls`, guarded(async ({ request }) => {
      const { image } = (await request.json()) as { image: string }
      return stream((send, end) => {
        const layers = ['sha256:1f3a', 'sha256:77c0', 'sha256:b2e9']
        const total = 24_000_000
        let done = 0
        const timer = setInterval(() => {
          done += 4_000_000
          layers.forEach((id, i) => send('progress', { id, step: 'pulling', message: 'layer', current: Math.min(total, done / (i + 1)), total }))
          if (done < total * 2) return
          clearInterval(timer)
          if (image.includes('missing')) send('problem', { type: 'about:blank', title: 'Not Found', status: 404, code: 'image_not_found', detail: `The image ${image} does not exist in its registry; check the name and the tag.`, requestId: 'rq-pull' })
          else send('done', db.addImage(image, total * 3, false, 0))
          end()
        }, 150)
        return () => clearInterval(timer)
      })
    })),

    http.get(`${root}/events`, guarded(({ request }) => {
      const query = new URL(request.url).searchParams
      if (query.get('follow') === 'true') return stream((send) => db.subscribe(send))
      const app = query.get('app')
      const items = db.events.filter((event) => (!app || event.appId === app) && (query.get('warnings') !== 'true' || event.warning)).slice(0, Number(query.get('limit') ?? 100))
      return json({ items })
    })),
    http.get(`${root}/api-tokens`, guarded(() => json({ items: db.tokens.map((token) => ({ ...token, version: 1, updatedAt: token.createdAt, userId: 'us-01' })) }))),
    http.post(`${root}/api-tokens`, guarded(async ({ request }) => {
      const input = (await request.json()) as { name: string; role: 'admin' | 'auditor' | 'owner' | 'developer' | 'viewer'; ttlSeconds: number }
      const token = { id: db.id('tk'), name: input.name, role: input.role, createdAt: new Date().toISOString(), expiresAt: input.ttlSeconds ? new Date(Date.now() + input.ttlSeconds * 1000).toISOString() : undefined }
      db.tokens.push(token)
      return json({ token: 'sk_mock_9f2c7d1e5b', object: { ...token, version: 1, updatedAt: token.createdAt, userId: 'us-01' } }, 201)
    })),
    http.delete(`${root}/api-tokens/:id`, guarded(({ params }) => {
      db.tokens = db.tokens.filter((token) => token.id !== params.id)
      return new HttpResponse(null, { status: 204 })
    })),
  ]
}

function containerStats(container: Container): ContainerStats {
  const wave = Math.sin(Date.now() / 5_000 + container.slot)
  return {
    time: new Date().toISOString(),
    cpuPercent: 12 + 8 * wave,
    cpuNanos: 123_456_789,
    memoryBytes: 47_185_920 + 4_194_304 * wave,
    memoryLimitBytes: container.spec.memoryBytes ?? 0,
    pids: 5,
    pidsLimit: 4096,
    networkRxBytes: 1_048_576,
    networkTxBytes: 2_097_152,
    blockReadBytes: 0,
    blockWriteBytes: 4096,
  }
}

/** A log that has some past (`lines` of it, for measuring speed) and, when followed, a line every second. */
function logs(request: Request, containers: () => Container[]): Response {
  const query = new URL(request.url).searchParams
  const line = (container: Container, at: Date, n: number): LogLine => ({
    time: at.toISOString(),
    stream: n % 9 === 8 ? 'stderr' : 'stdout',
    containerId: container.id,
    container: container.name,
    line: n % 9 === 8 ? '\u001b[33mwarn\u001b[0m upstream answered slowly (1.2 s)' : `\u001b[32minfo\u001b[0m GET /items/${n * 37} 200 ${(n * 13) % 90} ms`,
  })
  const count = Number(query.get('lines') ?? 40)
  const past = () => containers().flatMap((container) => Array.from({ length: count }, (_, n) => line(container, new Date(Date.now() - (count + 1 - n) * 1_700 - container.slot * 130), n)))
  const sorted = past().sort((a, b) => a.time.localeCompare(b.time))
  if (!wants(request, 'text/event-stream')) return new HttpResponse(sorted.map((each) => `${each.time} ${each.line}`).join('\n') + '\n', { headers: { 'Content-Type': 'text/plain' } })
  return stream((send, end) => {
    if (!query.has('since')) for (const each of sorted) send('log', each)
    if (query.get('follow') !== 'true') {
      end()
      return () => {}
    }
    let n = count
    const timer = setInterval(() => {
      for (const container of containers()) if (container.status.phase === 'running') send('log', line(container, new Date(), n))
      n++
    }, 1_000)
    return () => clearInterval(timer)
  })
}
