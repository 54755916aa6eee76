import type { AppInput, ContainerSpec, RestartPolicy, ServiceInput, ServiceSpec } from '@/api/model'
import { commandLine, curl, shellQuote, splitWords } from '@/shared/lib/shell'
import { composeOf, memoryText } from './compose'
import type { Equivalents } from '@/shared/ui/SameAs'

/** What the deploy form holds. Absent means the default. */
export interface DeployValues {
  image?: string
  port?: number | null
  name?: string
  hostPort?: number | null
  protocol?: 'tcp' | 'udp'
  replicas?: number | null
  env?: { name?: string; value?: string }[]
  volumes?: { name?: string; path?: string }[]
  cpus?: number | null
  memoryMiB?: number | null
  restart?: RestartPolicy
  command?: string
  user?: string
}

export const defaults = { replicas: 1, protocol: 'tcp', restart: 'always' } as const

/** The server's rule for names of apps and services. */
export const namePattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

const mebi = 1024 * 1024

/** The request that the form stands for. The app has one service, which bears the app's name, as with `skerry run`. */
export function deployInput(values: DeployValues): AppInput {
  const name = values.name?.trim() ?? ''
  return { name, services: { [name]: serviceOf(values) } }
}

/**
 * The service that the form stands for. What the form does not show stays as it is in `base`; what only the server fills in
 * (digest, ids of volumes) is left to it.
 */
export function serviceOf(values: DeployValues, base?: ServiceSpec): ServiceInput {
  const kept: ContainerSpec = base ? without(base.container, 'imageDigest') : { image: '' }
  const container: ContainerSpec = { ...kept, image: values.image?.trim() ?? '' }
  const env = pairs(values.env)
  container.env = env.length > 0 ? env.map(({ name, value }) => ({ name: name ?? '', value: value ?? '' })) : undefined
  const volumes = (values.volumes ?? []).filter((volume) => volume?.name?.trim() && volume.path?.trim())
  const others = (kept.mounts ?? []).filter(({ type }) => type !== 'volume').map((mount) => without(mount, 'volumeId'))
  const mounts = [
    ...volumes.map((volume) => {
      const before = kept.mounts?.find(({ type, path }) => type === 'volume' && path === volume.path?.trim())
      return { type: 'volume' as const, source: volume.name?.trim(), path: volume.path?.trim() ?? '', ...(before?.readOnly ? { readOnly: true } : {}) }
    }),
    ...others,
  ]
  container.mounts = mounts.length > 0 ? mounts : undefined
  container.cpuMillis = values.cpus ? Math.round(values.cpus * 1000) : undefined
  container.memoryBytes = values.memoryMiB ? Math.round(values.memoryMiB * mebi) : undefined
  container.restart = values.restart ?? defaults.restart
  if (container.restart !== 'on-failure') delete container.restartMax
  const command = splitWords(values.command ?? '')
  container.command = command.length > 0 ? command : undefined
  container.user = values.user?.trim() || undefined
  const service: ServiceInput = { container: clean(container), replicas: values.replicas ?? defaults.replicas, ...(base ? placingOf(base) : {}) }
  // The form shows one port; the others of a service that was written elsewhere stay.
  const more = (base?.ports ?? []).slice(1)
  if (values.port) service.ports = [{ protocol: values.protocol ?? defaults.protocol, hostPort: values.hostPort ?? 0, containerPort: values.port, ...(base?.ports?.[0]?.hostIp ? { hostIp: base.ports[0].hostIp } : {}) }, ...more]
  else if (more.length > 0) service.ports = more
  return service
}

/** What says where replicas run; the form does not show it, so it stays. */
function placingOf({ placement, reserve, maxUnavailable }: ServiceSpec): Pick<ServiceInput, 'placement' | 'reserve' | 'maxUnavailable'> {
  return clean({ placement, reserve, maxUnavailable })
}

function without<T extends object, K extends keyof T>(object: T, key: K): Omit<T, K> {
  const rest: Omit<T, K> & Partial<Pick<T, K>> = { ...object }
  delete rest[key]
  return rest
}

/** Without the keys that hold nothing: they would be sent as if they had been said. */
function clean<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T
}

/** What the form shows of a service that is there. */
export function valuesOf(name: string, { container, replicas, ports }: ServiceSpec): DeployValues {
  const [port] = ports ?? []
  return {
    name,
    image: container.image,
    port: port?.containerPort,
    hostPort: port?.hostPort || undefined,
    protocol: port?.protocol ?? defaults.protocol,
    replicas,
    env: container.env?.map(({ name, value }) => ({ name, value })),
    volumes: container.mounts?.filter(({ type }) => type === 'volume').map(({ source, path }) => ({ name: source, path })),
    cpus: container.cpuMillis ? container.cpuMillis / 1000 : undefined,
    memoryMiB: container.memoryBytes ? container.memoryBytes / mebi : undefined,
    restart: container.restart ?? 'no',
    command: container.command?.map(shellQuote).join(' '),
    user: container.user,
  }
}

/** An app as it is, in the form in which it is put in force again. */
export function inputsOf(services: Record<string, ServiceSpec>): Record<string, ServiceInput> {
  return Object.fromEntries(
    Object.entries(services).map(([name, spec]) => {
      const { container, replicas, ports } = spec
      const mounts = container.mounts?.map((mount) => without(mount, 'volumeId'))
      return [name, { container: clean({ ...without(container, 'imageDigest'), mounts }), replicas, ...(ports ? { ports } : {}), ...placingOf(spec) }]
    }),
  )
}

function pairs(list: DeployValues['env']) {
  return (list ?? []).filter((pair) => pair?.name?.trim()).map((pair) => ({ name: pair.name?.trim(), value: pair.value }))
}

export { splitWords }

/** The command, the API call and the compose file that do what the form does. */
export function equivalents(values: DeployValues, origin: string): Equivalents {
  const input = deployInput(values)
  const service = input.services?.[input.name]
  if (!service) return {}
  return { cli: runCommand(input, service), api: curl({ method: 'POST', path: '/apps', json: input }, origin), compose: composeOf(input.name, { [input.name]: service }) }
}

/** The command that changes what of a service the command line can change. */
export function updateCommand(service: string, { container, ports, replicas }: ServiceInput): string {
  return commandLine(
    ...['skerry', 'service', 'update', service, '--image', container.image, '--replicas', replicas ?? 1],
    ...(ports ?? []).flatMap((port) => ['-p', `${port.hostPort || ''}:${port.containerPort}${port.protocol === 'udp' ? '/udp' : ''}`]),
    ...(container.env ?? []).flatMap(({ name, value }) => ['-e', `${name}=${value}`]),
    ...(container.cpuMillis ? ['--cpus', container.cpuMillis / 1000] : []),
    ...(container.memoryBytes ? ['--memory', memoryText(container.memoryBytes)] : []),
    ...(container.restart ? ['--restart', container.restart] : []),
  )
}

function runCommand(input: AppInput, { container, ports, replicas }: ServiceInput): string {
  const words = ['skerry', 'run', '-d', '-n', input.name]
  for (const port of ports ?? []) words.push('-p', `${port.hostPort || ''}:${port.containerPort}${port.protocol === 'udp' ? '/udp' : ''}`)
  for (const { name, value } of container.env ?? []) words.push('-e', `${name}=${value}`)
  for (const mount of container.mounts ?? []) words.push('-v', `${mount.source}:${mount.path}`)
  if (container.cpuMillis) words.push('--cpus', String(container.cpuMillis / 1000))
  if (container.memoryBytes) words.push('--memory', `${container.memoryBytes / mebi}m`)
  if (container.user) words.push('-u', container.user)
  words.push('--restart', container.restart ?? defaults.restart)
  if (replicas !== 1) words.push('--replicas', String(replicas))
  words.push(container.image, ...(container.command ?? []))
  return words.map(shellQuote).join(' ')
}

/** The form's field that the server's `field` means; undefined when it is about none of them. */
export function formField(field: string): keyof DeployValues | undefined {
  if (/hostPort$|ports\[\d+\]$/.test(field)) return 'hostPort'
  if (/containerPort$/.test(field)) return 'port'
  if (/image$/.test(field)) return 'image'
  if (/memoryBytes$/.test(field)) return 'memoryMiB'
  if (/cpuMillis$/.test(field)) return 'cpus'
  if (/replicas$/.test(field)) return 'replicas'
  if (/\.env(\[|$|\.)/.test(field)) return 'env'
  if (/mounts/.test(field)) return 'volumes'
  if (/command/.test(field)) return 'command'
  if (/user$/.test(field)) return 'user'
  if (/^name$/.test(field) || /^services\.[^.]+$/.test(field)) return 'name'
  return undefined
}
