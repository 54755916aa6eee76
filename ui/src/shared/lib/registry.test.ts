import { describe, expect, it } from 'vitest'
import { loginLine, loginWithToken, pullLine, pushClients, pushLines } from './commands'
import { artifactKind, layerCommand, layerShares, packing } from './layers'
import { Rate } from './rate'

describe('commands', () => {
  it('name host, repository and tag for every client', () => {
    for (const client of pushClients) {
      expect(pushLines(client, 'node-1:7443', 'shop/team/web', '1.0').join('\n')).toContain('node-1:7443/shop/team/web:1.0')
      expect(pullLine(client, 'node-1:7443', 'shop/web', '1.0')).toContain('node-1:7443/shop/web:1.0')
      expect(pullLine(client, 'node-1:7443', 'shop/web', 'sha256:ab')).toContain('node-1:7443/shop/web@sha256:ab')
      expect(loginLine(client, 'node-1:7443', 'ann')).toContain('node-1:7443')
    }
    expect(pushLines('docker', 'node-1:7443', 'shop/web', '1.0')).toEqual(['docker tag web:1.0 node-1:7443/shop/web:1.0', 'docker push node-1:7443/shop/web:1.0'])
    expect(loginWithToken('docker', 'node-1:7443', 'ann', 'sk_1')).toBe('echo sk_1 | docker login -u ann --password-stdin node-1:7443')
  })
})

describe('layers', () => {
  it.each([
    ['/bin/sh -c #(nop)  CMD ["nginx"]', 'CMD', '["nginx"]'],
    ['/bin/sh -c apt-get update', 'RUN', 'apt-get update'],
    ['RUN /bin/sh -c make all # buildkit', 'RUN', 'make all'],
    ['RUN |2 A=1 B= /bin/sh -c make # buildkit', 'RUN', 'make'],
    ['COPY /out /bin # buildkit', 'COPY', '/out /bin'],
    ['/bin/sh -c #(nop) ADD file:ab in / ', 'ADD', 'file:ab in /'],
    ['bazel build', '', 'bazel build'],
    [undefined, '', ''],
  ])('tell what made them: %s', (line, verb, text) => {
    expect(layerCommand(line)).toEqual({ verb, text })
  })

  it('are compared with the largest; none with bytes is invisible', () => {
    const layer = (sizeBytes: number) => ({ digest: '', sizeBytes })
    expect(layerShares([layer(1000), layer(500), layer(1), layer(0)])).toEqual([1, 0.5, 0.01, 0])
    expect(layerShares([])).toEqual([])
  })

  it('say how they are packed', () => {
    expect(packing('application/vnd.oci.image.layer.v1.tar+gzip')).toBe('gzip')
    expect(packing('application/vnd.docker.image.rootfs.diff.tar.gzip')).toBe('gzip')
    expect(packing('application/vnd.oci.image.layer.v1.tar+zstd')).toBe('zstd')
    expect(packing('application/vnd.oci.image.layer.v1.tar')).toBe('tar')
    expect(packing('text/x')).toBe('text/x')
  })

  it('of what kind a manifest is', () => {
    expect(artifactKind('application/vnd.oci.image.index.v1+json')).toBe('index')
    expect(artifactKind('application/vnd.docker.distribution.manifest.v2+json')).toBe('image')
    expect(artifactKind('application/vnd.oci.image.manifest.v1+json', 'application/vnd.dev.cosign.artifact.sig.v1+json')).toBe('signature')
    expect(artifactKind('application/vnd.oci.image.manifest.v1+json', 'application/spdx+json')).toBe('sbom')
    expect(artifactKind('application/vnd.oci.image.manifest.v1+json', '', { 'vnd.docker.reference.type': 'attestation-manifest' })).toBe('attestation')
    expect(artifactKind('application/vnd.oci.image.manifest.v1+json', 'application/x-own')).toBe('artifact')
  })
})

describe('rate', () => {
  it('is over the last seconds, and begins anew when the count falls', () => {
    const rate = new Rate(5_000)
    expect(rate.add(0, 0)).toBe(0)
    expect(rate.add(1_000, 1_000)).toBe(1_000)
    for (let s = 2; s <= 20; s++) rate.add(1_000 + (s - 1) * 3_000, s * 1_000)
    expect(rate.add(1_000 + 20 * 3_000, 21_000)).toBe(3_000)
    expect(rate.add(10, 22_000)).toBe(0)
  })
})
