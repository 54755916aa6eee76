import { describe, expect, it } from 'vitest'
import { portAddress } from './Ports'
import { deployInput, equivalents, formField, namePattern, splitWords, type DeployValues } from './deploy'
import { shellQuote } from '@/shared/lib/shell'

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
    image: "library/nginx:1.27"
    command: ["nginx", "-g", "daemon off;"]
    user: "101"
    ports:
      - "8080:80"
    environment:
      "GREETING": "it's \\"fine\\""
    volumes:
      - "data:/data"
    restart: "on-failure"
    deploy:
      replicas: 3
      resources:
        limits:
          cpus: "0.5"
          memory: 256m
volumes:
  data: {}
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
