/** An image reference taken apart. Nothing is resolved here: the server knows what a name without a host means. */
export interface ImageName {
  host: string
  path: string
  tag: string
  digest: string
}

/** Parses `[host[:port]/]path[:tag][@digest]`. */
export function parseImage(reference: string): ImageName {
  let rest = reference.trim()
  let digest = ''
  const at = rest.indexOf('@')
  if (at >= 0) {
    digest = rest.slice(at + 1)
    rest = rest.slice(0, at)
  }
  let host = ''
  const slash = rest.indexOf('/')
  if (slash > 0) {
    const first = rest.slice(0, slash)
    if (first.includes('.') || first.includes(':') || first === 'localhost') {
      host = first
      rest = rest.slice(slash + 1)
    }
  }
  let tag = ''
  const colon = rest.lastIndexOf(':')
  if (colon >= 0) {
    tag = rest.slice(colon + 1)
    rest = rest.slice(0, colon)
  }
  return { host, path: rest, tag, digest }
}

/** What a list shows: path and tag without the host and without `library/`; a bare digest is cut to 12 digits. */
export function shortImage(reference: string): string {
  const { path, tag, digest } = parseImage(reference)
  const name = path.replace(/^library\//, '')
  if (tag) return `${name}:${tag}`
  if (digest) return `${name}@${shortDigest(digest)}`
  return name
}

/** The first 12 digits of a digest, without its algorithm. */
export function shortDigest(digest: string): string {
  return digest.replace(/^[a-z0-9]+:/, '').slice(0, 12)
}

/** The longest name that an app may have, in characters. */
const longestName = 40

/** A free app name made from an image's last path element: `nginx`, then `nginx-2`, `nginx-3` ... */
export function suggestName(reference: string, taken: Iterable<string>): string {
  const last = parseImage(reference).path.split('/').pop() ?? ''
  const base = last
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, longestName)
    .replace(/-+$/, '')
  if (base === '') return ''
  const used = new Set(taken)
  if (!used.has(base)) return base
  for (let n = 2; ; n++) if (!used.has(`${base}-${n}`)) return `${base}-${n}`
}
