import { http, HttpResponse, type DefaultBodyType, type HttpHandler, type PathParams } from 'msw'
import type { Certificate, Image, ImageConfig, ImageDetail, ImageLayer, ManifestDetail, ManifestPart, Member, Registry, Repository, Role, Session, Tag, Tenant, Upstream, UsedBy, User } from '@/api/model'
import type { Database } from './db'
import { guardedBy, refuse, stream } from './handlers'

const root = '*/api/v1'
const ociManifest = 'application/vnd.oci.image.manifest.v1+json'
const ociIndex = 'application/vnd.oci.image.index.v1+json'
const gzipLayer = 'application/vnd.oci.image.layer.v1.tar+gzip'
const hour = 3_600_000

const ago = (ms: number) => new Date(Date.now() - ms).toISOString()

/** A digest that is always the same for the same word. */
function digestOf(word: string): string {
  let state = 0x811c9dc5
  let hex = ''
  for (let round = 0; hex.length < 64; round++) {
    for (const c of `${word}/${round}`) state = Math.imul(state ^ c.charCodeAt(0), 0x01000193) >>> 0
    hex += state.toString(16).padStart(8, '0')
  }
  return `sha256:${hex.slice(0, 64)}`
}

const layersOf = (name: string, sizeBytes: number): ImageLayer[] => {
  const share = [0.61, 0.27, 0.1, 0.02]
  const made = [
    '/bin/sh -c #(nop) ADD file:4c1a in / ',
    'RUN /bin/sh -c apt-get update && apt-get install -y --no-install-recommends ca-certificates curl && rm -rf /var/lib/apt/lists/* # buildkit',
    `COPY /out/${name} /usr/local/bin/ # buildkit`,
    'COPY docker-entrypoint.sh / # buildkit',
  ]
  return share.map((part, i) => ({ digest: digestOf(`${name} layer ${i}`), mediaType: gzipLayer, sizeBytes: Math.round(sizeBytes * part), createdBy: made[i] }))
}

const configOf = (name: string): ImageConfig => ({
  architecture: 'amd64',
  os: 'linux',
  createdAt: ago(400 * hour),
  entrypoint: ['/docker-entrypoint.sh'],
  command: [name, '-g', 'daemon off;'],
  env: [
    { name: 'PATH', value: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
    { name: 'APP_VERSION', value: '2026.11.3' },
  ],
  workingDir: '/srv',
  user: '101:101',
  exposedPorts: /postgres/.test(name) ? ['5432/tcp'] : /redis/.test(name) ? ['6379/tcp'] : /welcome|nginx/.test(name) ? ['80/tcp'] : ['8080/tcp'],
  volumes: /postgres/.test(name) ? ['/var/lib/postgresql/data'] : undefined,
  labels: { 'org.opencontainers.image.source': 'https://git.example.com/shop/web', 'org.opencontainers.image.title': '<img src=x onerror="document.title=\'pwned\'">', maintainer: 'Web team <web@example.com>' },
  stopSignal: 'SIGQUIT',
})

interface Held {
  repository: Repository
  tags: Map<string, Tag>
  manifests: Map<string, ManifestDetail>
}

/** What the registry area's mock remembers, made anew with each scene. */
class RegistryData {
  repositories = new Map<string, Held>()
  upstreams = new Map<string, Upstream>()
  users = new Map<string, User>()
  tenants = new Map<string, Tenant>()
  sessions: Session[] = []
  certificate: Certificate
  private nextId = 1

  constructor(private readonly db: Database) {
    this.certificate = ownCertificate()
    this.tenant('default', 'tn-01')
    this.user('admin', { platformRole: 'admin', displayName: '' }, 'us-01')
    this.sessions = [
      { id: 'se-1', current: true, createdAt: ago(2 * hour), expiresAt: ago(-10 * hour), userAgent: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36', remoteIp: '192.0.2.44' },
    ]
    if (db.scene === 'busy') this.populate()
  }

  id(kind: string): string {
    return `${kind}-9${String(this.nextId++).padStart(4, '0')}`
  }

  private meta(name: string, kind: string, age = 300 * hour) {
    return { id: this.id(kind), name, version: ++this.db.index, createdAt: ago(age), updatedAt: ago(age) }
  }

  tenant(name: string, id = this.id('tn'), displayName = ''): Tenant {
    const tenant: Tenant = { ...this.meta(name, 'tn'), id, spec: { displayName } }
    this.tenants.set(id, tenant)
    return tenant
  }

  user(name: string, spec: User['spec'], id = this.id('us'), sessions = 1): User {
    const user: User = { ...this.meta(name, 'us'), id, spec, status: { hasPassword: true, sessions } }
    this.users.set(id, user)
    return user
  }

  repository(path: string, spec: Repository['spec'], options: { tenantId?: string; upstream?: string; writable?: boolean; createdBy?: string; age?: number } = {}): Held {
    const slash = path.indexOf('/')
    const { tenantId = 'tn-01', upstream, writable = true, createdBy = 'admin', age = 300 * hour } = options
    const repository: Repository = { ...this.meta(path.slice(slash + 1), 're', age), path, tenantId, tenant: upstream ? '' : path.slice(0, slash), upstream, createdBy, spec, status: { tags: 0, manifests: 0, sizeBytes: 0, writable } }
    const held: Held = { repository, tags: new Map(), manifests: new Map() }
    this.repositories.set(repository.id, held)
    return held
  }

  find(ref: string): Held | undefined {
    return this.repositories.get(ref) ?? [...this.repositories.values()].find(({ repository }) => repository.path === ref || (repository.tenantId === 'tn-01' && repository.name === ref))
  }

  /** Adds an image with a tag, as a push would. */
  push(held: Held, tag: string, sizeBytes: number, options: { age?: number; by?: string; platforms?: string[]; usedBy?: UsedBy[]; referrers?: ManifestPart[] } = {}): ManifestDetail {
    const { age = 20 * hour, by = 'admin', platforms = ['linux/amd64'], usedBy = [], referrers } = options
    const name = held.repository.name.split('/').pop() ?? ''
    const digest = digestOf(`${held.repository.path}:${tag}`)
    const index = platforms.length > 1
    const parts: ManifestPart[] = platforms.map((platform) => ({ digest: digestOf(`${held.repository.path}:${tag} ${platform}`), mediaType: ociManifest, sizeBytes: Math.round(sizeBytes / platforms.length), platform }))
    const manifest: ManifestDetail = {
      repository: held.repository.path,
      name: `${held.repository.path}:${tag}`,
      digest,
      mediaType: index ? ociIndex : ociManifest,
      sizeBytes,
      freesBytes: Math.round(sizeBytes * 0.38),
      tags: [tag],
      platforms,
      manifests: index ? parts : undefined,
      config: configOf(name),
      layers: layersOf(name, sizeBytes / platforms.length),
      annotations: index ? { 'org.opencontainers.image.revision': 'b23c87a1' } : undefined,
      referrers,
      pushedAt: ago(age),
      pushedBy: by,
      usedBy,
    }
    held.manifests.set(digest, manifest)
    for (const part of index ? parts : []) held.manifests.set(part.digest, { ...manifest, name: `${held.repository.path}@${part.digest}`, digest: part.digest, mediaType: ociManifest, sizeBytes: part.sizeBytes, tags: [], platforms: [part.platform ?? ''], manifests: undefined, referrers: undefined })
    held.tags.set(tag, { name: tag, digest, mediaType: manifest.mediaType, sizeBytes, platforms, updatedAt: ago(age), updatedBy: by, inUse: usedBy.length > 0 })
    this.count(held)
    return manifest
  }

  count(held: Held) {
    held.repository.status = {
      ...held.repository.status,
      tags: held.tags.size,
      manifests: held.manifests.size,
      sizeBytes: [...held.tags.values()].reduce((sum, tag) => sum + tag.sizeBytes, 0),
      pushedAt: [...held.tags.values()].map((tag) => tag.updatedAt).sort().at(-1),
    }
    held.repository.version = ++this.db.index
    this.db.happened({ kind: 'repository', objectId: held.repository.id, object: held.repository.path, reason: 'Pushed', message: `${held.repository.path} was changed` })
  }

  private populate() {
    const shop = this.tenant('shop', undefined, 'Shop team')
    const data = this.tenant('data-platform', undefined, '数据平台')
    this.user('lin.wei', { displayName: '林薇', tenants: { 'tn-01': 'owner', [shop.id]: 'developer' } })
    this.user('jonas', { displayName: 'Jonas Berg', tenants: { 'tn-01': 'developer' } })
    this.user('audit@example.com', { platformRole: 'auditor' }, undefined, 0)
    this.user('former', { displayName: 'Former colleague', disabled: true, tenants: { [data.id]: 'viewer' } }, undefined, 0)
    this.sessions.push(
      { id: 'se-2', current: false, createdAt: ago(70 * hour), expiresAt: ago(-2 * hour), userAgent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.1 Mobile/15E148 Safari/604.1', remoteIp: '198.51.100.7' },
      { id: 'se-3', current: false, createdAt: ago(30 * hour), expiresAt: ago(-4 * hour), userAgent: 'curl/8.14.1', remoteIp: '2001:db8::12' },
    )
    const web = this.repository('default/web', { visibility: 'tenant', description: 'The shop front. Built from <img src=x onerror="document.title=\'pwned\'"> main by CI.' })
    const services = [...this.db.services.values()]
    const user = services[0] ? [{ kind: 'service', id: services[0].id, name: services[0].name, appName: services[0].appName }] : []
    this.push(web, '1.4.2', 96_468_992, { age: 3 * hour, by: 'lin.wei', platforms: ['linux/amd64', 'linux/arm64'], usedBy: user, referrers: [
      { digest: digestOf('signature'), mediaType: ociManifest, artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json', sizeBytes: 1_842 },
      { digest: digestOf('sbom'), mediaType: ociManifest, artifactType: 'application/spdx+json', sizeBytes: 183_211, annotations: { 'org.opencontainers.image.created': '2026-11-20T08:00:00Z' } },
    ] })
    this.push(web, '1.4.1', 95_868_001, { age: 75 * hour, by: 'lin.wei', platforms: ['linux/amd64', 'linux/arm64'] })
    this.push(web, '1.4.0', 95_318_644, { age: 200 * hour, by: 'jonas' })
    this.push(web, 'nightly-2026-11-20', 97_211_337, { age: 9 * hour, by: 'ci' })
    const worker = this.repository('default/team/worker', { visibility: 'private', description: '' }, { createdBy: 'jonas' })
    this.push(worker, 'latest', 41_943_040, { age: 30 * hour, by: 'jonas' })
    this.repository('default/scratchpad', { visibility: 'tenant' }, { age: 0.2 * hour })
    const library = this.repository('library/nginx', { visibility: 'public', description: 'nginx, rebuilt weekly' }, { tenantId: 'tn-09', writable: false })
    this.push(library, '1.27', 71_303_168, { age: 100 * hour, by: 'admin' })
    const mirrored = this.repository('docker.io/library/redis', { visibility: 'public' }, { tenantId: '', upstream: 'docker.io', writable: false, createdBy: '' })
    this.push(mirrored, '7.2', 42_991_616, { age: 500 * hour, by: '' })
    this.upstream('docker.io', { endpoints: ['https://mirror.example.com', 'https://registry-1.docker.io'], username: 'acme-ci' }, true, { repositories: 7, sizeBytes: 1_932_735_283 })
    this.upstream('registry.corp.example:5000', { ca: '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n', proxy: 'http://proxy.corp.example:3128', tenantIds: [shop.id, data.id] }, false, { repositories: 2, sizeBytes: 388_004_102 })
    this.upstream('quay.io', { disabled: true }, false, { repositories: 0, sizeBytes: 0 })
  }

  upstream(name: string, spec: Upstream['spec'], hasPassword: boolean, status: { repositories: number; sizeBytes: number }): Upstream {
    const upstream: Upstream = { ...this.meta(name, 'up'), spec, status: { hasPassword, ...status } }
    this.upstreams.set(upstream.id, upstream)
    return upstream
  }
}

function ownCertificate(): Certificate {
  return { uploaded: false, subject: 'CN=skerry-1', issuer: 'CN=Skerry cluster cl-01', names: ['skerry-1', 'localhost', '192.0.2.10', '127.0.0.1'], notBefore: ago(200 * hour), notAfter: ago(-8_000 * hour), fingerprint: digestOf('own certificate') }
}

const caCertificate = '-----BEGIN CERTIFICATE-----\nMIIBkTCCATegAwIBAgIQDMock0000000000000000000jAKBggqhkjOPQQDAjAeMRww\nGgYDVQQDExNTa2VycnkgbW9jayBhdXRob3JpdHkwHhcNMjYxMTAxMDAwMDAwWhcN\n-----END CERTIFICATE-----\n'

function registryOf(data: RegistryData): Registry {
  const held = [...data.repositories.values()]
  const bytes = held.reduce((sum, { repository }) => sum + repository.status.sizeBytes, 0)
  const host = 'skerry-1.example.com:7443'
  const fetchCa = `curl -fsSk https://${host}/ca.crt -o /tmp/skerry-ca.crt`
  return {
    hosts: [host, 'skerry-1:7443', '192.0.2.10:7443'],
    caFingerprint: digestOf('ca'),
    caCertificate,
    trust: [
      { client: 'docker', lines: [fetchCa, `install -D -m 644 /tmp/skerry-ca.crt /etc/docker/certs.d/${host}/ca.crt`] },
      { client: 'podman', lines: [fetchCa, `install -D -m 644 /tmp/skerry-ca.crt /etc/containers/certs.d/${host}/ca.crt`] },
      { client: 'skopeo', lines: [fetchCa, `install -D -m 644 /tmp/skerry-ca.crt /etc/containers/certs.d/${host}/ca.crt`] },
      { client: 'system', lines: [fetchCa, 'install -m 644 /tmp/skerry-ca.crt /usr/local/share/ca-certificates/skerry.crt', 'update-ca-certificates'] },
    ],
    blobs: held.reduce((sum, { manifests }) => sum + manifests.size * 5, 0),
    bytes,
    reclaimableBytes: held.length > 0 ? 268_435_456 : 0,
    uploads: held.length > 0 ? 1 : 0,
  }
}

/** Answers of the registry area; handlers.ts joins them to the others. */
export function registryHandlers(db: Database): HttpHandler[] {
  let generation = -1
  let kept: RegistryData
  let collected = false
  const data = (): RegistryData => {
    if (generation !== db.generation) {
      generation = db.generation
      kept = new RegistryData(db)
      collected = false
    }
    return kept
  }
  const guarded = guardedBy(db)
  const json = <T extends DefaultBodyType>(body: T, status = 200) => HttpResponse.json(body, { status, headers: { 'Skerry-Index': String(db.index) } })
  const ref = (params: PathParams, name = 'ref') => decodeURIComponent(String(params[name]))
  const gone = () => new HttpResponse(null, { status: 204 })
  const body = async <T>(request: Request) => (await request.json()) as T
  const withRepository = (act: (held: Held, info: { request: Request; params: PathParams }) => Promise<Response> | Response) =>
    guarded((info) => {
      const held = data().find(ref(info.params))
      return held ? act(held, info) : refuse(404, 'not_found', `there is no repository ${ref(info.params)}`)
    })
  const stale = (request: Request, version: number) => request.headers.get('If-Match') && request.headers.get('If-Match') !== `"${version}"`
  const staleRefusal = () => refuse(412, 'version_mismatch', 'it has changed since you read it; read it again and repeat the change')

  return [
    // ---- images
    http.get(`${root}/images/:ref`, guarded(({ params }) => {
      const image = db.findImage(ref(params))
      if (!image) return refuse(404, 'image_not_found', `There is no image named ${ref(params)}.`)
      return json(detailOf(db, image))
    })),
    http.post(`${root}/images/:ref/pushes`, guarded(async ({ params, request }) => {
      const image = db.findImage(ref(params))
      if (!image) return refuse(404, 'image_not_found', `There is no image named ${ref(params)}.`)
      const input = await body<{ to: string; username?: string }>(request)
      if (/[A-Z]/.test(input.to)) return refuse(400, 'name_invalid', `"${input.to}" is no name of an image: a repository is lower-case letters, digits, ".", "_", "-" and "/"`, 'to')
      return stream((send, end) => {
        let done = 0
        const total = image.sizeBytes
        const timer = setInterval(() => {
          done += total / 8
          send('progress', { id: image.digest, step: 'pushing', message: 'layer', current: Math.min(done, total), total })
          if (done < total) return
          clearInterval(timer)
          const path = input.to.includes('/') ? input.to : `default/${input.to}`
          const [repository = '', tag = 'latest'] = path.split(':')
          if (!/^[^/]*[.:][^/]*\//.test(input.to)) data().push(data().find(repository) ?? data().repository(repository, { visibility: 'tenant' }), tag, total, { age: 0 })
          send('done', { name: path, digest: image.digest, bytesSent: 0 })
          end()
        }, 60)
        return () => clearInterval(timer)
      })
    })),
    http.get(`${root}/images/:ref/export`, guarded(() => new HttpResponse('mock', { headers: { 'Content-Type': 'application/x-tar', 'Content-Disposition': 'attachment; filename="image.tar"' } }))),

    // ---- registry
    http.get(`${root}/registry`, guarded(() => {
      const registry = registryOf(data())
      return json(collected ? { ...registry, reclaimableBytes: 0 } : registry)
    })),
    http.post(`${root}/registry/collections`, guarded(() => {
      const { reclaimableBytes } = registryOf(data())
      const bytes = collected ? 0 : reclaimableBytes
      collected = true
      return json({ blobs: bytes > 0 ? 14 : 0, bytes })
    })),
    http.get(`${root}/repositories`, guarded(() => json({ items: [...data().repositories.values()].map(({ repository }) => repository) }))),
    http.post(`${root}/repositories`, guarded(async ({ request }) => {
      const input = await body<{ name: string; spec?: Repository['spec'] }>(request)
      if (!/^[a-z0-9]+([._/-][a-z0-9]+)*$/.test(input.name)) return refuse(400, 'name_invalid', `"${input.name}" cannot be the name of a repository; use lower-case letters, digits, ".", "_", "-" and "/"`, 'name')
      if (data().find(`default/${input.name}`)) return refuse(409, 'already_exists', `there is a repository default/${input.name} already`, 'name')
      return json(data().repository(`default/${input.name}`, { visibility: 'tenant', ...input.spec }, { age: 0 }).repository, 201)
    })),
    http.get(`${root}/repositories/:ref`, withRepository(({ repository }) => json(repository))),
    http.put(`${root}/repositories/:ref`, withRepository(async ({ repository }, { request }) => {
      if (stale(request, repository.version)) return staleRefusal()
      repository.spec = await body<Repository['spec']>(request)
      repository.version = ++db.index
      return json(repository)
    })),
    http.delete(`${root}/repositories/:ref`, withRepository((held, { request }) => {
      const used = [...held.manifests.values()].flatMap(({ usedBy }) => usedBy)[0]
      if (used && new URL(request.url).searchParams.get('force') !== 'true') return refuse(409, 'in_use', `service ${used.name} of app ${used.appName} runs an image of ${held.repository.path}; remove that first, or force it`)
      data().repositories.delete(held.repository.id)
      return json({ bytes: held.repository.status.sizeBytes })
    })),
    http.get(`${root}/repositories/:ref/tags`, withRepository(({ tags }) => json({ items: [...tags.values()].sort((a, b) => b.updatedAt.localeCompare(a.updatedAt)) }))),
    http.delete(`${root}/repositories/:ref/tags/:tag`, withRepository((held, { params }) => {
      const tag = held.tags.get(ref(params, 'tag'))
      if (!tag) return refuse(404, 'not_found', `${held.repository.path} has no tag ${ref(params, 'tag')}`)
      held.tags.delete(tag.name)
      data().count(held)
      // What runs keeps its content.
      return json({ bytes: tag.inUse ? 0 : (held.manifests.get(tag.digest)?.freesBytes ?? 0) })
    })),
    http.put(`${root}/repositories/:ref/tags/:tag`, withRepository(async (held, { params, request }) => {
      const { digest } = await body<{ digest: string }>(request)
      const manifest = held.manifests.get(digest)
      const name = ref(params, 'tag')
      if (!manifest) return refuse(404, 'not_found', `${held.repository.path} holds no manifest ${digest}`)
      if (!/^\w[\w.-]{0,127}$/.test(name)) return refuse(400, 'tag_invalid', `"${name}" cannot be a tag; use letters, digits, ".", "_" and "-", at most 128`, 'tag')
      const tag: Tag = { name, digest, mediaType: manifest.mediaType, sizeBytes: manifest.sizeBytes, platforms: manifest.platforms, updatedAt: ago(0), updatedBy: 'admin' }
      held.tags.set(name, tag)
      if (!manifest.tags.includes(name)) manifest.tags.push(name)
      data().count(held)
      return json(tag)
    })),
    http.get(`${root}/repositories/:ref/manifests/:reference`, withRepository((held, { params }) => {
      const reference = ref(params, 'reference')
      const manifest = held.manifests.get(held.tags.get(reference)?.digest ?? reference)
      return manifest ? json(manifest) : refuse(404, 'not_found', `${held.repository.path} has no ${reference}`)
    })),
    http.delete(`${root}/repositories/:ref/manifests/:reference`, withRepository((held, { params }) => {
      const reference = ref(params, 'reference')
      const digest = held.tags.get(reference)?.digest ?? reference
      const manifest = held.manifests.get(digest)
      if (!manifest) return refuse(404, 'not_found', `${held.repository.path} has no ${reference}`)
      held.manifests.delete(digest)
      for (const tag of held.tags.values()) if (tag.digest === digest) held.tags.delete(tag.name)
      data().count(held)
      return json({ bytes: manifest.freesBytes ?? 0 })
    })),
    http.get(`${root}/repositories/:ref/manifests/:reference/export`, withRepository(() => new HttpResponse('mock', { headers: { 'Content-Type': 'application/x-tar', 'Content-Disposition': 'attachment; filename="image.tar"' } }))),

    // ---- upstreams
    http.get(`${root}/upstreams`, guarded(() => json({ items: [...data().upstreams.values()] }))),
    http.post(`${root}/upstreams`, guarded(async ({ request }) => {
      const input = await body<{ name: string; spec?: Upstream['spec']; password?: string }>(request)
      if ([...data().upstreams.values()].some(({ name }) => name === input.name)) return refuse(409, 'already_exists', `there is an upstream ${input.name} already`, 'name')
      const wrong = (input.spec?.endpoints ?? []).findIndex((endpoint) => !/^https?:\/\/[^/\s]+/.test(endpoint))
      if (wrong >= 0) return refuse(400, 'endpoint_invalid', `"${input.spec?.endpoints?.[wrong]}" is no base URL; write it as https://mirror.example.com`, `spec.endpoints[${wrong}]`)
      return json(data().upstream(input.name, input.spec ?? {}, Boolean(input.password), { repositories: 0, sizeBytes: 0 }), 201)
    })),
    http.put(`${root}/upstreams/:ref`, guarded(async ({ params, request }) => {
      const upstream = data().upstreams.get(ref(params))
      if (!upstream) return refuse(404, 'not_found', `there is no upstream ${ref(params)}`)
      if (stale(request, upstream.version)) return staleRefusal()
      const input = await body<{ spec: Upstream['spec']; password?: string }>(request)
      upstream.spec = input.spec
      if (input.password !== undefined) upstream.status.hasPassword = input.password !== ''
      upstream.version = ++db.index
      return json(upstream)
    })),
    http.delete(`${root}/upstreams/:ref`, guarded(({ params }) => (data().upstreams.delete(ref(params)) ? gone() : refuse(404, 'not_found', `there is no upstream ${ref(params)}`)))),
    http.post(`${root}/upstreams/:ref/test`, guarded(({ params }) => {
      const upstream = data().upstreams.get(ref(params))
      if (!upstream) return refuse(404, 'not_found', `there is no upstream ${ref(params)}`)
      const endpoints = upstream.spec.endpoints?.length ? upstream.spec.endpoints : [`https://${upstream.name}`]
      const results = endpoints.map((endpoint, i) => (i === 0 && endpoints.length > 1 ? { endpoint, ok: false, message: 'mirror.example.com does not answer: connect: connection refused; check the address and the proxy', tookMillis: 4 } : { endpoint, ok: true, tookMillis: 182 }))
      return json({ ok: results.some(({ ok }) => ok), endpoints: results })
    })),

    // ---- people
    http.get(`${root}/sessions`, guarded(() => json({ items: data().sessions }))),
    http.delete(`${root}/sessions/:id`, guarded(({ params }) => {
      data().sessions = data().sessions.filter(({ id }) => id !== params.id)
      return gone()
    })),
    http.get(`${root}/users`, guarded(() => json({ items: [...data().users.values()] }))),
    http.post(`${root}/users`, guarded(async ({ request }) => {
      const input = await body<{ name: string; password?: string; spec?: User['spec'] }>(request)
      if (!/^[a-z0-9][a-z0-9._@-]{0,62}$/.test(input.name)) return refuse(400, 'name_invalid', `"${input.name}" cannot be the name of a user; use lower-case letters, digits, \`.\`, \`_\`, \`@\` and \`-\`, at most 63`, 'name')
      if ([...data().users.values()].some(({ name }) => name === input.name)) return refuse(409, 'already_exists', `there is a user ${input.name} already; choose another name`, 'name')
      return json(data().user(input.name, input.spec ?? {}, undefined, 0), 201)
    })),
    http.put(`${root}/users/:ref`, guarded(async ({ params, request }) => {
      const user = data().users.get(ref(params))
      if (!user) return refuse(404, 'not_found', `there is no user ${ref(params)}`)
      if (stale(request, user.version)) return staleRefusal()
      user.spec = await body<User['spec']>(request)
      user.version = ++db.index
      return json(user)
    })),
    http.delete(`${root}/users/:ref`, guarded(({ params }) => (data().users.delete(ref(params)) ? gone() : refuse(404, 'not_found', 'there is no such user')))),
    http.put(`${root}/users/:ref/password`, guarded(async ({ request }) => ((await body<{ password: string }>(request)).password.length < 10 ? refuse(400, 'password_short', 'the password has fewer than 10 characters; use a longer one', 'password') : gone()))),
    http.post(`${root}/users/:ref/:action`, guarded(({ params }) => {
      const user = data().users.get(ref(params))
      if (!user) return refuse(404, 'not_found', 'there is no such user')
      if (user.id === 'us-01' && params.action === 'disable') return refuse(409, 'last_admin', 'admin is the last administrator who can sign in; make another one first')
      user.spec = { ...user.spec, disabled: params.action === 'disable' }
      user.version = ++db.index
      return json(user)
    })),
    http.get(`${root}/tenants`, guarded(() => json({ items: [...data().tenants.values()] }))),
    http.post(`${root}/tenants`, guarded(async ({ request }) => {
      const input = await body<{ name: string; spec?: Tenant['spec'] }>(request)
      if ([...data().tenants.values()].some(({ name }) => name === input.name)) return refuse(409, 'already_exists', `there is a tenant ${input.name} already; choose another name`, 'name')
      return json(data().tenant(input.name, undefined, input.spec?.displayName), 201)
    })),
    http.get(`${root}/tenants/:ref`, guarded(({ params }) => {
      const tenant = findTenant(data(), ref(params))
      return tenant ? json(tenant) : refuse(404, 'not_found', `there is no tenant ${ref(params)}`)
    })),
    http.put(`${root}/tenants/:ref`, guarded(async ({ params, request }) => {
      const tenant = findTenant(data(), ref(params))
      if (!tenant) return refuse(404, 'not_found', `there is no tenant ${ref(params)}`)
      tenant.spec = await body<Tenant['spec']>(request)
      tenant.version = ++db.index
      return json(tenant)
    })),
    http.delete(`${root}/tenants/:ref`, guarded(({ params }) => {
      const tenant = findTenant(data(), ref(params))
      if (!tenant) return refuse(404, 'not_found', `there is no tenant ${ref(params)}`)
      if (tenant.id === 'tn-01') return refuse(409, 'tenant_not_empty', 'tenant default still owns 6 apps, 5 images and 3 repositories; remove them first')
      data().tenants.delete(tenant.id)
      return gone()
    })),
    http.get(`${root}/tenants/:ref/members`, guarded(({ params }) => {
      const tenant = findTenant(data(), ref(params))
      if (!tenant) return refuse(404, 'not_found', `there is no tenant ${ref(params)}`)
      return json({ items: [...data().users.values()].flatMap((user): Member[] => {
        const role = user.spec.tenants?.[tenant.id]
        return role ? [{ userId: user.id, name: user.name, displayName: user.spec.displayName, role, disabled: user.spec.disabled }] : []
      }) })
    })),
    http.put(`${root}/tenants/:ref/members/:user`, guarded(async ({ params, request }) => {
      const tenant = findTenant(data(), ref(params))
      const user = findUser(data(), ref(params, 'user'))
      if (!tenant || !user) return refuse(404, 'not_found', `there is no user ${ref(params, 'user')}`)
      const { role } = await body<{ role: Role }>(request)
      user.spec = { ...user.spec, tenants: { ...user.spec.tenants, [tenant.id]: role } }
      return json({ userId: user.id, name: user.name, displayName: user.spec.displayName, role })
    })),
    http.delete(`${root}/tenants/:ref/members/:user`, guarded(({ params }) => {
      const tenant = findTenant(data(), ref(params))
      const user = findUser(data(), ref(params, 'user'))
      if (!tenant || !user) return refuse(404, 'not_found', 'there is no such member')
      user.spec = { ...user.spec, tenants: Object.fromEntries(Object.entries(user.spec.tenants ?? {}).filter(([id]) => id !== tenant.id)) }
      return gone()
    })),

    // ---- certificate and cluster
    http.get(`${root}/certificate`, guarded(() => json(data().certificate))),
    http.put(`${root}/certificate`, guarded(async ({ request }) => {
      const input = await body<{ certificate: string; key: string }>(request)
      if (!input.certificate.includes('BEGIN CERTIFICATE')) return refuse(400, 'certificate_invalid', 'this is no certificate in PEM; it begins with -----BEGIN CERTIFICATE-----', 'certificate')
      if (!/BEGIN (EC |RSA )?PRIVATE KEY/.test(input.key)) return refuse(400, 'key_invalid', 'this is no private key in PEM; it begins with -----BEGIN PRIVATE KEY-----', 'key')
      data().certificate = { uploaded: true, subject: 'CN=cloud.example.com', issuer: 'CN=Example Issuing CA 3', names: ['cloud.example.com', '*.cloud.example.com'], notBefore: ago(10 * hour), notAfter: ago(-300 * hour), fingerprint: digestOf(input.certificate) }
      return json(data().certificate)
    })),
    http.delete(`${root}/certificate`, guarded(() => {
      data().certificate = ownCertificate()
      return gone()
    })),
    http.get(`${root}/cluster`, guarded(() => json({ id: 'cl-01', version: 1, createdAt: db.node().createdAt, featureLevel: 1, skerryVersion: '0.1.0', pool: '10.42.0.0/16', vipPool: '10.43.0.0/16', portMin: 30000, portMax: 32767, caCertificate, caFingerprint: digestOf('ca') }))),
  ]
}

const findTenant = (data: RegistryData, ref: string) => data.tenants.get(ref) ?? [...data.tenants.values()].find(({ name }) => name === ref)
const findUser = (data: RegistryData, ref: string) => data.users.get(ref) ?? [...data.users.values()].find(({ name }) => name === ref)

function detailOf(db: Database, image: Image): ImageDetail {
  const usedBy = [...db.services.values()].filter((service) => service.spec.container.image === image.name).map((service) => ({ kind: 'service', id: service.id, name: service.name, appName: service.appName }))
  const name = /([^/:]+)(:[^/]*)?$/.exec(image.name)?.[1] ?? image.name
  return { image, config: configOf(name), layers: layersOf(name, image.sizeBytes), usedBy, freesBytes: Math.round(image.sizeBytes * 0.39) }
}
