/** English words about images, repositories, upstreams, people and settings. Top-level keys are not those of en.ts. */
export const registry = {}
