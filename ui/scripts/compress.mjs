// Writes .gz and .br beside every text asset of dist, so that the daemon serves compressed bytes without compressing, and
// fails when the first page is larger than its budget.
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const dist = new URL('../dist/', import.meta.url).pathname
const budget = 400 * 1024
const sizes = new Map()

for (const entry of await readdir(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !/\.(js|css|html|svg|json|txt)$/.test(entry.name)) continue
  const path = join(entry.parentPath, entry.name)
  const bytes = await readFile(path)
  const gz = gzipSync(bytes, { level: 9 })
  sizes.set(path.slice(dist.length), gz.length)
  if (bytes.length < 1024) continue
  await writeFile(path + '.gz', gz)
  await writeFile(
    path + '.br',
    brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }),
  )
}

// The first page is index.html, what it names, and the heaviest page that can be the first: its static imports are followed.
const manifest = JSON.parse(await readFile(join(dist, '.vite/manifest.json'), 'utf8'))
function reach(key, seen = new Set()) {
  if (seen.has(key)) return seen
  seen.add(key)
  for (const next of manifest[key]?.imports ?? []) reach(next, seen)
  return seen
}
const weigh = (keys) => {
  const files = new Set()
  for (const key of keys) for (const file of [manifest[key].file, ...(manifest[key].css ?? [])]) files.add(file)
  return [...files].reduce((sum, file) => sum + (sizes.get(file) ?? 0), 0)
}
// The manifest is the build's business; the daemon must not serve it.
await rm(join(dist, '.vite'), { recursive: true })
const entry = reach('index.html')
const routes = (manifest['index.html'].dynamicImports ?? []).map((key) => ({ key, bytes: weigh(new Set([...entry, ...reach(key)])) }))
routes.sort((a, b) => b.bytes - a.bytes)
console.log(`entry ${(weigh(entry) / 1024).toFixed(0)} KiB gzip`)
for (const { key, bytes } of routes) console.log(`  ${key} ${(bytes / 1024).toFixed(0)} KiB gzip in all`)
const first = routes.find(({ key }) => key.includes('Dashboard'))
if (!first || first.bytes > budget) {
  console.error(`The first page is ${first?.bytes} bytes gzip; the budget is ${budget}.`)
  process.exit(1)
}
