import { shellQuote } from './shell'

/** The clients whose commands the console prints for pushing and pulling. */
export const pushClients = ['docker', 'podman', 'skopeo', 'crane'] as const
export type PushClient = (typeof pushClients)[number]

/** The line that signs a client in. The secret is asked for, so that it stays out of the shell's history. */
export function loginLine(client: PushClient, host: string, user: string): string {
  const name = shellQuote(user)
  if (client === 'crane') return `crane auth login ${host} -u ${name} -p "$SKERRY_TOKEN"`
  return `${client} login -u ${name} ${host}`
}

/** The same with the secret given by standard input: what one copies beside a token that was just made. */
export function loginWithToken(client: PushClient, host: string, user: string, token: string): string {
  const name = shellQuote(user)
  if (client === 'crane') return `crane auth login ${host} -u ${name} -p ${shellQuote(token)}`
  return `echo ${shellQuote(token)} | ${client} login -u ${name} --password-stdin ${host}`
}

/** The lines that bring an image of this computer to `host/path:tag`. */
export function pushLines(client: PushClient, host: string, path: string, tag: string): string[] {
  const name = path.split('/').pop() ?? path
  const to = `${host}/${path}:${tag}`
  switch (client) {
    case 'docker':
    case 'podman':
      return [`${client} tag ${name}:${tag} ${to}`, `${client} push ${to}`]
    case 'skopeo':
      return [`skopeo copy docker-daemon:${name}:${tag} docker://${to}`]
    case 'crane':
      return [`crane push ${name}.tar ${to}`]
  }
}

/** The line that fetches `host/path` with a tag or digest. */
export function pullLine(client: PushClient, host: string, path: string, reference: string): string {
  const from = `${host}/${path}${reference.includes(':') ? '@' : ':'}${reference}`
  const file = `${path.split('/').pop() ?? 'image'}.tar`
  switch (client) {
    case 'docker':
    case 'podman':
      return `${client} pull ${from}`
    case 'skopeo':
      return `skopeo copy docker://${from} oci-archive:${file}`
    case 'crane':
      return `crane pull ${from} ${file}`
  }
}
