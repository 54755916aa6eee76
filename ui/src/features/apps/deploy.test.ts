import { describe, expect, it } from 'vitest'
import { portAddress } from '@/shared/ui/Ports'
import { deployInput, equivalents, formField, inputsOf, namePattern, serviceOf, valuesOf, type DeployValues } from './deploy'
import { composeOf, filesOf, memoryText, readDotEnv, variablesOf } from './compose'
import { shellQuote, splitWords } from '@/shared/lib/shell'

const full: DeployValues = {
  image: ' library/nginx:1.27 ',
  port: 80,
  hostPort: 8080,
  name: 'web',
  replicas: 3,
  env: [{ name: 'GREETING', value: "it's \"fine\"" }, { name: '', value: 'dropped' }, {}],
  volumes: [{ name: 'data', path: '/data' }, { name: 'half' }],
  cpus: 0.5,
  memoryMiB: 256,
  restart: 'on-failure',
  command: `nginx -g "daemon off;"`,
  user: '101',
}

describe('deployInput', () => {
  it('asks for the least by default', () => {
    expect(deployInput({ image: 'welcome', name: 'hello', port: 80 })).toEqual({
      name: 'hello',
      services: { hello: { container: { image: 'welcome', restart: 'always' }, replicas: 1, ports: [{ protocol: 'tcp', hostPort: 0, containerPort: 80 }] } },
    })
  })
  it('publishes nothing without a port', () => {
    expect(deployInput({ image: 'worker', name: 'w', hostPort: 9 }).services?.w?.ports).toBeUndefined()
  })
  it('says everything that was filled in', () => {
    expect(deployInput(full).services?.web).toEqual({
      container: {
        image: 'library/nginx:1.27',
        env: [{ name: 'GREETING', value: "it's \"fine\"" }],
        mounts: [{ type: 'volume', source: 'data', path: '/data' }],
        cpuMillis: 500,
        memoryBytes: 268_435_456,
        restart: 'on-failure',
        command: ['nginx', '-g', 'daemon off;'],
        user: '101',
      },
      replicas: 3,
      ports: [{ protocol: 'tcp', hostPort: 8080, containerPort: 80 }],
    })
  })
})

describe('a service that is there', () => {
  const spec = {
    replicas: 2,
    ports: [{ protocol: 'udp' as const, hostIp: '127.0.0.1', hostPort: 53, containerPort: 5353 }, { protocol: 'tcp' as const, hostPort: 0, containerPort: 8080 }],
    container: {
      image: 'skerry.internal/team/dns:1',
      imageDigest: 'sha256:00',
      labels: { keep: 'me' },
      command: ['serve', '-c', 'a b'],
      env: [{ name: 'A', value: '1' }],
      mounts: [{ type: 'volume' as const, source: 'data', volumeId: 'vo-1', path: '/data', readOnly: true }, { type: 'tmpfs' as const, path: '/tmp', sizeBytes: 1024 }],
      memoryBytes: 134_217_728,
      restart: 'on-failure' as const,
      restartMax: 5,
    },
  }
  it('comes back from the form as it was, but for what the server fills in', () => {
    const back = serviceOf(valuesOf('dns', spec), spec)
    expect(back).toEqual({ replicas: 2, ports: spec.ports, container: { ...spec.container, imageDigest: undefined, mounts: [{ type: 'volume', source: 'data', path: '/data', readOnly: true }, { type: 'tmpfs', path: '/tmp', sizeBytes: 1024 }] } })
    expect(inputsOf({ dns: spec }).dns).toEqual(back)
  })
  it('loses what the form takes away', () => {
    const back = serviceOf({ ...valuesOf('dns', spec), port: null, env: [], volumes: [], memoryMiB: null, command: '', restart: 'always' }, spec)
    expect(back.ports).toEqual([spec.ports[1]])
    expect(back.container).toEqual({ image: spec.container.image, labels: { keep: 'me' }, mounts: [{ type: 'tmpfs', path: '/tmp', sizeBytes: 1024 }], restart: 'always' })
  })
  it('is written as compose', () => {
    expect(composeOf('', { dns: spec })).toBe(`services:
  dns:
    image: skerry.internal/team/dns:1
    command:
      - serve
      - "-c"
      - "a b"
    environment:
      A: "1"
    ports:
      - "127.0.0.1:53:5353/udp"
      - "8080"
    volumes:
      - data:/data:ro
      - type: tmpfs
        target: "/tmp"
        tmpfs:
          size: "1024"
    labels:
      keep: me
    mem_limit: 128m
    restart: on-failure:5
    deploy:
      replicas: 2
volumes:
  data:
    name: data
`.replace('"/tmp"', '/tmp'))
  })
})

describe('compose', () => {
  it('writes nothing that YAML would read otherwise', () => {
    const text = composeOf('', { a: { replicas: 1, container: { image: 'x', env: [{ name: 'ON', value: 'on' }, { name: 'N', value: '007' }, { name: 'D', value: '$HOME' }, { name: 'E', value: '' }, { name: 'M', value: 'a: b #c' }, { name: 'L', value: 'two\nlines' }, { name: 'V', value: '1e3' }] } } })
    expect(text.split('\n').slice(4, 11).map((line) => line.trim())).toEqual(['"ON": "on"', '"N": "007"', 'D: "$$HOME"', 'E: ""', 'M: "a: b #c"', 'L: "two\\nlines"', 'V: "1e3"'])
  })
  it('says where replicas run and what is kept free for them', () => {
    const placement = { strategy: 'binpack' as const, constraints: ['node.labels.disk==ssd', 'node.name!=a'], affinity: ['cache'], antiAffinity: ['web'], spreadBy: 'zone' }
    const container = { image: 'x' }
    expect(composeOf('', { web: { container, replicas: 3, placement, reserve: { cpuMillis: 250, memoryBytes: 134_217_728 }, maxUnavailable: 2 } })).toBe(`services:
  web:
    image: x
    deploy:
      replicas: 3
      resources:
        reservations:
          cpus: "0.25"
          memory: 128m
      placement:
        constraints:
          - "node.labels.disk==ssd"
          - "node.name!=a"
    x-skerry:
      placement:
        strategy: binpack
        spread_by: zone
        affinity:
          - cache
        anti_affinity:
          - web
      max_unavailable: 2
`)
    expect(composeOf('', { web: { container, placement: {}, reserve: {} } })).toBe('services:\n  web:\n    image: x\n')
  })
  it('tells the size of memory in whole units', () => {
    expect([6_291_456, 1024, 1000, 5_497_558_138_880].map(memoryText)).toEqual(['6m', '1k', '1000', '5t'])
  })
  it('finds variables and what they are without being given', () => {
    expect(variablesOf('image: web:${TAG:-1.0}\nx: $HOST ${PORT} $$NOT ${TAG}\n# ${OUT}\ny: ${A?say}')).toEqual([
      { name: 'TAG', fallback: '1.0' },
      { name: 'HOST', fallback: undefined },
      { name: 'PORT', fallback: undefined },
      { name: 'A', fallback: undefined },
    ])
  })
  it('reads .env as other tools do', () => {
    expect(readDotEnv('# c\nA=1\nexport B = two words # remark\nC="x # y\\n"\nD=\'$z\'\nnonsense\r\nE=\n')).toEqual({ A: '1', B: 'two words', C: 'x # y\n', D: '$z', E: '' })
  })
  it('finds the files that it names', () => {
    expect(filesOf('services:\n  a:\n    env_file: one.env\n  b:\n    env_file:\n      - two.env # x\n      - path: ./three.env\n        required: false\n  c:\n    env_file: ["four.env", five.env]\n    image: six')).toEqual(['one.env', 'two.env', './three.env', 'four.env', 'five.env'])
  })
})

describe('equivalents', () => {
  it('give the command', () => {
    expect(equivalents(full, 'https://h:7443').cli).toBe(
      `skerry run -d -n web -p 8080:80 -e 'GREETING=it'\\''s "fine"' -v data:/data --cpus 0.5 --memory 256m -u 101 --restart on-failure --replicas 3 library/nginx:1.27 nginx -g 'daemon off;'`,
    )
    expect(equivalents({ image: 'welcome', name: 'hello', port: 80 }, '').cli).toBe('skerry run -d -n hello -p :80 --restart always welcome')
  })
  it('give the API call with the same body', () => {
    const call = equivalents(full, 'https://h:7443').api ?? ''
    expect(call).toContain('https://h:7443/api/v1/apps')
    const body = call.slice(call.indexOf("-d '") + 4, -1).replaceAll(`'\\''`, "'")
    expect(JSON.parse(body)).toEqual(deployInput(full))
  })
  it('give the compose file', () => {
    expect(equivalents(full, '').compose).toBe(`name: web
services:
  web:
    image: library/nginx:1.27
    command:
      - nginx
      - "-g"
      - "daemon off;"
    environment:
      GREETING: "it's \\"fine\\""
    ports:
      - "8080:80"
    volumes:
      - data:/data
    user: "101"
    mem_limit: 256m
    cpus: 0.5
    restart: on-failure
    deploy:
      replicas: 3
volumes:
  data:
    name: data
`)
  })
})

describe('words', () => {
  it.each([
    ['a  b', ['a', 'b']],
    [`a "b c" 'd "e"' f\\ g`, ['a', 'b c', 'd "e"', 'f g']],
    [`""`, ['']],
    ['  ', []],
  ])('%s', (text, words) => expect(splitWords(text)).toEqual(words))
  it('quoted come back', () => {
    for (const word of ['', 'plain', "it's", 'a b', '$HOME', '"']) expect(splitWords(shellQuote(word).replaceAll(`'\\''`, `'"'"'`))).toEqual([word])
  })
})

describe('rules and fields of the server', () => {
  it.each(['web', 'a', '0', 'a-b', 'x'.repeat(63)])('takes %s', (name) => expect(namePattern.test(name)).toBe(true))
  it.each(['', '-a', 'a-', 'A', 'a b', 'é', 'x'.repeat(64)])('refuses "%s"', (name) => expect(namePattern.test(name)).toBe(false))
  it('finds the field that a refusal is about', () => {
    expect(formField('services.web.ports[0].hostPort')).toBe('hostPort')
    expect(formField('services.web.container.memoryBytes')).toBe('memoryMiB')
    expect(formField('services.web.container.image')).toBe('image')
    expect(formField('name')).toBe('name')
    expect(formField('')).toBeUndefined()
  })
})

describe('portAddress', () => {
  const port = { protocol: 'tcp' as const, hostPort: 30000, containerPort: 80, environmentId: '', serviceId: '', tenantId: '' }
  it.each([
    ['every address', port, 'node.example', 'http://node.example:30000/'],
    ['IPv6', port, '[2001:db8::1]', 'http://[2001:db8::1]:30000/'],
    ['UDP', { ...port, protocol: 'udp' as const }, 'node.example', undefined],
    ['loopback from elsewhere', { ...port, hostIp: '127.0.0.1' }, 'node.example', undefined],
    ['loopback on the node', { ...port, hostIp: '127.0.0.1' }, 'localhost', 'http://localhost:30000/'],
    ['one address', { ...port, hostIp: '192.0.2.7' }, 'node.example', 'http://192.0.2.7:30000/'],
  ])('%s', (_, given, host, address) => expect(portAddress(given, host)).toBe(address))
})
