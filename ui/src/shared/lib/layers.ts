/** A layer as it is shown. */
export interface LayerLike {
  digest: string
  sizeBytes: number
  mediaType?: string
  createdBy?: string
}

export interface Command {
  /** The instruction of the Dockerfile; empty where the history does not tell. */
  verb: string
  text: string
}

/** What made a layer, from the history's line: builders write the same instruction in several ways. */
export function layerCommand(createdBy: string | undefined): Command {
  let line = (createdBy ?? '').trim()
  if (line === '') return { verb: '', text: '' }
  line = line.replace(/\s+# buildkit$/, '')
  const nop = /^\/bin\/sh -c #\(nop\)\s+/.exec(line)
  if (nop) line = line.slice(nop[0].length)
  else if (line.startsWith('/bin/sh -c ')) return { verb: 'RUN', text: line.slice('/bin/sh -c '.length).trim() }
  line = line.replace(/^RUN \/bin\/sh -c /, 'RUN ').replace(/^RUN \|\d+ (?:\S+=\S* )*\/bin\/sh -c /, 'RUN ')
  const instruction = /^(ADD|ARG|CMD|COPY|ENTRYPOINT|ENV|EXPOSE|FROM|HEALTHCHECK|LABEL|RUN|SHELL|STOPSIGNAL|USER|VOLUME|WORKDIR)\s+(.*)$/s.exec(line)
  if (instruction?.[1] !== undefined && instruction[2] !== undefined) return { verb: instruction[1], text: instruction[2].trim() }
  return { verb: '', text: line }
}

/** The share of the largest layer that each has, for bars that can be compared; a layer with bytes is never invisible. */
export function layerShares(layers: LayerLike[]): number[] {
  const largest = Math.max(1, ...layers.map((layer) => layer.sizeBytes))
  return layers.map((layer) => (layer.sizeBytes > 0 ? Math.max(0.01, layer.sizeBytes / largest) : 0))
}

/** How a layer is packed, from its media type: gzip, zstd, plain, or the type itself where it is no layer of a file system. */
export function packing(mediaType: string | undefined): string {
  if (!mediaType) return ''
  if (/[.+]gzip$/.test(mediaType)) return 'gzip'
  if (/[.+]zstd$/.test(mediaType)) return 'zstd'
  if (/(layer\.v1|diff)\.tar$/.test(mediaType)) return 'tar'
  return mediaType
}

/** What a manifest is, in a word for programs: the console has the words for people. */
export type ArtifactKind = 'image' | 'index' | 'signature' | 'sbom' | 'attestation' | 'chart' | 'artifact'

export function artifactKind(mediaType: string, artifactType = '', annotations: Record<string, string> = {}): ArtifactKind {
  const type = artifactType.toLowerCase()
  if (/cosign|signature|notary/.test(type)) return 'signature'
  if (/spdx|cyclonedx|sbom|syft/.test(type)) return 'sbom'
  if (/in-toto|attestation|provenance|dsse/.test(type) || annotations['vnd.docker.reference.type'] === 'attestation-manifest') return 'attestation'
  if (/helm/.test(type)) return 'chart'
  if (/image\.index|manifest\.list/.test(mediaType)) return 'index'
  if (type === '' || /image\.config|container\.image/.test(type)) return 'image'
  return 'artifact'
}
