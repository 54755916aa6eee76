import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BrowserContext, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { openBrowser } from './browser'
import { openTarget, type Target } from './server'

// Images, repositories, upstreams, people and settings, by role and label, in both languages. Against a node
// (SKERRY_URL) it runs after console.e2e.ts, which makes the administrator; alone it makes him itself.
const words = {
  en: {
    user: 'User name',
    password: 'Password',
    signIn: 'Sign in',
    images: 'Images',
    repositories: 'Repositories',
    upload: 'Upload',
    submitUpload: 'Upload',
    archive: 'Archive',
    uploads: 'Uploads',
    tasks: /^Tasks/,
    cancelUpload: /^Cancel: .*endless\.tar/,
    cancelled: 'cancelled',
    done: 'done',
    layers: 'Layers, the lowest first',
    push: 'Push',
    to: 'To',
    pushed: (name: string) => `${name} is pushed.`,
    pushCommands: 'Push commands',
    trust: 'Trust the registry',
    createToken: 'Create token',
    create: 'Create',
    keep: 'I have copied it',
    edit: 'Edit',
    save: 'Save',
    description: 'Description',
    more: 'More actions',
    addTag: 'Add tag',
    tag: 'Tag',
    choose: (name: string) => `Choose ${name}`,
    removeTags: 'Remove 1 tag',
    remove: 'Remove',
    removeRepository: 'Remove repository',
    upstreams: 'Upstreams',
    addUpstream: 'Add upstream',
    host: 'Host',
    addEndpoint: 'Add endpoint',
    endpoint: 'Endpoint 1',
    unreached: 'No endpoint can be used.',
    close: 'Close',
    removeOf: (name: string) => `Remove ${name}`,
    users: 'Users',
    createUser: 'Create user',
    make: 'Make one',
    actionsOf: (name: string) => `Actions for ${name}`,
    lockOut: 'Lock out',
    lockedOut: 'locked out',
    tenants: 'Tenants',
    settings: 'Settings',
    certificate: 'Certificate chain',
    key: 'Private key',
    use: 'Use it',
    cancel: 'Cancel',
    account: 'Account of admin',
    toAccount: 'Account',
    thisBrowser: 'this browser',
    sessions: 'Sessions',
  },
  zh: {
    user: '用户名',
    password: '密码',
    signIn: '登录',
    images: '镜像',
    repositories: '镜像仓库',
    upload: '上传',
    submitUpload: '上传 1 个归档',
    archive: '归档文件',
    uploads: '上传',
    tasks: /^任务/,
    cancelUpload: /^取消：.*endless\.tar/,
    cancelled: '已取消',
    done: '已完成',
    layers: '层，自下而上',
    push: '推送',
    to: '目标',
    pushed: (name: string) => `已推送 ${name}。`,
    pushCommands: '推送命令',
    trust: '信任镜像仓库',
    createToken: '创建令牌',
    create: '创建',
    keep: '我已复制',
    edit: '编辑',
    save: '保存',
    description: '描述',
    more: '更多操作',
    addTag: '添加标签',
    tag: '标签',
    choose: (name: string) => `选择 ${name}`,
    removeTags: '删除 1 个标签',
    remove: '删除',
    removeRepository: '删除镜像仓库',
    upstreams: '上游仓库',
    addUpstream: '添加上游仓库',
    host: '主机名',
    addEndpoint: '添加端点',
    endpoint: '端点 1',
    unreached: '没有可用的端点。',
    close: '关闭',
    removeOf: (name: string) => `删除 ${name}`,
    users: '用户',
    createUser: '创建用户',
    make: '生成',
    actionsOf: (name: string) => `${name} 的操作`,
    lockOut: '停用',
    lockedOut: '已停用',
    tenants: '租户',
    settings: '设置',
    certificate: '证书链',
    key: '私钥',
    use: '使用',
    cancel: '取消',
    account: 'admin 的账户',
    toAccount: '账户',
    thisBrowser: '当前浏览器',
    sessions: '会话',
  },
}
const languages = (process.env.SKERRY_LANGUAGES?.split(',') ?? ['en', 'zh']) as ('en' | 'zh')[]
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const hostile = `<img src=x onerror="document.title='pwned'">`

let target: Target
let password: string
const folder = mkdtempSync(join(tmpdir(), 'skerry-e2e-'))

beforeAll(async () => {
  target = await openTarget('busy')
  password = target.real ? 'a-long-enough-password' : 'correct-horse'
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await target.stop()
})

/** Fails with what axe-core calls serious or worse on the page as it stands. */
async function expectAccessible(page: Page) {
  await page.evaluate(axe)
  const found = await page.evaluate(async () => {
    const run = (window as unknown as { axe: { run: () => Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> } }).axe.run
    return (await run()).violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => node.html.slice(0, 160)) }))
  })
  expect(found.filter(({ impact }) => impact === 'serious' || impact === 'critical')).toEqual([])
}

/** A tar whose one file is announced as 8 GiB: whoever reads it waits for what never comes. Sparse, so it costs no disk. */
function endlessArchive(): string {
  const path = join(folder, 'endless.tar')
  const header = Buffer.alloc(512)
  header.write('blobs/sha256/' + '0'.repeat(64), 0)
  header.write('0000644\0', 100)
  header.write('0000000\0', 108)
  header.write('0000000\0', 116)
  header.write('77777777777\0', 124)
  header.write('00000000000\0', 136)
  header.write('        ', 148)
  header.write('0', 156)
  header.write('ustar\x0000', 257)
  header.write(header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0') + '\0 ', 148)
  const file = openSync(path, 'w')
  writeSync(file, header)
  ftruncateSync(file, 5 * 2 ** 30)
  closeSync(file)
  return path
}

describe.each(languages)('images and registry in %s', (language) => {
  const say = words[language]
  const name = `e2e-${language}`
  const host = `${name}.invalid`
  const faults: string[] = []
  let context: BrowserContext
  let page: Page
  let close: () => Promise<void>
  let secret = ''

  const dialog = () => page.getByRole('dialog')
  const within = (place: Locator | Page, label: string) => place.getByRole('button', { name: label, exact: true })
  const go = async (place: string) => {
    await page.getByRole('navigation').first().getByRole('link', { name: place, exact: true }).click()
    await page.getByRole('heading', { name: place, level: 1, exact: true }).waitFor()
  }

  beforeAll(async () => {
    if (!target.real) await fetch(`${target.url}/mock/scene/busy`, { method: 'POST' })
    const browser = await openBrowser({ viewport: { width: 1280, height: 800 }, locale: language === 'zh' ? 'zh-CN' : 'en-US', reducedMotion: 'reduce' })
    context = browser.context
    close = browser.close
    page = await context.newPage()
    page.on('pageerror', (error) => faults.push(String(error)))
    page.on('console', (message) => {
      if (message.type() === 'error' && !/Failed to load resource|net::ERR/.test(message.text())) faults.push(message.text())
    })
    await page.goto(target.url)
    await page.getByRole('button').first().waitFor()
    const setup = await page.request.get(`${target.url}/api/v1/setup`).then((reply) => reply.json() as Promise<{ needed: boolean }>)
    if (setup.needed) {
      const made = await page.request.post(`${target.url}/api/v1/setup`, { data: { token: target.setupToken, name: 'admin', password } })
      expect(made.ok()).toBe(true)
      await page.goto(target.url)
    } else {
      await page.goto(`${target.url}/sign-in`)
      await page.getByLabel(say.user).fill('admin')
      await page.getByLabel(say.password).fill(password)
      await page.keyboard.press('Enter')
    }
    await page.getByRole('navigation').getByRole('link', { name: say.images, exact: true }).waitFor()
  })
  afterAll(() => close())
  // What one step left open must not stand in the way of the next.
  beforeEach(async () => {
    if ((await dialog().count()) > 0) await page.goto(new URL(new URL(page.url()).pathname, target.url).toString())
  })

  it('uploads an archive, as a task that leads to the image', async () => {
    await go(say.images)
    const images = await page.request.get(`${target.url}/api/v1/images?tenant=*`).then((reply) => reply.json() as Promise<{ items: { id: string; name: string }[] }>)
    const welcome = images.items.find((image) => image.name.includes('library/welcome'))
    const archive = await page.request.get(`${target.url}/api/v1/images/${welcome?.id}/export`)
    expect(archive.status()).toBe(200)
    await within(page, say.upload).click()
    await dialog().getByLabel(say.archive).setInputFiles({ name: 'welcome.tar', mimeType: 'application/x-tar', buffer: await archive.body() })
    await expectAccessible(page)
    await within(dialog(), say.submitUpload).click()
    await page.getByRole('button', { name: say.tasks }).click()
    await page.getByRole('link', { name: /welcome\.tar/ }).waitFor()
    await page.getByTitle(say.done, { exact: true }).first().waitFor({ timeout: 60_000 })
    await page.keyboard.press('Escape')
  })

  it('cancels an upload from another page, and nothing of it stays', async () => {
    const before = await page.request.get(`${target.url}/api/v1/images`).then((reply) => reply.json() as Promise<{ items: unknown[] }>)
    const session = await context.newCDPSession(page)
    // At 4 MiB a second the 5 GiB would take twenty minutes.
    await session.send('Network.enable')
    await session.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 4 * 2 ** 20 })
    await go(say.images)
    await within(page, say.upload).click()
    await dialog().getByLabel(say.archive).setInputFiles(endlessArchive())
    await within(dialog(), say.submitUpload).click()
    const running = page.getByRole('region', { name: say.uploads })
    await running.getByText('endless.tar').waitFor()
    await running.getByText(/MiB \/ 5 GiB · .*\/s/).waitFor({ timeout: 60_000 })
    await expectAccessible(page)
    await go(say.repositories)
    await page.getByRole('button', { name: say.tasks }).click()
    await page.getByRole('button', { name: say.cancelUpload }).click()
    await page.getByText(say.cancelled, { exact: true }).first().waitFor()
    await page.keyboard.press('Escape')
    await session.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 })
    await session.detach()
    const after = await page.request.get(`${target.url}/api/v1/images`).then((reply) => reply.json() as Promise<{ items: unknown[] }>)
    expect(after.items.length).toBe(before.items.length)
  })

  it('shows an image by its layers and pushes it into the registry', async () => {
    await go(say.images)
    await page.getByRole('link', { name: /library\/welcome/ }).first().click()
    await page.getByRole('list', { name: say.layers }).getByRole('listitem').first().waitFor()
    await expectAccessible(page)
    await within(page, say.push).click()
    await dialog().getByLabel(say.to).fill(`${name}:1.0`)
    await within(dialog(), say.push).click()
    await page.getByText(say.pushed(`default/${name}:1.0`)).or(page.getByText(new RegExp(`default/${name}:1\\.0`))).first().waitFor({ timeout: 60_000 })
  })

  it('prints what clients run, and makes a token that the registry takes', async () => {
    await go(say.repositories)
    await expectAccessible(page)
    await page.getByRole('link', { name: `default/${name}`, exact: true }).click()
    await page.getByRole('tab', { name: say.pushCommands }).click()
    await page.getByRole('heading', { name: say.trust }).waitFor()
    const info = await page.request.get(`${target.url}/api/v1/registry`).then((reply) => reply.json() as Promise<{ hosts: string[]; trust: { client: string; lines: string[] }[] }>)
    const docker = info.trust.find(({ client }) => client === 'docker')
    // The lines are the API's own, every one of them.
    expect(await page.getByRole('tabpanel', { name: 'docker', exact: true }).locator('pre').innerText()).toBe(docker?.lines.join('\n'))
    await page.getByText(`docker push ${info.hosts[0]}/default/${name}:1.0`).waitFor()
    await expectAccessible(page)
    await within(page, say.createToken).click()
    await within(dialog(), say.create).click()
    secret = (await dialog().locator('code').first().innerText()).trim()
    expect(secret).toMatch(/^sk_/)
    await dialog().getByText(`--password-stdin ${info.hosts[0]}`).waitFor()
    await expectAccessible(page)
    await within(dialog(), say.keep).click()
    await dialog().waitFor({ state: 'detached' })
    if (!target.real) return
    const manifest = await page.request.get(`${target.url}/v2/default/${name}/manifests/1.0`, { headers: { Authorization: `Bearer ${secret}`, Accept: 'application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json' } })
    expect([manifest.status(), manifest.ok() ? '' : await manifest.text()]).toEqual([200, ''])
  })

  it('shows hostile text of a description as text', async () => {
    await within(page, say.edit).click()
    await dialog().getByLabel(say.description).fill(`${hostile} plain`)
    await within(dialog(), say.save).click()
    await dialog().waitFor({ state: 'detached' })
    await page.getByText(`${hostile} plain`).waitFor()
    await go(say.repositories)
    await page.getByText(`${hostile} plain`).waitFor()
    expect(await page.locator('img[src="x"]').count()).toBe(0)
    expect(await page.title()).not.toContain('pwned')
  })

  it('tags an image once more, shows it, and removes a tag', async () => {
    await page.getByRole('link', { name: `default/${name}`, exact: true }).click()
    await page.getByRole('link', { name: '1.0', exact: true }).click()
    await page.getByRole('heading', { name: `default/${name}:1.0`, level: 1 }).waitFor()
    await expectAccessible(page)
    await within(page, say.more).click()
    await page.getByRole('menuitem', { name: say.addTag }).click()
    await dialog().getByLabel(say.tag).fill('stable')
    await within(dialog(), say.addTag).click()
    await dialog().waitFor({ state: 'detached' })
    await page.getByRole('link', { name: `default/${name}`, exact: true }).click()
    await page.getByRole('link', { name: 'stable', exact: true }).waitFor()
    await page.getByRole('checkbox', { name: say.choose('stable') }).check()
    await within(page, say.removeTags).click()
    await expectAccessible(page)
    await within(dialog(), say.remove).click()
    await page.getByRole('link', { name: 'stable', exact: true }).waitFor({ state: 'detached' })
    await page.getByRole('link', { name: '1.0', exact: true }).waitFor()
  })

  it('removes the repository once its name is typed', async () => {
    await within(page, say.more).click()
    await page.getByRole('menuitem', { name: say.removeRepository }).click()
    const submit = within(dialog(), say.removeRepository)
    expect(await submit.isDisabled()).toBe(true)
    await dialog().getByRole('textbox').fill(`default/${name}`)
    await submit.click()
    await page.getByRole('heading', { name: say.repositories, level: 1, exact: true }).waitFor()
    await page.getByRole('link', { name: `default/${name}`, exact: true }).waitFor({ state: 'detached' })
  })

  it('adds an upstream, says what is wrong with its endpoint, and removes it', async () => {
    await go(say.upstreams)
    await within(page, say.addUpstream).click()
    await dialog().getByLabel(say.host).fill(host)
    await within(dialog(), say.addEndpoint).click()
    await dialog().getByLabel(say.endpoint, { exact: true }).fill('http://127.0.0.1:9')
    await within(dialog(), say.addUpstream).click()
    if (target.real) await page.getByText(say.unreached).waitFor({ timeout: 60_000 })
    else await page.getByText('http://127.0.0.1:9').first().waitFor()
    await expectAccessible(page)
    await dialog().last().getByRole('button', { name: say.close, exact: true }).last().click()
    await within(page, say.removeOf(host)).click()
    await within(dialog(), say.remove).click()
    await page.getByText(host, { exact: true }).waitFor({ state: 'detached' })
  })

  it('creates a user with a role and locks him out', async () => {
    await go(say.users)
    await expectAccessible(page)
    await within(page, say.createUser).click()
    await dialog().getByLabel(say.user).fill(name)
    await within(dialog(), say.make).click()
    await expectAccessible(page)
    await within(dialog(), say.createUser).click()
    await page.getByRole('row', { name }).waitFor()
    await within(page, say.actionsOf(name)).click()
    await page.getByRole('menuitem', { name: say.lockOut }).click()
    await within(dialog(), say.lockOut).click()
    await page.getByRole('row', { name }).getByText(say.lockedOut).waitFor()
    await go(say.tenants)
    await page.getByRole('link', { name: 'default', exact: true }).click()
    await page.getByRole('heading', { name: 'default', level: 1 }).waitFor()
    await expectAccessible(page)
  })

  it('refuses a certificate that is none, and keeps what was pasted', async () => {
    await go(say.settings)
    await expectAccessible(page)
    await within(page, say.upload).click()
    const pem = (kind: string) => `-----BEGIN ${kind}-----\nbm90aGluZw==\n-----END ${kind}-----\n`
    await dialog().getByLabel(say.certificate, { exact: true }).fill(pem('CERTIFICATE'))
    // The mock takes any key of a usual kind.
    const key = pem(target.real ? 'PRIVATE KEY' : 'DSA PRIVATE KEY')
    await dialog().getByLabel(say.key, { exact: true }).fill(key)
    await within(dialog(), say.use).click()
    await dialog().getByRole('alert').first().waitFor()
    expect(await dialog().getByLabel(say.key, { exact: true }).inputValue()).toBe(key)
    await expectAccessible(page)
    await within(dialog(), say.cancel).click()
    await dialog().waitFor({ state: 'detached' })
  })

  it('shows where one is signed in', async () => {
    await within(page, say.account).click()
    await page.getByRole('menuitem', { name: say.toAccount }).click()
    await page.getByRole('list', { name: say.sessions }).getByText(say.thisBrowser).waitFor()
    await expectAccessible(page)
  })

  it('did all that without a fault of its own and within its content policy', () => {
    expect(faults).toEqual([])
  })
})
