import type { ComposeProblem, ServiceInput } from '@/api/model'

/** What the mock understands of a compose text: enough to drive the pages, by lines and their indentation. */
export interface ReadCompose {
  name: string
  services: Record<string, ServiceInput>
  volumes: string[]
  problems: ComposeProblem[]
}

const serviceKeys = ['image', 'command', 'entrypoint', 'environment', 'env_file', 'ports', 'volumes', 'tmpfs', 'deploy', 'restart', 'labels', 'user', 'working_dir', 'read_only', 'cap_add', 'cap_drop', 'hostname', 'stop_signal', 'stop_grace_period', 'tty', 'stdin_open', 'mem_limit', 'cpus', 'pids_limit', 'privileged']
const instead: Record<string, string> = {
  build: 'build the image elsewhere, import it with `skerry image import`, and name it under `image`',
  depends_on: 'let the service retry until the other one answers',
  networks: 'leave it out: the services of an app already reach each other by name',
}

const bare = (text: string) => text.trim().replace(/^(["'])(.*)\1$/, '$2')

export function readCompose(source: string, env: Record<string, string> = {}): ReadCompose {
  const read: ReadCompose = { name: '', services: {}, volumes: [], problems: [] }
  let top = ''
  let service = ''
  let key = ''
  source.split('\n').forEach((whole, i) => {
    const line = i + 1
    const text = whole.replace(/\s+#.*$/, '').replace(/\$\{?([A-Z_]+)(?::-([^}]*))?\}?/g, (_, name: string, fallback?: string) => env[name] ?? fallback ?? '')
    if (text.trim() === '' || text.trim().startsWith('#')) return
    if (text.includes('\t')) read.problems.push({ line, column: text.indexOf('\t') + 1, path: '', message: 'a tab cannot indent YAML; use spaces' })
    const indent = text.search(/\S/)
    const pair = /^\s*("?[\w.-]+"?):(.*)$/.exec(text)
    const [name, value] = pair ? [bare(pair[1] ?? ''), bare(pair[2] ?? '')] : ['', '']
    if (indent === 0) {
      if (!pair) {
        read.problems.push({ line, column: 1, path: '', message: 'this line is neither a key nor a part of one' })
        return
      }
      top = name
      service = ''
      if (name === 'name') read.name = value
      else if (!['services', 'volumes', 'version'].includes(name)) read.problems.push({ line, column: 1, path: name, message: `${name} is not supported` })
      return
    }
    if (top === 'volumes' && indent === 2 && pair) read.volumes.push(name)
    if (top !== 'services') return
    if (indent === 2 && pair) {
      service = name
      key = ''
      read.services[name] = { container: { image: '' }, replicas: 1 }
      return
    }
    const made = read.services[service]
    if (!made) return
    if (indent === 4 && pair) {
      key = name
      if (name === 'image') made.container.image = value
      else if (name === 'restart') made.container.restart = value as 'always'
      else if (!serviceKeys.includes(name)) read.problems.push({ line, column: 5, path: `services.${service}.${name}`, message: `${name} is not supported${instead[name] ? `; ${instead[name]}` : ''}` })
      return
    }
    if (key === 'ports' && /^\s*-/.test(text)) {
      const [host, target] = bare(text.replace(/^\s*-\s*/, '')).split(':')
      const port = Number(target ?? host)
      if (!(port >= 1 && port <= 65535)) read.problems.push({ line, column: indent + 3, path: `services.${service}.ports[0]`, message: `${bare(text.replace(/^\s*-\s*/, ''))} is no port; ports are 1 to 65535` })
      else (made.ports ??= []).push({ protocol: 'tcp', hostPort: target ? Number(host) || 0 : 0, containerPort: port })
    } else if (key === 'environment' && pair) (made.container.env ??= []).push({ name, value })
    else if (key === 'deploy' && name === 'replicas') made.replicas = Number(value)
    else if (key === 'volumes' && /^\s*-/.test(text)) {
      const [from, path] = bare(text.replace(/^\s*-\s*/, '')).split(':')
      if (from && path) (made.container.mounts ??= []).push({ type: 'volume', source: from, path })
    }
  })
  for (const [name, { container }] of Object.entries(read.services)) if (container.image === '') read.problems.push({ line: source.split('\n').findIndex((text) => text.startsWith(`  ${name}:`)) + 1, column: 3, path: `services.${name}`, message: `the service ${name} names no image` })
  if (Object.keys(read.services).length === 0) read.problems.push({ line: 0, path: 'services', message: 'a compose file needs at least one service' })
  return read
}

/** A part of the schema that the daemon makes of its table. */
export const composeSchema = (() => {
  const text = { anyOf: [{ type: 'string' }, { type: 'number' }, { type: 'boolean' }] }
  const words = { anyOf: [...text.anyOf, { type: 'array', items: text }], description: 'text (split like a shell does, no shell runs) or list' }
  const limits = { type: 'object', properties: { cpus: { type: 'number', description: 'cores, e.g. 0.5' }, memory: { ...text, description: 'e.g. 512m; at least 6 MiB' } }, additionalProperties: false }
  const service = {
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(
      serviceKeys.map((key) => {
        if (key === 'image') return [key, { ...text, description: 'required' }]
        if (key === 'command' || key === 'entrypoint') return [key, words]
        if (key === 'deploy') return [key, { type: 'object', additionalProperties: false, properties: { replicas: { type: 'integer', description: '0 to 1000' }, resources: { type: 'object', properties: { limits }, additionalProperties: false } } }]
        if (key === 'ports' || key === 'volumes') return [key, { type: 'array', items: text, description: 'short and long form' }]
        if (key === 'restart') return [key, { ...text, description: 'no, always, on-failure[:N], unless-stopped' }]
        if (['tty', 'stdin_open', 'read_only', 'privileged'].includes(key)) return [key, { type: 'boolean' }]
        return [key, text]
      }),
    ),
  }
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Skerry app (compose)',
    type: 'object',
    additionalProperties: false,
    required: ['services'],
    properties: {
      name: { ...text, description: 'name of the app, unless the command names one' },
      services: { type: 'object', description: 'at least one', additionalProperties: service },
      volumes: { type: 'object', additionalProperties: { anyOf: [{ type: 'null' }, { type: 'object', properties: { name: text, external: { type: 'boolean' } }, additionalProperties: false }] } },
    },
  }
})()
