import { describe, expect, it } from 'vitest'
import { composeSchema } from '@mock/compose'
import { keysAt, schemasAt, valuesAt, type Schema } from './schema'
import { yamlPlace } from './yamlPath'

/** The place of the bar in a text. */
function at(text: string) {
  const before = text.slice(0, text.indexOf('|'))
  const lines = text.replace('|', '').split('\n')
  const line = before.split('\n').length - 1
  return yamlPlace(lines, line, before.length - before.lastIndexOf('\n') - 1)
}

describe('yamlPlace', () => {
  it.each([
    ['|', 'key', [], ''],
    ['ser|', 'key', [], 'ser'],
    ['services:\n  |', 'key', ['services'], ''],
    ['services:\n  web:\n    im|', 'key', ['services', 'web'], 'im'],
    ['services:\n  web:\n    image: ngi|', 'value', ['services', 'web', 'image'], 'ngi'],
    ['services:\n  web:\n    image: a\n    |', 'key', ['services', 'web'], ''],
    ['services:\n  web:\n    image: a\n  |', 'key', ['services'], ''],
    ['services:\n  web:\n    image: a\nvol|', 'key', [], 'vol'],
    ['services:\n  web:\n    ports:\n      - "80|', 'item', ['services', 'web', 'ports', '[]'], '"80'],
    ['services:\n  web:\n    ports:\n    - 80|', 'item', ['services', 'web', 'ports', '[]'], '80'],
    ['services:\n  web:\n    ports:\n      - target: 80\n        pub|', 'key', ['services', 'web', 'ports', '[]'], 'pub'],
    ['services:\n  web:\n    ports:\n    - target: 80\n      pub|', 'key', ['services', 'web', 'ports', '[]'], 'pub'],
    ['services:\n  web:\n    ports:\n      - tar|', 'item', ['services', 'web', 'ports', '[]'], 'tar'],
    ['services:\n  web:\n    deploy:\n      resources:\n        limits:\n          cp|', 'key', ['services', 'web', 'deploy', 'resources', 'limits'], 'cp'],
    ['services:\n\n  # a remark\n  web:\n    tty: t|\n    user: x', 'value', ['services', 'web', 'tty'], 't'],
    ['services:\n  web:\n    environment:\n      URL: http://x:80/|', 'value', ['services', 'web', 'environment', 'URL'], 'http://x:80/'],
  ])('%j', (text, where, path, typed) => expect(at(text)).toMatchObject({ at: where, path, typed }))

  it('names the keys that stand beside', () => {
    expect(at('services:\n  web:\n    image: a\n    |\n    user: b\n  db:\n    tty: true').siblings.sort()).toEqual(['image', 'user'])
    expect(at('ports:\n  - target: 80\n    |\n    protocol: tcp\n  - host_ip: x').siblings.sort()).toEqual(['protocol', 'target'])
  })
})

describe('schema', () => {
  const schema = composeSchema as Schema
  it('knows the keys of a place, in whatever form its value may be', () => {
    expect(keysAt(schema, []).map(({ key }) => key)).toEqual(['name', 'services', 'volumes'])
    const service = keysAt(schema, ['services', 'web'])
    expect(service.find(({ key }) => key === 'image')).toEqual({ key: 'image', description: 'required', holds: 'value' })
    expect(service.find(({ key }) => key === 'ports')?.holds).toBe('list')
    expect(service.find(({ key }) => key === 'deploy')?.holds).toBe('mapping')
    expect(keysAt(schema, ['services', 'web', 'deploy', 'resources', 'limits']).map(({ key }) => key)).toEqual(['cpus', 'memory'])
    expect(keysAt(schema, ['volumes', 'data']).map(({ key }) => key)).toEqual(['name', 'external'])
    expect(keysAt(schema, ['services', 'web', 'image'])).toEqual([])
  })
  it('proposes truth only where truth is meant', () => {
    expect(valuesAt(schema, ['services', 'web', 'tty'])).toEqual(['true', 'false'])
    expect(valuesAt(schema, ['services', 'web', 'image'])).toEqual([])
    expect(schemasAt(schema, ['services', 'web', 'nonsense'])).toEqual([])
  })
})
