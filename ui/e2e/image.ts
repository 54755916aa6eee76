import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'

/** One entry of a tar: a file, or a symbolic link where it has a target. */
interface Entry {
  name: string
  body?: Buffer
  link?: string
  mode?: number
}

function tar(entries: Entry[]): Buffer {
  const parts: Buffer[] = []
  for (const { name, body = Buffer.alloc(0), link, mode = 0o755 } of entries) {
    const head = Buffer.alloc(512)
    head.write(name, 0)
    head.write(mode.toString(8).padStart(7, '0'), 100)
    head.write('0000000', 108)
    head.write('0000000', 116)
    head.write(body.length.toString(8).padStart(11, '0'), 124)
    head.write('00000000000', 136)
    head.write('        ', 148)
    head.write(link ? '2' : name.endsWith('/') ? '5' : '0', 156)
    if (link) head.write(link, 157)
    head.write('ustar\x0000', 257)
    const sum = head.reduce((all, byte) => all + byte, 0)
    head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
    parts.push(head, body, Buffer.alloc((512 - (body.length % 512)) % 512))
  }
  parts.push(Buffer.alloc(1024))
  return Buffer.concat(parts)
}

/** The distribution's static busybox: the smallest image with a shell. SKERRY_BUSYBOX names another. */
const busybox = process.env.SKERRY_BUSYBOX ?? '/bin/busybox'

/** A docker-archive of an image with busybox and a shell, as `docker save` writes it. */
export function shellImage(name: string): Buffer {
  if (!existsSync(busybox)) throw new Error(`${busybox} is missing: install busybox-static, or name one with SKERRY_BUSYBOX`)
  const words = ['sh', 'ls', 'cat', 'echo', 'env', 'hostname', 'sleep', 'stty', 'printf', 'mkdir', 'id', 'date', 'true', 'yes']
  const layer = tar([
    { name: 'bin/' },
    { name: 'etc/' },
    { name: 'tmp/', mode: 0o1777 },
    { name: 'bin/busybox', body: readFileSync(busybox) },
    ...words.map((word) => ({ name: `bin/${word}`, link: 'busybox' })),
    { name: 'etc/passwd', body: Buffer.from('root:x:0:0:root:/:/bin/sh\n'), mode: 0o644 },
  ])
  const digest = createHash('sha256').update(layer).digest('hex')
  const config = Buffer.from(
    JSON.stringify({ architecture: 'amd64', os: 'linux', created: '2026-11-21T00:00:00Z', config: { Env: ['PATH=/bin', 'GREETING=hello'], Cmd: ['/bin/sh'] }, rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] }, history: [{ created: '2026-11-21T00:00:00Z', created_by: 'busybox' }] }),
  )
  const configName = `${createHash('sha256').update(config).digest('hex')}.json`
  return tar([
    { name: configName, body: config, mode: 0o644 },
    { name: `${digest}/layer.tar`, body: layer, mode: 0o644 },
    { name: 'manifest.json', body: Buffer.from(JSON.stringify([{ Config: configName, RepoTags: [name], Layers: [`${digest}/layer.tar`] }])), mode: 0o644 },
  ])
}
