import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/** console.e2e.ts first: it makes the node's administrator, and what comes after it, by name, signs in as him. */
class ByName extends BaseSequencer {
  override sort(files: TestSpecification[]) {
    const key = ({ moduleId }: TestSpecification) => `${moduleId.endsWith('/console.e2e.ts') ? 0 : 1} ${moduleId}`
    return Promise.resolve([...files].sort((a, b) => key(a).localeCompare(key(b))))
  }
}

// Browser tests: one after the other, because they share one node.
export default defineConfig({
  resolve: { alias: { '@mock': here('./mock'), '@': here('./src') } },
  test: { environment: 'node', include: ['e2e/*.e2e.ts'], testTimeout: 180_000, hookTimeout: 180_000, fileParallelism: false, maxWorkers: 1, sequence: { sequencer: ByName } },
})
