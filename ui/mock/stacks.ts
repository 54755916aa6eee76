import { http, HttpResponse, type DefaultBodyType, type HttpHandler, type PathParams } from 'msw'
import type { App, AppInput, AppPlan, AppUpdate, AuditEntry, Metrics, PlanField, Progress, Revision, SearchHit, Service, ServiceInput, ServiceSpec, ServiceUpdate } from '@/api/model'
import { composeSchema, readCompose } from './compose'
import type { Database } from './db'
import { guardedBy, refuse, stream } from './handlers'

const root = '*/api/v1'
const hour = 3_600_000

/** Answers of the stacks area (apps by compose, plans, revisions, services, search, audit); handlers.ts joins them to the others. */
export function stacksHandlers(db: Database): HttpHandler[] {
  const guarded = guardedBy(db)
  const json = <T extends DefaultBodyType>(body: T, status = 200) => HttpResponse.json(body, { status, headers: { 'Skerry-Index': String(db.index) } })
  const ref = (params: PathParams) => decodeURIComponent(String(params.ref))
  const streams = (request: Request) => request.headers.get('Accept')?.includes('text/event-stream') ?? false

  let revisions = new Map<string, Revision[]>()
  let generation = -1
  /** The revisions of an app, newest first; an app that the scene made has a past. */
  const revisionsOf = (app: App): Revision[] => {
    if (generation !== db.generation) {
      revisions = new Map()
      generation = db.generation
    }
    let list = revisions.get(app.id)
    if (!list) {
      list = []
      if (app.name === 'shop') {
        const older = structuredClone(app.spec)
        if (older.services.web) {
          older.services.web.container = { ...older.services.web.container, image: 'library/nginx:1.25', env: [{ name: 'WORKERS', value: '2' }], memoryBytes: 134_217_728 }
          older.services.web.replicas = 2
        }
        const oldest = structuredClone(older)
        delete oldest.services.cache
        list.push({ appId: app.id, number: 1, spec: oldest, createdAt: new Date(Date.now() - 300 * hour).toISOString(), actor: 'admin' })
        list.push({ appId: app.id, number: 2, spec: older, createdAt: new Date(Date.now() - 120 * hour).toISOString(), actor: 'ci' })
        app.revision = 3
      }
      list.push({ appId: app.id, number: app.revision, spec: structuredClone(app.spec), createdAt: app.createdAt, actor: 'admin' })
      list.reverse()
      revisions.set(app.id, list)
    }
    return list
  }
  const servicesOf = (input: AppInput | AppUpdate): Record<string, ServiceInput> => input.services ?? readCompose(input.source ?? '', input.env).services
  const service = (wanted: string): Service | undefined => db.services.get(wanted) ?? [...db.services.values()].find((each) => `${each.appName}.${each.name}` === wanted) ?? [...db.services.values()].find(({ name }) => name === wanted)

  /** Puts services in force: containers of changed ones are made anew, of those left out removed. */
  const putInForce = (app: App, wanted: Record<string, ServiceInput>, source: string | undefined) => {
    const before = structuredClone(app.spec.services)
    revisionsOf(app)
    const at = new Date().toISOString()
    app.revision++
    app.version = ++db.index
    app.updatedAt = at
    app.spec = { ...app.spec, source, services: {} }
    for (const [name, given] of Object.entries(wanted)) {
      const spec: ServiceSpec = { container: given.container, replicas: given.replicas ?? 1, ports: given.ports, placement: given.placement, reserve: given.reserve, maxUnavailable: given.maxUnavailable }
      app.spec.services[name] = spec
      let present = db.of(app).services.find((each) => each.name === name)
      if (!present) {
        present = { id: db.id('sv'), name, version: db.index, createdAt: at, updatedAt: at, tenantId: app.tenantId, environmentId: app.environmentId, appId: app.id, appName: app.name, revision: app.revision, spec, status: { running: 0 } }
        db.services.set(present.id, present)
      }
      const replace = JSON.stringify(before[name]?.container) !== JSON.stringify(spec.container)
      present.spec = spec
      present.version = ++db.index
      present.ports = given.ports?.map((port, i) => ({ protocol: port.protocol ?? 'tcp', hostPort: port.hostPort || (present.ports?.[i]?.hostPort ?? 30_100 + (db.index % 100)), containerPort: port.containerPort, environmentId: app.environmentId, serviceId: present.id, tenantId: app.tenantId }))
      const old = db.of(app).containers.filter((container) => container.serviceId === present.id)
      if (replace) for (const container of old) db.remove(container)
      const stay = replace ? 0 : old.length
      for (const container of replace ? [] : old.slice(spec.replicas)) db.remove(container)
      for (let slot = stay; slot < spec.replicas; slot++) db.start(db.addContainer(app, present, slot))
    }
    for (const gone of db.of(app).services.filter((each) => !(each.name in wanted))) {
      for (const container of db.of(app).containers.filter((each) => each.serviceId === gone.id)) db.remove(container)
      db.services.delete(gone.id)
    }
    revisionsOf(app).unshift({ appId: app.id, number: app.revision, spec: structuredClone(app.spec), createdAt: at, actor: 'admin' })
    db.happened({ kind: 'app', objectId: app.id, object: app.name, appId: app.id, reason: 'Deployed', message: `app ${app.name} was deployed by admin as revision ${app.revision}: ${Object.keys(wanted).length} services` })
    db.refresh(app)
  }

  /** Streams the steps of an app until it is as asked, as the daemon does. */
  const follow = (app: App) =>
    stream((send, end) => {
      const tell = () => {
        for (const container of db.of(app).containers) send('progress', { id: container.name, step: container.status.phase, message: `${container.name}: ${container.status.phase}` } satisfies Progress)
        if (app.status.phase === 'running' || app.status.desired === 0) {
          send('done', app)
          end()
        }
      }
      const unsubscribe = db.subscribe((name) => name === 'change' && tell())
      queueMicrotask(tell)
      return unsubscribe
    })

  const fieldsOf = (before: ServiceSpec | undefined, after: ServiceInput): PlanField[] => {
    const flat = (value: unknown, path: string, into: Map<string, string>) => {
      if (Array.isArray(value) && value.some((item) => typeof item === 'object')) value.forEach((item: Record<string, unknown>, i) => ('value' in item ? into.set(`${path}.${String(item.name)}`, String(item.value)) : flat(item, `${path}.${String(item.path ?? (item.containerPort ? `${String(item.containerPort)}/${String(item.protocol ?? 'tcp')}` : i))}`, into)))
      else if (typeof value === 'object' && value !== null && !Array.isArray(value)) for (const [name, inner] of Object.entries(value)) flat(inner, path ? `${path}.${name}` : name, into)
      else if (value !== undefined && value !== 0) into.set(path, Array.isArray(value) ? JSON.stringify(value) : String(value))
      return into
    }
    const was = before ? flat(before, '', new Map()) : new Map<string, string>()
    const is = flat({ replicas: 1, ...after }, '', new Map())
    return [...new Set([...was.keys(), ...is.keys()])].sort().flatMap((path) => (was.get(path) === is.get(path) ? [] : [{ path, before: was.get(path), after: is.get(path) }]))
  }

  return [
    /** Fills the scene with so many containers, for the tests of speed. */
    http.post('*/mock/many/:count', ({ params }) => {
      const count = Number(params.count)
      const app = db.createApp({ name: 'many', services: { worker: { container: { image: 'library/nginx:1.27' }, replicas: count } } })
      for (const container of db.of(app).containers) container.status = { phase: 'running', task: 1, restarts: 0, startedAt: new Date(Date.now() - hour).toISOString() }
      db.refresh(app)
      return json({ id: app.id })
    }),
    /** Ends every session, as an expiry does. */
    http.post('*/mock/expire', () => {
      db.sessions.clear()
      return new HttpResponse(null, { status: 204 })
    }),
    http.get(`${root}/search`, guarded(({ request }) => {
      const q = (new URL(request.url).searchParams.get('q') ?? '').toLowerCase()
      const of = (kind: string, each: { id: string; name: string; appId?: string; appName?: string }, detail?: string): SearchHit => ({ kind, id: each.id, name: each.name, appId: each.appId, appName: each.appName, detail })
      const hits = [
        ...[...db.apps.values()].map((app) => of('app', app)),
        ...[...db.services.values()].map((each) => of('service', each, each.spec.container.image)),
        ...[...db.containers.values()].map((each) => of('container', each, each.spec.image)),
        ...[...db.images.values()].map((image) => of('image', image)),
        ...[...db.volumes.values()].map((volume) => of('volume', volume)),
        ...[...db.nodes.values()].map((node) => of('node', node)),
      ]
      return json({ items: hits.filter((hit) => hit.name.toLowerCase().includes(q) || hit.id.startsWith(q)).sort((a, b) => Number(b.name.startsWith(q)) - Number(a.name.startsWith(q))).slice(0, 20) })
    })),
    http.get(`${root}/compose/schema`, guarded(() => json(composeSchema))),
    http.post(`${root}/compose/parse`, guarded(async ({ request }) => {
      const input = (await request.json()) as { source: string; env?: Record<string, string> }
      const read = readCompose(input.source, input.env)
      if (read.problems.length > 0) {
        const [first] = read.problems
        return HttpResponse.json({ type: 'about:blank', title: 'Bad Request', status: 400, code: 'compose_invalid', detail: read.problems.map(({ line, column, path, message }) => `line ${line ?? 0}, column ${column ?? 0}: ${path ?? ''}: ${message}`).join('\n'), field: first?.path, requestId: 'rq-compose', problems: read.problems }, { status: 400 })
      }
      return json({ name: read.name, services: read.services, volumes: read.volumes, problems: [] })
    })),
    http.post(`${root}/app-plans`, guarded(async ({ request }) => {
      const input = (await request.json()) as AppInput
      if (!input.services && input.source !== undefined) {
        const { problems } = readCompose(input.source, input.env)
        if (problems[0]) return refuse(400, 'compose_invalid', problems.map(({ line, message }) => `line ${line ?? 0}: ${message}`).join('\n'), 'source')
      }
      const app = db.find(input.name)
      const wanted = servicesOf(input)
      const before = app?.spec.services ?? {}
      const plan: AppPlan = {
        name: input.name,
        action: app ? 'update' : 'create',
        services: [...new Set([...Object.keys(before), ...Object.keys(wanted)])].sort().map((name) => {
          const was = before[name]
          const is = wanted[name]
          if (!is) return { name, action: 'remove' as const, containersBefore: was?.replicas ?? 0, containersAfter: 0, containersReplaced: 0 }
          const fields = fieldsOf(was, is)
          const replaces = was !== undefined && fields.some(({ path }) => path.startsWith('container.'))
          const here = db.findImage(is.container.image) !== undefined
          return {
            name,
            action: was === undefined ? ('create' as const) : replaces ? ('replace' as const) : fields.length > 0 ? ('update' as const) : ('keep' as const),
            fields: was === undefined ? [] : fields,
            containersBefore: was?.replicas ?? 0,
            containersAfter: is.replicas ?? 1,
            containersReplaced: replaces ? (was?.replicas ?? 0) : 0,
            ...(here ? {} : { imageToFetch: is.container.image }),
          }
        }),
        volumesCreated: [...new Set(Object.values(wanted).flatMap(({ container }) => (container.mounts ?? []).map(({ source }) => source ?? '')))].filter((name) => name && ![...db.volumes.values()].some((volume) => volume.name === name)),
        volumesUnused: [],
        problems: [],
      }
      if (app && plan.services.every(({ action }) => action === 'keep')) plan.action = 'keep'
      return json(plan)
    })),
    http.post(`${root}/apps`, guarded(async ({ request }) => {
      const input = (await request.clone().json()) as AppInput
      // Only what is deployed by its text alone; the form's own is answered by handlers.ts.
      if (input.services || input.source === undefined) return undefined as unknown as Response
      if (db.find(input.name)) return refuse(409, 'name_taken', `There is already an app named ${input.name}; choose another name.`, 'name')
      const read = readCompose(input.source, input.env)
      if (read.problems[0]) return refuse(400, 'compose_invalid', `line ${read.problems[0].line ?? 0}: ${read.problems[0].message}`, 'source')
      const app = db.createApp({ name: input.name, services: read.services })
      app.spec.source = input.source
      for (const container of db.of(app).containers) db.start(container)
      return streams(request) ? follow(app) : json(app, 201)
    })),
    http.put(`${root}/apps/:ref`, guarded(async ({ request, params }) => {
      const app = db.find(ref(params))
      if (!app) return refuse(404, 'app_not_found', `There is no app named ${ref(params)}.`)
      const match = request.headers.get('If-Match')
      if (match && match !== `"${app.version}"`) return refuse(412, 'stale', `The app ${app.name} has changed since; look at it again.`)
      const input = (await request.json()) as AppUpdate
      if (!input.services && input.source !== undefined) {
        const { problems } = readCompose(input.source, input.env)
        if (problems[0]) return refuse(400, 'compose_invalid', `line ${problems[0].line ?? 0}: ${problems[0].message}`, 'source')
      }
      putInForce(app, servicesOf(input), input.source)
      return streams(request) ? follow(app) : json(app)
    })),
    http.get(`${root}/apps/:ref/revisions`, guarded(({ params }) => {
      const app = db.find(ref(params))
      return app ? json({ items: revisionsOf(app) }) : refuse(404, 'app_not_found', `There is no app named ${ref(params)}.`)
    })),
    http.post(`${root}/apps/:ref/rollback`, guarded(async ({ request, params }) => {
      const app = db.find(ref(params))
      if (!app) return refuse(404, 'app_not_found', `There is no app named ${ref(params)}.`)
      const { revision } = (await request.json()) as { revision?: number }
      const to = revisionsOf(app).find(({ number }) => number === (revision || app.revision - 1))
      if (!to) return refuse(404, 'revision_not_found', `The app ${app.name} keeps no revision ${revision}.`)
      putInForce(app, to.spec.services, to.spec.source)
      return json(app)
    })),
    http.get(`${root}/services/:ref`, guarded(({ params }) => {
      const found = service(ref(params))
      return found ? json(found) : refuse(404, 'service_not_found', `There is no service named ${ref(params)}.`)
    })),
    http.patch(`${root}/services/:ref`, guarded(async ({ request, params }) => {
      const update = (await request.clone().json()) as ServiceUpdate
      // Replicas alone make no revision; handlers.ts answers that.
      if (!update.image && !update.container && !update.ports) return undefined as unknown as Response
      const found = service(ref(params))
      const app = found && db.apps.get(found.appId)
      if (!found || !app) return refuse(404, 'service_not_found', 'There is no such service.')
      if (request.headers.get('If-Match') !== `"${found.version}"`) return refuse(412, 'stale', 'The service has changed since; look at it again.')
      const next: Record<string, ServiceInput> = structuredClone(app.spec.services)
      const container = update.container ?? { ...found.spec.container, image: update.image ?? found.spec.container.image }
      if (!db.findImage(container.image)) return refuse(422, 'image_not_found', `The image ${container.image} is not here and its registry does not answer; check the name, or import the image.`, 'image')
      next[found.name] = { container, replicas: update.replicas ?? found.spec.replicas, ports: update.ports ?? found.spec.ports }
      putInForce(app, next, app.spec.source)
      return json(found)
    })),
    ...(['stop', 'start'] as const).map((action) =>
      http.post(`${root}/services/:ref/${action}`, guarded(({ params }) => {
        const found = service(ref(params))
        if (!found) return refuse(404, 'service_not_found', 'There is no such service.')
        found.stopped = action === 'stop'
        found.version = ++db.index
        for (const container of [...db.containers.values()].filter(({ serviceId }) => serviceId === found.id)) {
          if (action === 'stop') db.stop(container)
          else {
            container.intent.stopped = false
            db.start(container)
          }
        }
        return json(found)
      })),
    ),
    http.get(`${root}/services/:ref/metrics`, guarded(({ request, params }) => {
      const found = service(ref(params))
      if (!found) return refuse(404, 'service_not_found', 'There is no such service.')
      const query = new URL(request.url).searchParams
      const step = Number(query.get('step')?.replace(/s$/, '') || 15) || 15
      const to = Math.floor(Date.now() / 1000)
      const count = 60
      const of = [...db.containers.values()].filter(({ serviceId, status }) => serviceId === found.id && status.phase === 'running')
      const wave = (i: number, slot: number, middle: number, swing: number) => middle + swing * Math.sin((to + i * step) / 40 + slot * 1.7)
      const metrics: Metrics = {
        from: new Date((to - count * step) * 1000).toISOString(),
        to: new Date(to * 1000).toISOString(),
        stepSeconds: step,
        cpuLimit: (found.spec.container.cpuMillis ?? 0) / 1000,
        memoryLimitBytes: found.spec.container.memoryBytes ?? 0,
        series: of.flatMap((container) => [
          { metric: 'cpu', unit: 'cores', containerId: container.id, container: container.name, values: Array.from({ length: count }, (_, i) => (i > 20 && i < 24 ? null : wave(i, container.slot, 0.18, 0.08))) },
          { metric: 'memory', unit: 'bytes', containerId: container.id, container: container.name, values: Array.from({ length: count }, (_, i) => wave(i, container.slot, 64_000_000, 6_000_000)) },
          ...(['networkRx', 'networkTx', 'blockRead', 'blockWrite'] as const).map((metric) => ({ metric, unit: 'bytesPerSecond', containerId: container.id, container: container.name, values: Array.from({ length: count }, (_, i) => Math.max(0, wave(i, container.slot, 40_000, 30_000))) })),
        ]),
      }
      return json(metrics)
    })),
    http.get(`${root}/audit`, guarded(({ request }) => {
      const query = new URL(request.url).searchParams
      const made = (index: number, minutes: number, actor: string, operation: string, command: string, object: string, refused?: string): AuditEntry => ({ index, time: new Date(Date.now() - minutes * 60_000).toISOString(), actor, operation, command, object, refused, remoteIp: '192.0.2.77', requestId: `rq-${String(index).padStart(6, '0')}`, tenantId: 'tn-01', ...(actor === 'ci' ? { tokenId: 'tk-01' } : {}) })
      const all = [
        made(412, 3, 'admin', 'updateService', 'ScaleService', 'shop.web'),
        made(408, 21, 'ci', 'updateApp', 'PutApp', 'shop'),
        made(401, 42, 'anna', 'deleteVolume', 'DeleteVolume', 'pgdata', 'The volume pgdata is used by orders-db; remove the app first.'),
        made(377, 180, 'admin', 'createUser', 'PutUser', 'anna'),
        made(352, 1440, 'admin', 'signIn', '', '', 'The name or the password is wrong.'),
        made(300, 4000, 'admin', 'createApp', 'PutApp', 'orders-db'),
        made(298, 4100, '', 'listApps', '', '', 'Nobody is signed in.'),
        made(290, 4200, 'system:gate', '', 'AuditOnly', ''),
      ]
      const actor = query.get('actor')
      const operation = query.get('operation')
      return json({ items: all.filter((entry) => (!actor || entry.actor === actor) && (!operation || entry.operation === operation)) })
    })),
  ]
}
