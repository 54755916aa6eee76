import type { App, AppInput, Condition, Container, EventEntry, Image, JoinToken, Me, Node, NodeStats, Port, Service, Status, Volume } from '@/api/model'
import { nodesOf, statsOf, tokensOf, type Scene } from './cluster'

/**
 * The mock's memory: its nodes, one tenant, and apps that pass through their phases as real ones do, only with timers. It is
 * typed by the contract, so that it cannot drift from it. Development, Vitest and the browser tests share it; the product
 * never contains it.
 */
export type { Scene }

export type Listener = (name: 'event' | 'change', data: unknown, id?: number) => void

const tenantId = 'tn-01'
const environmentId = 'en-01'
const nodeId = 'nd-01'

export class Database {
  setupNeeded = true
  readonly setupToken = 'mock-setup-token'
  readonly users = new Map<string, string>([['admin', 'correct-horse']])
  sessions = new Set<string>()
  apps = new Map<string, App>()
  services = new Map<string, Service>()
  containers = new Map<string, Container>()
  images = new Map<string, Image>()
  volumes = new Map<string, Volume>()
  nodes = new Map<string, Node>()
  joinTokens: JoinToken[] = []
  /** What the answers say of the cluster: seconds that this node has been cut off, and whether somebody leads. */
  stale = 0
  leader = true
  events: EventEntry[] = []
  tokens: { id: string; name: string; role: 'admin' | 'auditor' | 'owner' | 'developer' | 'viewer'; createdAt: string; expiresAt?: string }[] = []
  index = 100
  /** The scene shown, and how often one was begun: the areas' own mocks make their data anew for each. */
  scene: Scene = 'fresh'
  generation = 0
  private counter = 0
  private nextPort = 30000
  private nextAddress = 2
  private listeners = new Set<Listener>()
  private timers = new Set<ReturnType<typeof setTimeout>>()

  constructor(scene: Scene, private readonly stepMs = 350) {
    this.reset(scene)
  }

  reset(scene: Scene) {
    this.scene = scene
    this.generation++
    for (const timer of this.timers) clearTimeout(timer)
    this.timers.clear()
    for (const map of [this.apps, this.services, this.containers, this.images, this.volumes]) map.clear()
    this.events = []
    this.tokens = []
    this.nodes = new Map(nodesOf(scene).map((node) => [node.id, node]))
    this.joinTokens = tokensOf(scene)
    this.stale = 0
    this.leader = scene !== 'lost'
    if (scene === 'fresh') this.sessions.clear()
    this.counter = 0
    this.nextPort = 30000
    this.nextAddress = 2
    this.setupNeeded = scene === 'fresh'
    this.addImage('library/welcome:latest', 4_404_019, true)
    if (scene !== 'fresh' && scene !== 'empty') this.populate()
  }

  subscribe(listener: Listener): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  id(kind: string): string {
    return `${kind}-${String(++this.counter).padStart(6, '0')}`
  }

  changed(kind: string, id: string, removed = false) {
    this.index++
    for (const listener of this.listeners) listener('change', { kind, id, tenantId, version: this.index, removed })
  }

  happened(entry: Pick<EventEntry, 'kind' | 'objectId' | 'object' | 'reason' | 'message'> & { appId?: string; warning?: boolean }, at = new Date()) {
    const event: EventEntry = { seq: ++this.index * 1024, time: at.toISOString(), tenantId, ...entry }
    this.events.unshift(event)
    for (const listener of this.listeners) listener('event', event, event.seq)
  }

  later(action: () => void, steps = 1) {
    const timer = setTimeout(() => {
      this.timers.delete(timer)
      action()
    }, this.stepMs * steps)
    this.timers.add(timer)
  }

  me(name: string): Me {
    return {
      userId: 'us-01',
      name,
      local: false,
      platformRole: 'admin',
      defaultTenant: tenantId,
      tenants: [{ id: tenantId, name: 'default', role: 'owner', permissions: ['app.read', 'app.write', 'audit.read', 'container.exec', 'container.files', 'container.commit', 'container.operate', 'container.read', 'event.read', 'image.read', 'image.write', 'log.read', 'tenant.people', 'tenant.read', 'tenant.write', 'volume.files', 'volume.read', 'volume.write'] }],
      permissions: ['cluster.read', 'node.read', 'platform.read', 'platform.write', 'self.read', 'self.token', 'self.write'],
      csrf: 'mock-csrf',
      sessionExpiresAt: new Date(Date.now() + 86_400_000).toISOString(),
    }
  }

  addImage(name: string, sizeBytes: number, isPublic = false, age = 5_400_000): Image {
    const at = new Date(Date.now() - age).toISOString()
    const digest = `sha256:${[...name].map((c) => c.charCodeAt(0).toString(16)).join('').repeat(4).slice(0, 64)}`
    const image: Image = { id: this.id('im'), name, version: ++this.index, createdAt: at, updatedAt: at, tenantId, public: isPublic, digest, sizeBytes, platforms: ['linux/amd64'], nodeIds: [nodeId] }
    this.images.set(image.id, image)
    this.changed('image', image.id)
    return image
  }

  findImage(ref: string): Image | undefined {
    return [...this.images.values()].find((image) => [image.id, image.digest, image.name, image.name.replace(/^library\//, ''), image.name.replace(/^library\//, '').replace(/:latest$/, '')].includes(ref))
  }

  find(ref: string): App | undefined {
    return this.apps.get(ref) ?? [...this.apps.values()].find((app) => app.name === ref)
  }

  of(app: App): { services: Service[]; containers: Container[] } {
    return {
      services: [...this.services.values()].filter((service) => service.appId === app.id),
      containers: [...this.containers.values()].filter((container) => container.appId === app.id),
    }
  }

  createApp(input: AppInput, age = 0): App {
    const at = new Date(Date.now() - age).toISOString()
    const app: App = {
      id: this.id('ap'),
      name: input.name,
      version: ++this.index,
      createdAt: at,
      updatedAt: at,
      tenantId,
      environmentId,
      revision: 1,
      spec: { services: {} },
      status: { phase: 'starting', message: 'Starting.', services: 0, desired: 0, running: 0 },
    }
    this.apps.set(app.id, app)
    for (const [name, given] of Object.entries(input.services ?? {})) {
      const spec = { container: given.container, replicas: given.replicas ?? 1, ports: given.ports, placement: given.placement, reserve: given.reserve, maxUnavailable: given.maxUnavailable }
      app.spec.services[name] = spec
      const service: Service = {
        id: this.id('sv'),
        name,
        version: ++this.index,
        createdAt: at,
        updatedAt: at,
        tenantId,
        environmentId,
        appId: app.id,
        appName: app.name,
        revision: 1,
        spec,
        ports: given.ports?.map((port): Port => ({ protocol: port.protocol ?? 'tcp', hostPort: port.hostPort || this.nextPort++, containerPort: port.containerPort, environmentId, serviceId: '', tenantId })),
        status: { running: 0 },
      }
      this.services.set(service.id, service)
      for (const mount of given.container.mounts ?? []) this.addVolume(mount.source ?? '', app.name)
      for (let slot = 0; slot < spec.replicas; slot++) this.addContainer(app, service, slot, at)
    }
    this.happened({ kind: 'app', objectId: app.id, object: app.name, appId: app.id, reason: 'Created', message: 'was created' }, new Date(at))
    this.refresh(app)
    return app
  }

  private addVolume(name: string, appName: string) {
    if ([...this.volumes.values()].some((volume) => volume.name === name)) return
    const at = new Date().toISOString()
    const volume: Volume = { id: this.id('vo'), name, version: ++this.index, createdAt: at, updatedAt: at, tenantId, nodeId, spec: {}, status: { usedBytes: 1_288_490_189, usedBy: [{ kind: 'service', id: '', name, appName }] } }
    this.volumes.set(volume.id, volume)
  }

  addContainer(app: App, service: Service, slot: number, at = new Date().toISOString()): Container {
    const container: Container = {
      id: this.id('ct'),
      name: `${app.name === service.name ? app.name : `${app.name}-${service.name}`}-${slot + 1}`,
      version: ++this.index,
      createdAt: at,
      updatedAt: at,
      tenantId,
      environmentId,
      appId: app.id,
      appName: app.name,
      serviceId: service.id,
      serviceName: service.name,
      slot,
      revision: app.revision,
      spec: service.spec.container,
      intent: {},
      assign: this.place(slot),
      status: { phase: 'pending', task: 1, restarts: 0 },
    }
    this.containers.set(container.id, container)
    return container
  }

  /** Lets a container pass through its phases until it runs. */
  start(container: Container) {
    const step = (phase: Container['status']['phase']) => {
      container.status.phase = phase
      container.version = ++this.index
      if (phase === 'running') {
        container.status.startedAt = new Date().toISOString()
        container.status.exitCode = undefined
        this.happened({ kind: 'container', objectId: container.id, object: container.name, appId: container.appId, reason: 'Started', message: 'runs' })
      }
      this.touch(container)
    }
    step('preparing')
    this.later(() => step('starting'))
    this.later(() => step('running'), 2)
  }

  stop(container: Container, code = 0) {
    container.intent.stopped = true
    container.status.phase = 'stopping'
    this.touch(container)
    this.later(() => {
      container.status.phase = 'exited'
      container.status.exitCode = code
      container.status.finishedAt = new Date().toISOString()
      this.happened({ kind: 'container', objectId: container.id, object: container.name, appId: container.appId, reason: 'Stopped', message: `has stopped with exit status ${code}` })
      this.touch(container)
    }, 2)
  }

  remove(container: Container) {
    container.assign.remove = true
    container.status.phase = 'stopping'
    this.touch(container)
    this.later(() => {
      this.containers.delete(container.id)
      this.changed('container', container.id, true)
      const app = this.apps.get(container.appId)
      if (app) this.refresh(app)
    })
  }

  removeApp(app: App, volumes: boolean): Promise<void> {
    app.removing = true
    app.status.phase = 'removing'
    const parts = this.of(app)
    for (const container of parts.containers) this.remove(container)
    this.changed('app', app.id)
    return new Promise((resolve) =>
      this.later(() => {
        for (const service of parts.services) this.services.delete(service.id)
        if (volumes) for (const volume of this.volumes.values()) if (volume.status.usedBy.every((user) => user.appName === app.name)) this.volumes.delete(volume.id)
        this.apps.delete(app.id)
        this.happened({ kind: 'app', objectId: app.id, object: app.name, appId: app.id, reason: 'Removed', message: 'was removed' })
        this.changed('app', app.id, true)
        resolve()
      }, 2),
    )
  }

  private touch(container: Container) {
    this.changed('container', container.id)
    const app = this.apps.get(container.appId)
    if (app) this.refresh(app)
  }

  /** Counts anew what app and services say of their containers. */
  refresh(app: App) {
    const { services, containers } = this.of(app)
    const running = (list: Container[]) => list.filter((container) => container.status.phase === 'running').length
    for (const service of services) {
      service.status.running = running(containers.filter((container) => container.serviceId === service.id))
      this.changed('service', service.id)
    }
    const desired = services.reduce((sum, service) => sum + service.spec.replicas, 0)
    const up = running(containers)
    const broken = containers.filter((container) => ['failed', 'backoff'].includes(container.status.phase)).length
    const phase = app.removing ? 'removing' : app.spec.stopped ? (up > 0 || containers.some((c) => c.status.phase === 'stopping') ? 'stopping' : 'stopped') : up >= desired ? 'running' : broken === 0 ? 'starting' : up > 0 ? 'degraded' : 'failed'
    app.status = { phase, message: `${up} of ${desired} replicas run.`, services: services.length, desired, running: up, ports: services.flatMap((service) => service.ports ?? []), conditions: app.status.conditions }
    this.changed('app', app.id)
  }

  /** Where a replica goes: spread over the nodes that take containers. */
  place(slot: number): Container['assign'] {
    const fit = [...this.nodes.values()].filter(({ health, status, spec }) => health?.state !== 'down' && status.ready && spec.availability !== 'drain')
    const node = fit[slot % fit.length]
    if (!node) return { reason: 'no node fits: every node is down or drained' }
    return { nodeId: node.id, address: `10.42.0.${this.nextAddress++}`, reason: `${node.name} has the fewest containers (${slot}) of ${fit.length} ready` }
  }

  /** The node that answers. */
  node(): Node {
    const [first] = this.nodes.values()
    if (!first) throw new Error('the mock has no node')
    return first
  }

  findNode(ref: string): Node | undefined {
    return this.nodes.get(ref) ?? [...this.nodes.values()].find(({ name }) => name === ref)
  }

  on(node: Node): Container[] {
    return [...this.containers.values()].filter(({ assign }) => assign.nodeId === node.id)
  }

  stats(node = this.node()): NodeStats {
    return statsOf(node, this.on(node).filter(({ status }) => status.phase === 'running').length)
  }

  status(): Status {
    const byPhase: Record<string, number> = {}
    for (const container of this.containers.values()) byPhase[container.status.phase] = (byPhase[container.status.phase] ?? 0) + 1
    const problems = [...this.apps.values()].flatMap((app) =>
      (app.status.conditions ?? []).map((condition) => ({ severity: app.status.phase === 'failed' ? ('error' as const) : ('warning' as const), code: condition.reason, message: condition.message, kind: 'app', id: app.id, name: app.name, tenantId, since: condition.since })),
    )
    const nodes = [...this.nodes.values()]
    const up = (node: Node) => node.health?.state !== 'down' && node.status.ready
    return {
      ok: problems.length === 0,
      summary: problems.length === 0 ? 'All is well.' : `${problems.length} problems.`,
      problems,
      counts: { apps: this.apps.size, services: this.services.size, containers: this.containers.size, containersByPhase: byPhase, images: this.images.size, volumes: this.volumes.size, nodes: nodes.length, nodesReady: nodes.filter(up).length },
      nodes: nodes.map((node) => ({ id: node.id, name: node.name, ready: up(node), cpus: node.status.cpus, memoryBytes: node.status.memoryBytes, stats: up(node) ? this.stats(node) : undefined })),
      clusterId: 'cl-01',
      skerryVersion: '0.1.0',
      time: new Date().toISOString(),
    }
  }

  /** What several nodes can leave behind: replicas on a node that is being drained, and one that fits nowhere. */
  private leaveBehind() {
    const drained = [...this.nodes.values()].find(({ spec }) => spec.availability === 'drain')
    const of = (name: string) => [...this.containers.values()].find((container) => container.name === name)
    for (const name of ['orders-db-postgres-1', 'shop-web-3']) {
      const container = of(name)
      if (drained && container) container.assign = { ...container.assign, nodeId: drained.id, reason: `its volume lives on ${drained.name}` }
    }
    const waiting = of('checkout-2')
    if (!drained || !waiting) return
    waiting.assign = { reason: 'no node fits: skerry-1, skerry-2, skerry-3 lack 2.0 GiB of free memory; gpu-worker-with-a-rather-long-name-in-rack-17 is of another environment; and 2 more' }
    waiting.status = { phase: 'pending', task: 0, restarts: 0 }
    for (const app of this.apps.values()) this.refresh(app)
  }

  /** A cluster with apps in several states, so that every page has something to show. */
  private populate() {
    this.addImage('library/nginx:1.27', 71_303_168)
    this.addImage('library/redis:7.2', 42_991_616)
    this.addImage('registry.example.com/shop/checkout-service:2026.11.3', 187_904_819)
    this.addImage('library/postgres:16', 159_383_552)
    const hour = 3_600_000
    const run = (app: App, age: number) => {
      for (const container of this.of(app).containers) {
        container.status = { phase: 'running', task: 1, restarts: 0, startedAt: new Date(Date.now() - age).toISOString() }
      }
      this.refresh(app)
    }
    const shop = this.createApp(
      {
        name: 'shop',
        services: {
          web: { container: { image: 'library/nginx:1.27', memoryBytes: 268_435_456, cpuMillis: 500, restart: 'always' }, replicas: 3, ports: [{ protocol: 'tcp', containerPort: 80 }], placement: { constraints: ['node.labels.disk==ssd'], antiAffinity: ['web'], spreadBy: 'zone' }, reserve: { cpuMillis: 250, memoryBytes: 134_217_728 }, maxUnavailable: 1 },
          cache: { container: { image: 'library/redis:7.2', restart: 'always' }, replicas: 1 },
        },
      },
      50 * hour,
    )
    shop.revision = 3
    run(shop, 50 * hour)
    const hello = this.createApp({ name: 'hello', services: { hello: { container: { image: 'library/welcome:latest', restart: 'always' }, replicas: 1, ports: [{ protocol: 'tcp', containerPort: 80 }] } } }, 0.4 * hour)
    run(hello, 0.4 * hour)
    const data = this.createApp({ name: 'orders-db', services: { postgres: { container: { image: 'library/postgres:16', memoryBytes: 1_073_741_824, mounts: [{ type: 'volume', source: 'pgdata', path: '/var/lib/postgresql/data' }] }, replicas: 1, ports: [{ protocol: 'tcp', hostPort: 5432, containerPort: 5432 }] } } }, 200 * hour)
    run(data, 200 * hour)
    const since = new Date(Date.now() - 240_000).toISOString()
    const fault = (app: App, phase: 'failed' | 'backoff', condition: Condition, howMany: number) => {
      run(app, 3 * hour)
      for (const container of this.of(app).containers.slice(0, howMany)) {
        container.status = { phase, task: 4, restarts: 3, exitCode: 137, startedAt: since, finishedAt: since, retryAt: new Date(Date.now() + 40_000).toISOString(), conditions: [condition] }
        if (condition.reason === 'OutOfMemory') container.status.oomKilled = true
      }
      app.status.conditions = [condition]
      this.refresh(app)
      this.happened({ kind: 'app', objectId: app.id, object: app.name, appId: app.id, reason: condition.reason, message: condition.message, warning: true }, new Date(since))
    }
    fault(
      this.createApp({ name: 'checkout', services: { checkout: { container: { image: 'registry.example.com/shop/checkout-service:2026.11.3', memoryBytes: 134_217_728 }, replicas: 2, ports: [{ protocol: 'tcp', containerPort: 8080 }] } } }, 3 * hour),
      'backoff',
      { type: 'Running', reason: 'OutOfMemory', message: 'The container used more than its limit of 128 MiB and was ended by the kernel; raise the memory limit or find what uses it.', since },
      1,
    )
    fault(
      this.createApp({ name: 'mailer', services: { mailer: { container: { image: 'registry.example.com/shop/mailer:1.4' }, replicas: 1 } } }, 2 * hour),
      'failed',
      { type: 'Running', reason: 'ImageNotFound', message: 'The image registry.example.com/shop/mailer:1.4 does not exist in its registry; check the name and the tag.', since },
      1,
    )
    const old = this.createApp({ name: 'report-2025', services: { 'report-2025': { container: { image: 'library/nginx:1.27' }, replicas: 1 } } }, 900 * hour)
    old.spec.stopped = true
    for (const container of this.of(old).containers) {
      container.intent.stopped = true
      container.status = { phase: 'exited', task: 1, restarts: 0, exitCode: 0, startedAt: new Date(Date.now() - 900 * hour).toISOString(), finishedAt: new Date(Date.now() - 30 * hour).toISOString() }
    }
    this.refresh(old)
    if (this.nodes.size > 1) this.leaveBehind()
    this.events.sort((a, b) => b.time.localeCompare(a.time))
    this.tokens.push({ id: 'tk-01', name: 'ci', role: 'developer', createdAt: new Date(Date.now() - 80 * hour).toISOString(), expiresAt: new Date(Date.now() + 2_000 * hour).toISOString() })
  }
}
