import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

// Browser tests: one after the other, because they share one node.
export default defineConfig({
  resolve: { alias: { '@mock': here('./mock'), '@': here('./src') } },
  test: { environment: 'node', include: ['e2e/*.e2e.ts'], testTimeout: 180_000, hookTimeout: 180_000, fileParallelism: false, maxWorkers: 1 },
})
