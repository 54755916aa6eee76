import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: { environment: 'node', include: ['e2e/*.shot.ts'], testTimeout: 600_000, hookTimeout: 180_000, fileParallelism: false, maxWorkers: 1 },
})
