import { http, HttpResponse, type DefaultBodyType, type HttpHandler, type PathParams } from 'msw'
import type { CommitInput, Container, FileEntry, FileList, Metrics, MetricSeries, Volume } from '@/api/model'
import type { Database } from './db'

const root = '*/api/v1'
let requests = 0

function refuse(status: number, code: string, detail: string, field?: string) {
  return HttpResponse.json({ type: 'about:blank', title: String(status), status, code, detail, field, requestId: `rq-r${String(++requests).padStart(5, '0')}` }, { status, headers: { 'Content-Type': 'application/problem+json' } })
}

/** Answers of the runtime area; handlers.ts joins them to the others. */
export function runtimeHandlers(db: Database): HttpHandler[] {
  type Reply = (info: { request: Request; params: PathParams }) => Promise<Response> | Response
  const guarded = (reply: Reply): Reply => (info) => {
    const session = /skerry_session=([^;]+)/.exec(info.request.headers.get('Cookie') ?? '')?.[1]
    if (!session || !db.sessions.has(session)) return refuse(401, 'not_signed_in', 'Sign in first.')
    if (info.request.method !== 'GET' && info.request.headers.get('Skerry-CSRF') !== 'mock-csrf') return refuse(403, 'csrf', 'The request lacks the CSRF word of the session.')
    return reply(info)
  }
  const json = <T extends DefaultBodyType>(body: T, status = 200) => HttpResponse.json(body, { status, headers: { 'Skerry-Index': String(db.index) } })
  const ref = (params: PathParams) => decodeURIComponent(String(params.ref))
  const container = (act: (container: Container, request: Request) => Promise<Response> | Response) =>
    guarded(({ request, params }) => {
      const found = db.containers.get(ref(params)) ?? [...db.containers.values()].find(({ name }) => name === ref(params))
      return found ? act(found, request) : refuse(404, 'container_not_found', `There is no container named ${ref(params)}.`)
    })
  const volume = (act: (volume: Volume, request: Request) => Promise<Response> | Response) =>
    guarded(({ request, params }) => {
      const found = db.volumes.get(ref(params)) ?? [...db.volumes.values()].find(({ name }) => name === ref(params))
      return found ? act(found, request) : refuse(404, 'volume_not_found', `There is no volume named ${ref(params)}.`)
    })
  const trees = new Map<string, Tree>()
  const treeOf = (id: string, make: () => Tree) => {
    const present = trees.get(id)
    if (present) return present
    const made = make()
    trees.set(id, made)
    return made
  }
  const files = (kind: 'containers' | 'volumes', within: (act: (tree: Tree, request: Request) => Promise<Response> | Response) => Reply): HttpHandler[] => [
    http.get(`${root}/${kind}/:ref/files`, within((tree, request) => list(tree, pathOf(request)))),
    http.get(`${root}/${kind}/:ref/file`, within((tree, request) => {
      const entry = find(tree, pathOf(request))
      if (!entry || entry.type === 'folder') return refuse(404, 'path_not_found', 'There is no such file.', 'path')
      return new HttpResponse('mock '.repeat(Math.min(2_000, entry.sizeBytes / 5)), { headers: { 'Content-Type': 'application/octet-stream', 'Content-Disposition': 'attachment' } })
    })),
    http.put(`${root}/${kind}/:ref/file`, within(async (tree, request) => {
      const path = pathOf(request)
      const size = (await request.arrayBuffer()).byteLength
      const entry = file(path.split('/').pop() ?? '', size, 0)
      put(tree, path, entry)
      return json(entry)
    })),
    http.post(`${root}/${kind}/:ref/folders`, within((tree, request) => {
      const path = pathOf(request)
      if (find(tree, path)) return refuse(409, 'path_exists', 'there is a file or folder of this name in the container already; choose another name', 'path')
      const entry = folder(path.split('/').pop() ?? '')
      put(tree, path, entry)
      tree.set(path, [])
      return json(entry, 201)
    })),
    http.delete(`${root}/${kind}/:ref/files`, within((tree, request) => {
      const path = pathOf(request)
      const parent = path.slice(0, path.lastIndexOf('/')) || '/'
      tree.set(parent, (tree.get(parent) ?? []).filter(({ name }) => name !== path.split('/').pop()))
      tree.delete(path)
      return new HttpResponse(null, { status: 204 })
    })),
  ]
  return [
    http.get(`${root}/ports`, guarded(() => json({ items: [...db.services.values()].flatMap((service) => (service.ports ?? []).map((port) => ({ ...port, serviceId: service.id }))) }))),
    http.get(`${root}/containers/:ref/metrics`, container((found, request) => json(metricsOf([found], request)))),
    http.get(`${root}/services/:ref/metrics`, guarded(({ params, request }) => {
      const service = db.services.get(ref(params)) ?? [...db.services.values()].find(({ name, appName }) => name === ref(params) || `${appName}.${name}` === ref(params))
      if (!service) return refuse(404, 'service_not_found', 'There is no such service.')
      return json(metricsOf([...db.containers.values()].filter(({ serviceId }) => serviceId === service.id), request))
    })),
    http.get(`${root}/nodes/:ref/metrics`, guarded(({ params, request }) => json(nodeMetrics(db, params, request)))),
    http.get(`${root}/containers/:ref`, container((found) => json(found))),
    http.delete(`${root}/containers/:ref`, container(async (found, request) => {
      const force = new URL(request.url).searchParams.get('force') === 'true'
      if (found.status.phase === 'running' && !force) return refuse(409, 'container_running', `The container ${found.name} runs; stop it first, or force its removal.`)
      const app = db.apps.get(found.appId)
      const siblings = [...db.containers.values()].filter(({ appId }) => appId === found.appId)
      if (app && siblings.length === 1) await db.removeApp(app, false)
      else db.remove(found)
      return new HttpResponse(null, { status: 202 })
    })),
    http.post(`${root}/containers/:ref/commit`, container(async (found, request) => {
      const input = (await request.json()) as CommitInput
      if (!/^[a-z0-9./:_-]+$/.test(input.image)) return refuse(422, 'image_name_invalid', `${input.image} is no name of an image; use lowercase letters, digits and . _ - / with a tag behind a colon.`, 'image')
      return json(db.addImage(`skerry.internal/default/${input.image}`, 71_303_168 + found.slot, false, 0), 201)
    })),
    http.get(`${root}/containers/:ref/archive`, container(() => new HttpResponse(new Uint8Array(1024), { headers: { 'Content-Type': 'application/x-tar', 'Content-Disposition': 'attachment; filename=files.tar' } }))),
    ...files('containers', (act) => container((found, request) => act(treeOf(found.id, containerTree), request))),
    ...files('volumes', (act) => volume((found, request) => act(treeOf(found.id, volumeTree), request))),
    http.post(`${root}/volumes`, guarded(async ({ request }) => {
      const input = (await request.json()) as { name: string; spec?: Volume['spec'] }
      if ([...db.volumes.values()].some(({ name }) => name === input.name)) return refuse(409, 'name_taken', `There is already a volume named ${input.name}; choose another name.`, 'name')
      const at = new Date().toISOString()
      const made: Volume = { id: db.id('vo'), name: input.name, version: ++db.index, createdAt: at, updatedAt: at, tenantId: 'tn-01', nodeId: db.node().id, spec: input.spec ?? {}, status: { usedBytes: 0, usedBy: [] } }
      db.volumes.set(made.id, made)
      db.changed('volume', made.id)
      return json(made, 201)
    })),
    http.get(`${root}/volumes/:ref`, volume((found) => json(found))),
    http.delete(`${root}/volumes/:ref`, volume((found) => {
      if (found.status.usedBy.length > 0) return refuse(409, 'volume_in_use', `The volume ${found.name} is used by ${found.status.usedBy.map(({ name }) => name).join(', ')}; remove what uses it first.`)
      db.volumes.delete(found.id)
      db.changed('volume', found.id, true)
      return new HttpResponse(null, { status: 204 })
    })),
  ]
}

/** A smooth noise that is the same for the same moment, so that what is asked twice is answered twice alike. */
function wave(seconds: number, seed: number): number {
  return 0.5 + 0.28 * Math.sin(seconds / 97 + seed) + 0.14 * Math.sin(seconds / 23 + seed * 3) + 0.08 * Math.sin(seconds / 5.1 + seed * 7)
}

/** From, step and length of what is asked for. */
function frameOf(request: Request) {
  const query = new URL(request.url).searchParams
  const since = query.get('since') ?? '15m'
  const now = Math.floor(Date.now() / 1000)
  const span = /^(\d+)([smh])$/.exec(since)
  const asked = span ? now - Number(span[1]) * { s: 1, m: 60, h: 3600 }[span[2] as 's' | 'm' | 'h'] : Math.floor(Date.parse(since) / 1000)
  const step = Number(query.get('step') ?? Math.max(1, Math.ceil((now - asked) / 600)))
  const from = Math.ceil(asked / step) * step
  const count = Math.max(0, Math.floor((now - from) / step) + 1)
  return { from, step, count, to: from + Math.max(0, count - 1) * step, now }
}

function metricsOf(containers: Container[], request: Request): Metrics {
  const { from, step, count, to, now } = frameOf(request)
  const series = containers.flatMap((container, n): MetricSeries[] => {
    const seed = container.slot * 1.7 + container.name.length
    const begun = container.status.startedAt && container.status.phase === 'running' ? Date.parse(container.status.startedAt) / 1000 : Infinity
    const limit = container.spec.memoryBytes ?? 536_870_912
    const row = (metric: string, unit: string, of: (seconds: number) => number): MetricSeries => ({
      metric,
      unit,
      containerId: container.id,
      container: container.name,
      values: Array.from({ length: count }, (_, i) => {
        const at = from + i * step
        // A daemon that was down for a while leaves a hole.
        const hole = (now - at > 380 && now - at < 430) || (step > 100 && (now - at) % 86_400 < 4_000 && now - at > 20_000)
        return at < begun || hole ? null : Math.round(of(at) * 1000) / 1000
      }),
    })
    return [
      row('cpu', 'cores', (s) => 0.34 * wave(s, seed) + (n === 1 ? 0.1 : 0.02)),
      row('memory', 'bytes', (s) => limit * (0.35 + 0.18 * wave(s / 9, seed) + n * 0.06)),
      row('networkRx', 'bytesPerSecond', (s) => 42_000 * wave(s, seed + 1) ** 2),
      row('networkTx', 'bytesPerSecond', (s) => 180_000 * wave(s, seed + 2) ** 2),
      row('blockRead', 'bytesPerSecond', (s) => 20_000 * Math.max(0, wave(s, seed + 3) - 0.7)),
      row('blockWrite', 'bytesPerSecond', (s) => 90_000 * Math.max(0, wave(s, seed + 4) - 0.4)),
      row('pids', 'count', () => 5),
    ]
  })
  const [first] = containers
  return { from: new Date(from * 1000).toISOString(), to: new Date(to * 1000).toISOString(), stepSeconds: step, series, cpuLimit: first?.spec.cpuMillis ? first.spec.cpuMillis / 1000 : 0, memoryLimitBytes: first?.spec.memoryBytes ?? 0 }
}

function nodeMetrics(db: Database, params: PathParams, request: Request): Metrics {
  const { from, step, count, to } = frameOf(request)
  const row = (metric: string, unit: string, of: (seconds: number) => number): MetricSeries => ({ metric, unit, values: Array.from({ length: count }, (_, i) => Math.round(of(from + i * step) * 1000) / 1000) })
  const node = db.findNode(decodeURIComponent(String(params.ref))) ?? db.node()
  return {
    from: new Date(from * 1000).toISOString(),
    to: new Date(to * 1000).toISOString(),
    stepSeconds: step,
    series: [
      row('cpu', 'cores', (s) => 3.2 * wave(s, 4)),
      row('memory', 'bytes', (s) => node.status.memoryBytes * (0.45 + 0.15 * wave(s / 6, 1))),
      row('disk', 'bytes', (s) => 228_170_137_600 + (s % 100_000) * 20_000),
      row('load1', 'count', (s) => 2.4 * wave(s, 2)),
      row('networkRx', 'bytesPerSecond', (s) => 2_400_000 * wave(s, 6) ** 2),
      row('networkTx', 'bytesPerSecond', (s) => 5_100_000 * wave(s, 8) ** 2),
      row('blockRead', 'bytesPerSecond', (s) => 900_000 * Math.max(0, wave(s, 3) - 0.5)),
      row('blockWrite', 'bytesPerSecond', (s) => 4_000_000 * Math.max(0, wave(s, 5) - 0.3)),
    ],
    cpuLimit: node.status.cpus,
    memoryLimitBytes: node.status.memoryBytes,
    diskTotalBytes: 270_582_939_648,
  }
}

type Tree = Map<string, FileEntry[]>

const folder = (name: string, ageHours = 0): FileEntry => ({ name, type: 'folder', sizeBytes: 4096, mode: 0o755, uid: 0, gid: 0, modifiedAt: new Date(Date.now() - ageHours * 3_600_000).toISOString() })
const file = (name: string, sizeBytes: number, ageHours: number, mode = 0o644): FileEntry => ({ name, type: 'file', sizeBytes, mode, uid: 0, gid: 0, modifiedAt: new Date(Date.now() - ageHours * 3_600_000).toISOString() })
const link = (name: string, linkTarget: string): FileEntry => ({ name, type: 'link', sizeBytes: linkTarget.length, mode: 0o777, uid: 0, gid: 0, modifiedAt: new Date(Date.now() - 900 * 3_600_000).toISOString(), linkTarget })

function containerTree(): Tree {
  return new Map([
    ['/', [...['dev', 'etc', 'home', 'proc', 'root', 'srv', 'tmp', 'usr', 'var'].map((name, i) => ({ ...folder(name, 30 * i + 2), ...(name === 'proc' || name === 'dev' ? { mount: true } : {}) })), link('bin', 'usr/bin'), link('lib', 'usr/lib'), file('docker-entrypoint.sh', 1_620, 720, 0o755)]],
    ['/etc', [folder('nginx', 40), file('hostname', 8, 1), file('hosts', 174, 1), file('passwd', 922, 900), file('shadow', 500, 900, 0o640)]],
    ['/etc/nginx', [folder('conf.d', 40), file('nginx.conf', 648, 60), file('mime.types', 5_349, 900)]],
    ['/tmp', [file('new\nline.txt', 12, 2), file('party 🎉👩‍🔬.log', 48_211, 3), file('evil\u202Egnp.exe', 99, 4), { ...file('br\uFFFDken', 5, 5), rawName: 'YnL/a2Vu' }, file('<img src=x onerror=alert(1)>.html', 31, 6), file('a-rather-long-name-for-a-file-that-nobody-would-ever-type-by-hand-but-programs-do-2026-11-21T08-33-51.tar.gz', 187_904_819, 9)]],
    ['/usr', [folder('bin', 800), folder('lib', 800), folder('share', 800)]],
    ['/usr/bin', Array.from({ length: 1_500 }, (_, i) => file(`tool-${i + 1}`, 14_000 + ((i * 7919) % 900_000), 900, 0o755))],
    ['/bin', [file('sh', 125_688, 900, 0o755)]],
    ['/var', [folder('cache', 90), folder('log', 1)]],
    ['/var/log', [file('access.log', 12_582_912, 0), file('error.log', 40_960, 1)]],
    ['/home', []],
  ])
}

function volumeTree(): Tree {
  return new Map([
    ['/', [folder('base', 3), folder('pg_wal', 0), file('PG_VERSION', 3, 200), file('postgresql.conf', 29_525, 200, 0o600), file('postmaster.pid', 94, 2, 0o600)]],
    ['/base', [folder('1', 200), folder('5', 4)]],
    ['/base/1', [file('112', 8_192, 200)]],
    ['/pg_wal', Array.from({ length: 24 }, (_, i) => file(`0000000100000000000000${(i + 16).toString(16).toUpperCase()}`, 16_777_216, i / 3, 0o600))],
  ])
}

function pathOf(request: Request): string {
  const query = new URL(request.url).searchParams
  const raw = query.get('rawPath')
  const path = raw ? Buffer.from(raw, 'base64').toString('utf8') : (query.get('path') ?? '/')
  return path.length > 1 ? path.replace(/\/+$/, '') : path
}

function find(tree: Tree, path: string): FileEntry | undefined {
  if (path === '/') return folder('/')
  const parent = path.slice(0, path.lastIndexOf('/')) || '/'
  return tree.get(parent)?.find(({ name }) => name === path.split('/').pop())
}

function put(tree: Tree, path: string, entry: FileEntry) {
  const parent = path.slice(0, path.lastIndexOf('/')) || '/'
  tree.set(parent, [...(tree.get(parent) ?? []).filter(({ name }) => name !== entry.name), entry])
}

function list(tree: Tree, path: string): Response {
  const entry = find(tree, path)
  if (!entry) return refuse(404, 'path_not_found', 'there is no such file or folder in the container', 'path')
  if (entry.type === 'file') return refuse(422, 'path_not_folder', 'this path goes through something that is no folder; correct the path', 'path')
  const items = [...(tree.get(path) ?? [])].sort((a, b) => Number(b.type === 'folder') - Number(a.type === 'folder') || a.name.localeCompare(b.name))
  const listing: FileList = { path, items, ...(items.length >= 1_500 ? { truncated: true } : {}) }
  return HttpResponse.json(listing)
}
