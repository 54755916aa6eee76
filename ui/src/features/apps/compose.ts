import type { ContainerSpec, PortSpec, ServiceInput, ServiceSpec } from '@/api/model'

/**
 * Writes services as the compose text that the daemon reads back to the same services (appliance/compose, Render). What only
 * the platform fills in (digest, volume id, bounds of logs) has no place in compose and is left out.
 */
export function composeOf(name: string, services: Record<string, ServiceSpec | ServiceInput>): string {
  const lines = [...(name ? [`name: ${scalar(name)}`] : []), 'services:']
  const volumes = new Set<string>()
  for (const [service, spec] of Object.entries(services).sort(([a], [b]) => (a < b ? -1 : 1))) {
    lines.push(`  ${scalar(service)}:`, ...serviceLines(spec).map((line) => `    ${line}`))
    for (const mount of spec.container.mounts ?? []) if (mount.type === 'volume' && mount.source) volumes.add(mount.source)
  }
  if (volumes.size > 0) {
    lines.push('volumes:')
    // Without its name a volume would be called APP_KEY.
    for (const volume of [...volumes].sort()) lines.push(`  ${scalar(volume)}:`, `    name: ${scalar(volume)}`)
  }
  return `${lines.join('\n')}\n`
}

function serviceLines(spec: ServiceSpec | ServiceInput): string[] {
  const { container, replicas = 1, ports } = spec
  const lines: string[] = []
  const put = (key: string, value: string | number | undefined | false) => {
    if (value !== undefined && value !== '' && value !== 0 && value !== false) lines.push(`${key}: ${typeof value === 'number' ? value : scalar(value)}`)
  }
  const list = (key: string, items: string[] | undefined) => {
    if (items && items.length > 0) lines.push(`${key}:`, ...items.map((item) => `  - ${scalar(item)}`))
  }
  const yes = (key: string, on: boolean | undefined) => {
    if (on) lines.push(`${key}: true`)
  }
  put('image', container.image)
  list('entrypoint', container.entrypoint)
  list('command', container.command)
  if (container.env && container.env.length > 0) lines.push('environment:', ...container.env.map(({ name, value }) => `  ${scalar(name)}: ${scalar(value)}`))
  list('ports', ports?.map(portText))
  lines.push(...mountLines(container))
  const labels = Object.entries(container.labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
  if (labels.length > 0) lines.push('labels:', ...labels.map(([name, value]) => `  ${scalar(name)}: ${scalar(value)}`))
  put('user', container.user)
  put('working_dir', container.workingDir)
  put('hostname', container.hostname)
  yes('tty', container.tty)
  yes('stdin_open', container.stdin)
  yes('read_only', container.readOnly)
  list('cap_add', container.capAdd)
  list('cap_drop', container.capDrop)
  yes('privileged', container.privileged)
  put('pids_limit', container.pidsLimit)
  if (container.memoryBytes) put('mem_limit', memoryText(container.memoryBytes))
  if (container.cpuMillis) put('cpus', container.cpuMillis / 1000)
  put('restart', container.restart === 'on-failure' && container.restartMax ? `on-failure:${container.restartMax}` : container.restart)
  put('stop_signal', container.stopSignal)
  if (container.stopGraceSeconds) put('stop_grace_period', `${container.stopGraceSeconds}s`)
  lines.push(...mapping('deploy', [...(replicas !== 1 ? [`replicas: ${replicas}`] : []), ...reserveLines(spec), ...mapping('placement', listing('constraints', spec.placement?.constraints))]), ...placingLines(spec))
  return lines
}

/** Lines under a key, one step further in; nothing where there are none. */
function mapping(key: string, lines: string[]): string[] {
  return lines.length > 0 ? [`${key}:`, ...lines.map((line) => `  ${line}`)] : []
}

function listing(key: string, items: string[] = []): string[] {
  return mapping(key, items.map((item) => `- ${scalar(item)}`))
}

function reserveLines({ reserve }: ServiceSpec | ServiceInput): string[] {
  const lines = [...(reserve?.cpuMillis ? [`cpus: "${reserve.cpuMillis / 1000}"`] : []), ...(reserve?.memoryBytes ? [`memory: ${scalar(memoryText(reserve.memoryBytes))}`] : [])]
  return mapping('resources', mapping('reservations', lines))
}

/** What compose has no key for. */
function placingLines({ placement, maxUnavailable }: ServiceSpec | ServiceInput): string[] {
  const { strategy, spreadBy, affinity, antiAffinity } = placement ?? {}
  const placing = [...(strategy ? [`strategy: ${strategy}`] : []), ...(spreadBy ? [`spread_by: ${scalar(spreadBy)}`] : []), ...listing('affinity', affinity), ...listing('anti_affinity', antiAffinity)]
  return mapping('x-skerry', [...mapping('placement', placing), ...(maxUnavailable ? [`max_unavailable: ${maxUnavailable}`] : [])])
}

function mountLines({ mounts = [] }: ContainerSpec): string[] {
  if (mounts.length === 0) return []
  return [
    'volumes:',
    ...mounts.flatMap((mount) => {
      if (mount.type !== 'tmpfs' && mount.source) return [`  - ${scalar(`${mount.source}:${mount.path}${mount.readOnly ? ':ro' : ''}`)}`]
      return [`  - type: ${mount.type}`, `    target: ${scalar(mount.path)}`, ...(mount.sizeBytes ? ['    tmpfs:', `      size: ${scalar(String(mount.sizeBytes))}`] : [])]
    }),
  ]
}

/** A published port in the short form. */
export function portText({ hostIp, hostPort, containerPort, protocol }: PortSpec): string {
  const host = hostPort ? `${hostPort}:` : hostIp ? ':' : ''
  return `${hostIp ? `${hostIp}:` : ''}${host}${containerPort}${protocol === 'udp' ? '/udp' : ''}`
}

/** Bytes in the largest unit that holds them whole, as compose reads them. */
export function memoryText(bytes: number): string {
  const units = ['', 'k', 'm', 'g', 't']
  let unit = 0
  while (unit < units.length - 1 && bytes % 1024 === 0 && bytes !== 0) {
    bytes /= 1024
    unit++
  }
  return `${bytes}${units[unit]}`
}

/** Text that YAML reads back as text; a dollar sign is doubled, because a single one begins a variable. */
function scalar(text: string): string {
  const doubled = text.replaceAll('$', '$$$$')
  // Bare only what is read as text by every reader: no number, no truth, no mark of YAML's.
  if (/^[A-Za-z_./][A-Za-z0-9_./@+-]*(:[A-Za-z0-9_./@+-]+)*$/.test(doubled) && !/^(y|n|yes|no|on|off|true|false|null|\.inf|\.nan)$/i.test(doubled) && !/^\.\d/.test(doubled)) return doubled
  if (/^[1-9]\d*[kmgts]$/.test(doubled)) return doubled
  // A JSON string is a YAML string too, whatever it holds.
  return JSON.stringify(doubled)
}

/** The variables that a compose text names, with the value it gives them where the client gives none. */
export function variablesOf(source: string): { name: string; fallback: string | undefined }[] {
  const found = new Map<string, string | undefined>()
  const text = source
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
    .replaceAll('$$', '')
  for (const [, braced, , fallback, bare] of text.matchAll(/\$(?:\{([A-Za-z_]\w*)(?:(:?-)([^}]*)|:?[?+][^}]*)?\}|([A-Za-z_]\w*))/g)) {
    const name = braced ?? bare ?? ''
    if (!found.has(name) || found.get(name) === undefined) found.set(name, fallback)
  }
  return [...found].map(([name, fallback]) => ({ name, fallback }))
}

/** Reads the lines of a `.env` file: NAME=VALUE, quotes taken off, comments and blank lines left out. */
export function readDotEnv(text: string): Record<string, string> {
  const env: Record<string, string> = {}
  for (const whole of text.split(/\r?\n/)) {
    const line = whole.trim().replace(/^export\s+/, '')
    const pair = /^([A-Za-z_][\w.-]*)\s*=\s*(.*)$/.exec(line)
    if (!pair || line.startsWith('#')) continue
    const [, name = '', rest = ''] = pair
    const quoted = /^(["'])(.*)\1\s*(?:#.*)?$/.exec(rest)
    if (quoted) env[name] = quoted[1] === '"' ? (quoted[2] ?? '').replaceAll('\\n', '\n').replaceAll('\\"', '"') : (quoted[2] ?? '')
    else env[name] = rest.replace(/\s+#.*$/, '')
  }
  return env
}

/** The files that a compose text names under env_file. */
export function filesOf(source: string): string[] {
  const found = new Set<string>()
  const lines = source.split('\n')
  lines.forEach((line, i) => {
    const key = /^(\s*)(?:-\s+)?env_file:\s*(.*)$/.exec(line)
    if (!key) return
    const indent = (key[1] ?? '').length
    const clean = (text: string) => text.replace(/\s+#.*$/, '').trim().replace(/^(["'])(.*)\1$/, '$2')
    const inline = clean(key[2] ?? '')
    if (inline.startsWith('[')) for (const part of inline.slice(1, -1).split(',')) found.add(clean(part))
    else if (inline) found.add(inline)
    for (let j = i + 1; j < lines.length; j++) {
      const item = lines[j] ?? ''
      if (item.trim() === '') continue
      if (item.search(/\S/) < indent || (item.search(/\S/) === indent && !item.trim().startsWith('-'))) break
      const path = /^\s*-\s*(?:path:\s*)?([^:]+)$/.exec(item) ?? /^\s*path:\s*(.+)$/.exec(item)
      if (path?.[1]) found.add(clean(path[1]))
    }
  })
  found.delete('')
  return [...found]
}
