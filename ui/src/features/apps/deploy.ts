import type { AppInput, ContainerSpec, RestartPolicy, ServiceInput } from '@/api/model'
import { curl, shellQuote } from '@/shared/lib/shell'
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
  const container: ContainerSpec = { image: values.image?.trim() ?? '' }
  const env = pairs(values.env)
  if (env.length > 0) container.env = env.map(({ name, value }) => ({ name: name ?? '', value: value ?? '' }))
  const volumes = (values.volumes ?? []).filter((volume) => volume?.name?.trim() && volume.path?.trim())
  if (volumes.length > 0) container.mounts = volumes.map((volume) => ({ type: 'volume', source: volume.name?.trim(), path: volume.path?.trim() ?? '' }))
  if (values.cpus) container.cpuMillis = Math.round(values.cpus * 1000)
  if (values.memoryMiB) container.memoryBytes = Math.round(values.memoryMiB * mebi)
  container.restart = values.restart ?? defaults.restart
  const command = splitWords(values.command ?? '')
  if (command.length > 0) container.command = command
  if (values.user?.trim()) container.user = values.user.trim()
  const service: ServiceInput = { container, replicas: values.replicas ?? defaults.replicas }
  if (values.port) service.ports = [{ protocol: values.protocol ?? defaults.protocol, hostPort: values.hostPort ?? 0, containerPort: values.port }]
  return { name, services: { [name]: service } }
}

function pairs(list: DeployValues['env']) {
  return (list ?? []).filter((pair) => pair?.name?.trim()).map((pair) => ({ name: pair.name?.trim(), value: pair.value }))
}

/** Splits a command into words as a shell does: spaces part, quotes hold together, a backslash takes the next character. */
export function splitWords(text: string): string[] {
  const words: string[] = []
  let word = ''
  let inWord = false
  let quote = ''
  for (let i = 0; i < text.length; i++) {
    const c = text.charAt(i)
    if (quote) {
      if (c === quote) quote = ''
      else if (c === '\\' && quote === '"' && i + 1 < text.length) word += text.charAt(++i)
      else word += c
    } else if (c === '"' || c === "'") {
      quote = c
      inWord = true
    } else if (c === '\\' && i + 1 < text.length) {
      word += text.charAt(++i)
      inWord = true
    } else if (/\s/.test(c)) {
      if (inWord) words.push(word)
      word = ''
      inWord = false
    } else {
      word += c
      inWord = true
    }
  }
  if (inWord) words.push(word)
  return words
}

/** The command, the API call and the compose file that do what the form does. */
export function equivalents(values: DeployValues, origin: string): Equivalents {
  const input = deployInput(values)
  const service = input.services?.[input.name]
  if (!service) return {}
  return { cli: runCommand(input, service), api: curl({ method: 'POST', path: '/apps', json: input }, origin), compose: composeFile(input.name, service) }
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

function composeFile(name: string, { container, ports, replicas }: ServiceInput): string {
  // A JSON string is a YAML string too, whatever it holds.
  const quote = (text: string) => JSON.stringify(text)
  const lines = [`name: ${name}`, 'services:', `  ${name}:`, `    image: ${quote(container.image)}`]
  if (container.command) lines.push(`    command: [${container.command.map(quote).join(', ')}]`)
  if (container.user) lines.push(`    user: ${quote(container.user)}`)
  if (ports) {
    lines.push('    ports:')
    for (const port of ports) {
      const target = `${port.containerPort}${port.protocol === 'udp' ? '/udp' : ''}`
      lines.push(`      - ${quote(port.hostPort ? `${port.hostPort}:${target}` : target)}`)
    }
  }
  if (container.env) {
    lines.push('    environment:')
    for (const { name, value } of container.env) lines.push(`      ${quote(name)}: ${quote(value)}`)
  }
  if (container.mounts) {
    lines.push('    volumes:')
    for (const mount of container.mounts) lines.push(`      - ${quote(`${mount.source}:${mount.path}`)}`)
  }
  lines.push(`    restart: ${quote(container.restart ?? defaults.restart)}`)
  if (replicas !== 1 || container.cpuMillis || container.memoryBytes) {
    lines.push('    deploy:')
    if (replicas !== 1) lines.push(`      replicas: ${replicas}`)
    if (container.cpuMillis || container.memoryBytes) {
      lines.push('      resources:', '        limits:')
      if (container.cpuMillis) lines.push(`          cpus: ${quote(String(container.cpuMillis / 1000))}`)
      if (container.memoryBytes) lines.push(`          memory: ${container.memoryBytes / mebi}m`)
    }
  }
  if (container.mounts) {
    lines.push('volumes:')
    for (const source of new Set(container.mounts.map((mount) => mount.source))) lines.push(`  ${source}: {}`)
  }
  return lines.join('\n') + '\n'
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
